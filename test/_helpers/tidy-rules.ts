/**
 * The rules of test/tidy.ts, each a function from one source file to its violations.
 *
 * They look at text, not at syntax trees: cheap, and honest about it. What they cannot see (an
 * allocation hidden in a call, a function longer than it reads) is left to review and benchmarks.
 */

import {
  importsOf,
  KIND_INTERPOLATION,
  KIND_LITERAL,
  resolveImport,
  type SourceText,
} from './source-text.ts';

export interface Violation {
  readonly path: string;
  readonly line: number;
  readonly rule: string;
  readonly reason: string;
}

export type Rule = (source: SourceText) => Violation[];

export function formatViolation({ path: file, line, rule, reason }: Violation): string {
  return `${file}:${line}  ${rule}: ${reason}`;
}

// --- imports -----------------------------------------------------------------------------------

interface ImportRule {
  /** Units of src/ that may be imported; a unit may always import itself. */
  readonly units: readonly string[];
  /** Packages of others. */
  readonly packages?: readonly string[];
  readonly reason: string;
}

/** Unit of src/ → what it may import besides itself and `node:` modules. */
export const IMPORT_TABLE: Readonly<Record<string, ImportRule>> = {
  block: {
    units: [],
    reason: 'block is the vocabulary: everything may import it, it imports nothing',
  },
  native: { units: [], reason: 'native only loads the addon' },
  reactor: { units: ['block', 'native'], reason: 'the reactor knows rings, not devices' },
  device: {
    units: ['block', 'native', 'reactor'],
    reason: 'a leaf device does not know what is built on it',
  },
  raid: {
    units: ['block'],
    reason: 'raid runs unchanged in the simulator, and never learns what is above or below it',
  },
  ftl: {
    units: ['block'],
    reason: 'ftl runs unchanged in the simulator, and never learns that its base is an array',
  },
  'nv-cache': {
    units: ['block'],
    reason: 'the cache runs unchanged in the simulator, and never learns what it is in front of',
  },
  bench: { units: ['block'], reason: 'a load generator drives any BlockDevice' },
  exporter: {
    units: ['block', 'native', 'reactor'],
    reason: 'an exporter serves any BlockDevice and does not know which',
  },
  stack: {
    units: [
      'block',
      'device',
      'raid',
      'ftl',
      'nv-cache',
      'exporter',
      'reactor',
      'native',
      'bench',
      'control/schema',
    ],
    reason: 'stack assembles the layers and knows nothing of sockets, terminals or logs',
  },
  'control/schema': { units: [], reason: 'the wire types are shared by both ends and stay pure' },
  'control/server': {
    units: ['block', 'control/schema', 'stack'],
    reason: 'the control server translates between a socket and the stack',
  },
  'control/client': {
    units: ['control/schema', 'block'],
    reason: 'a client knows the socket and the schema, never the stack behind it',
  },
  cli: {
    units: [
      'block',
      'stack',
      'control/schema',
      'control/server',
      'control/client',
      'native',
      'bench',
      'exporter/ublk-control',
    ],
    packages: ['yargs', 'pino'],
    reason: 'the command line composes what stack and control offer',
  },
  tui: {
    units: ['block', 'control/client', 'control/schema'],
    packages: ['ink', 'react'],
    reason: 'the terminal UI renders status documents and never sees a device',
  },
};

/** The unit of a file under src/, for example `control/server`, or null when it belongs to none. */
export function unitOf(file: string): string | null {
  const [, folder, name] = file.split('/');
  if (folder === undefined || name === undefined) return null;
  if (folder !== 'control') return folder;
  const part = /^(schema|server|client)\b/.exec(name)?.[1];
  return part === undefined ? null : `control/${part}`;
}

/** What cli may import of the exporter: only the ublk control side, which runs in its process. */
const UBLK_CONTROL = /^src\/exporter\/ublk\/control[\w-]*\.ts$/;

export const checkImports: Rule = (source) => {
  const rule = 'imports';
  const unit = unitOf(source.path);
  const table = unit === null ? undefined : IMPORT_TABLE[unit];
  if (unit === null || table === undefined) {
    const reason = 'the file is in no unit of the import table (test/_helpers/tidy-rules.ts)';
    return [{ path: source.path, line: 1, rule, reason }];
  }
  const violations: Violation[] = [];
  for (const { specifier, line } of importsOf(source)) {
    const refuse = (reason: string): void => {
      violations.push({ path: source.path, line, rule, reason });
    };
    if (specifier.startsWith('node:')) continue;
    if (!specifier.startsWith('.')) {
      const name = specifier
        .split('/')
        .slice(0, specifier.startsWith('@') ? 2 : 1)
        .join('/');
      if (!table.packages?.includes(name)) {
        refuse(`${unit} may not import the package ${name}: ${table.reason}`);
      }
      continue;
    }
    if (!/\.tsx?$/.test(specifier)) refuse(`'${specifier}' lacks its .ts extension`);
    const target = resolveImport(source, specifier);
    const targetUnit = UBLK_CONTROL.test(target) ? 'exporter/ublk-control' : unitOf(target);
    if (unit === 'cli' && targetUnit === 'tui') {
      if (source.lines[line - 1]!.includes('await import(')) continue;
      refuse('cli loads the terminal UI with `await import()` only: Ink costs 0.3 s and 45 MiB');
    } else if (targetUnit === unit || unitOf(target) === unit) {
    } else if (targetUnit === null || !table.units.includes(targetUnit)) {
      refuse(`${unit} may not import ${target}: ${table.reason}`);
    }
  }
  return violations;
};

// --- shape of a file ---------------------------------------------------------------------------

const HEADER_CHARACTERS_MIN = 45;
const PLANE = /\((data plane|control plane|both planes|user interface)\)/;

/** The prose of the comment that opens a file, or null. */
function headerOf(source: SourceText): string | null {
  const match = /^\/\*\*([\s\S]*?)\*\//.exec(source.text);
  return match === null ? null : match[1]!.replaceAll(/^\s*\* ?/gm, '').trim();
}

export function planeOf(source: SourceText): string | null {
  const header = headerOf(source);
  return header === null ? null : (PLANE.exec(header)?.[1] ?? null);
}

export const checkHeader: Rule = (source) => {
  const fail = (reason: string): Violation[] => [
    { path: source.path, line: 1, rule: 'header', reason },
  ];
  const header = headerOf(source);
  if (header === null) return fail('the file does not open with a /** … */ header');
  const prose = header.replace(PLANE, '').replaceAll(/\s+/g, ' ').trim();
  if (prose.length < HEADER_CHARACTERS_MIN) {
    return fail(`the header has ${prose.length} characters; say what the file is for and why`);
  }
  if (planeOf(source) === null) {
    return fail('the header names no plane: (data plane), (control plane) or (both planes)');
  }
  return [];
};

const COLUMNS_MAX = 100;

/** A line may be longer only where a literal or an address that cannot be broken makes it so. */
export const checkColumns: Rule = (source) => {
  const violations: Violation[] = [];
  let start = 0;
  source.lines.forEach((line, index) => {
    const columns = [...line].length;
    const kind = source.kinds[start + COLUMNS_MAX - 1];
    const literal = kind === KIND_LITERAL || kind === KIND_INTERPOLATION;
    if (columns > COLUMNS_MAX && !literal && !line.includes('https://')) {
      violations.push({
        path: source.path,
        line: index + 1,
        rule: 'columns',
        reason: `${columns} columns; the limit is ${COLUMNS_MAX}`,
      });
    }
    start += line.length + 1;
  });
  return violations;
};

const LINES_MAX = 500;

/** Files that may be longer, each with its reason. */
export const LONG_FILES: Readonly<Record<string, string>> = {};

export const checkFileLength: Rule = (source) => {
  const lines = source.lines.length - 1;
  if (lines <= LINES_MAX || LONG_FILES[source.path] !== undefined) return [];
  const reason = `${lines} lines; the limit is ${LINES_MAX}: split it by noun`;
  return [{ path: source.path, line: LINES_MAX, rule: 'file length', reason }];
};

const FUNCTION_LINES_MAX = 70;
const FUNCTION_HEAD =
  /^(\s*)(?:export\s+)?(?:(?:static|override|private|protected|public|get|set|async)\s+)*(?:function\b\s*\*?\s*)?(#?[A-Za-z_$][\w$]*)\s*(?:<[^(]*>)?\(/;
const ARROW_HEAD =
  /^(\s*)(?:export\s+)?const\s+([\w$]+)\b[^=]*=\s*(?:async\s*)?(?:\(|<|\w+\s*=>|$)/;
const NOT_A_FUNCTION = new Set([
  'if',
  'for',
  'while',
  'switch',
  'return',
  'catch',
  'super',
  'with',
]);

interface FunctionText {
  readonly name: string;
  /** 1-based line of the head. */
  readonly line: number;
  readonly lines: number;
}

/** What stands between the parameters of a function and its body: perhaps a type. */
const BODY = /^\s*(?::[^;{]*(?:\{[^{}]*\}[^;{]*)*?)?\{[ \t]*\n/;
const ARROW_BODY = /^[^;]*?=>\s*\{[ \t]*\n/;

/**
 * Functions and methods by their layout, which Biome fixes: a head at some indentation, and the
 * first `}` at that indentation after the line that opens the body.
 */
export function functionsOf(source: SourceText): FunctionText[] {
  const found: FunctionText[] = [];
  let start = 0;
  source.codeLines.forEach((text, index) => {
    const body = bodyAt(source.code, text, start);
    start += text.length + 1;
    if (body === null) return;
    const opens = source.code.slice(0, body.at).split('\n').length - 2;
    const close = new RegExp(`^${body.indent}\\}`);
    const end = source.codeLines.findIndex((line, row) => row > opens && close.test(line));
    if (end !== -1) found.push({ name: body.name, line: index + 1, lines: end - index + 1 });
  });
  return found;
}

/** Where the body of the function ends its first line, when the line at `start` is its head. */
function bodyAt(code: string, text: string, start: number) {
  const head = FUNCTION_HEAD.exec(text);
  if (head !== null && !NOT_A_FUNCTION.has(head[2]!)) {
    const close = closingParenthesis(code, start + head[0].length);
    const body = BODY.exec(code.slice(close + 1));
    if (body !== null) {
      return { indent: head[1]!, name: head[2]!, at: close + 1 + body[0].length };
    }
  }
  const arrow = ARROW_HEAD.exec(text);
  const body = arrow === null ? null : ARROW_BODY.exec(code.slice(start));
  if (arrow === null || body === null) return null;
  return { indent: arrow[1]!, name: arrow[2]!, at: start + body[0].length };
}

/** The position of the parenthesis that closes the one before `from`. */
function closingParenthesis(code: string, from: number): number {
  let depth = 1;
  let at = from;
  while (at < code.length) {
    if (code[at] === '(') depth += 1;
    else if (code[at] === ')') depth -= 1;
    if (depth === 0) return at;
    at += 1;
  }
  return code.length;
}

export const checkFunctionLength: Rule = (source) => {
  const plane = planeOf(source);
  if (plane !== 'data plane' && plane !== 'both planes') return [];
  return functionsOf(source)
    .filter(({ lines }) => lines > FUNCTION_LINES_MAX)
    .map(({ name, line, lines }) => ({
      path: source.path,
      line,
      rule: 'function length',
      reason: `${name} has ${lines} lines; the limit in the data plane is ${FUNCTION_LINES_MAX}`,
    }));
};

// --- words that code must not contain ----------------------------------------------------------

interface Forbidden {
  readonly pattern: RegExp;
  readonly reason: string;
}

function forbid(source: SourceText, rule: string, lines: readonly string[], list: Forbidden[]) {
  const violations: Violation[] = [];
  lines.forEach((line, index) => {
    for (const { pattern, reason } of list) {
      const match = pattern.exec(line);
      if (match === null) continue;
      const found = match[0].trim();
      violations.push({
        path: source.path,
        line: index + 1,
        rule,
        reason: `\`${found}\`: ${reason}`,
      });
    }
  });
  return violations;
}

const PER_REQUEST: Forbidden[] = [
  { pattern: /\bawait\b/, reason: 'a completion is a method call' },
  { pattern: /\basync\b/, reason: 'a completion is a method call' },
  { pattern: /\bPromise\b/, reason: 'a completion is a method call' },
  { pattern: /=>/, reason: 'a closure is an allocation per request' },
  { pattern: /\bsubarray\b/, reason: 'a view is an allocation per request; pass a position' },
  { pattern: /\bBuffer\.(?:from|alloc)/, reason: 'payloads stay in the arena' },
  { pattern: /\bBigInt\b|\b\d+n\b/, reason: 'positions are safe-integer Numbers' },
  { pattern: /\.\.\./, reason: 'spreading allocates per request' },
];

const DATA_PATH_BEGIN = /^\s*\/\/ data path\b/;
const DATA_PATH_END = /^\s*\/\/ end data path\b/;

export const checkDataPath: Rule = (source) => {
  const rule = 'data path';
  let open = 0;
  const masked = source.codeLines.map((line, index) => {
    const text = source.lines[index]!;
    if (DATA_PATH_END.test(text)) open = 0;
    else if (DATA_PATH_BEGIN.test(text)) open = index + 1;
    return open === 0 ? '' : line;
  });
  const violations = forbid(source, rule, masked, PER_REQUEST);
  if (open !== 0) {
    const reason = '`// data path` has no `// end data path`';
    violations.push({ path: source.path, line: open, rule, reason });
  }
  return violations;
};

const AMBIENT: Forbidden[] = [
  {
    pattern: /\bDate\.now\b|\bnew Date\b|\bperformance\.now\b|\bprocess\.hrtime\b/,
    reason: 'time comes from reactor.nowUs(), or the simulator cannot own it',
  },
  {
    pattern: /\bset(?:Timeout|Interval|Immediate)\b/,
    reason: 'timers come from reactor.schedule()',
  },
  { pattern: /\bMath\.random\b/, reason: 'chance comes from reactor.random(), which has a seed' },
];
const AMBIENT_FOLDERS = /^src\/(?:block|raid|ftl|nv-cache|device)\//;

export const checkAmbient: Rule = (source) => {
  if (!AMBIENT_FOLDERS.test(source.path)) return [];
  const violations = forbid(source, 'ambient', source.codeLines, AMBIENT);
  for (const { specifier, line } of importsOf(source)) {
    if (!/^node:(?:fs|timers|perf_hooks|net|child_process)\b/.test(specifier)) continue;
    // O_* numbers for the addon's fileOpen touch nothing.
    if (/^import \{ constants \} from/.test(source.lines[line - 1]!)) continue;
    const reason = `\`${specifier}\`: layers reach the world through the reactor and native only`;
    violations.push({ path: source.path, line, rule: 'ambient', reason });
  }
  return violations;
};

export const checkConsole: Rule = (source) =>
  forbid(source, 'console', source.codeLines, [
    {
      pattern: /\bconsole\s*\./,
      reason: 'layers report events; only src/cli prints, through its output module',
    },
  ]);

export const checkExports: Rule = (source) =>
  forbid(source, 'exports', source.codeLines, [
    { pattern: /^export default\b/, reason: 'exports have names, so that a search finds them' },
    { pattern: /^export \* from\b/, reason: 'there are no barrels: import from where it lives' },
  ]);

const UNFINISHED = new RegExp(`\\b(?:${['TO', 'FIX', 'XX'].join('|')})(?:DO|ME|X)\\b`);

export const checkUnfinished: Rule = (source) =>
  forbid(source, 'unfinished', source.lines, [
    { pattern: UNFINISHED, reason: 'finish it, or open an issue and leave the code true' },
  ]);

const ADDON_LOADER = 'src/native/load.ts';

export const checkAddonLoading: Rule = (source) =>
  source.path === ADDON_LOADER
    ? []
    : forbid(source, 'addon', source.lines, [
        {
          pattern: /\.node['"`]|\bdlopen\b/,
          reason: `only ${ADDON_LOADER} loads the addon`,
        },
      ]);

export const checkFileName: Rule = (source) => {
  const rule = 'file name';
  const [, ...folders] = source.path.split('/');
  const name = folders.pop()!;
  const violations: Violation[] = [];
  if (!/^[a-z0-9]+(?:-[a-z0-9]+)*\.(?:ts|tsx)$/.test(name)) {
    violations.push({ path: source.path, line: 1, rule, reason: 'names are kebab-case' });
  }
  if (name === 'index.ts') {
    violations.push({ path: source.path, line: 1, rule, reason: 'there are no barrels' });
  }
  for (const folder of folders) {
    if (!/^(?:utils?|common|helpers|types|interfaces|services)$/.test(folder)) continue;
    const reason = `a folder called ${folder} says nothing; put the file beside its user`;
    violations.push({ path: source.path, line: 1, rule, reason });
  }
  return violations;
};
