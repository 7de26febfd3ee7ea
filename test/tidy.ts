/**
 * Tidiness as a test: the import table, headers, lengths, forbidden words, documented errors.
 *
 * Each rule is first shown a bad sample that it has to find (a rule that finds nothing proves
 * nothing), then run over the tree. A failure prints file, line, rule and reason.
 */

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { ERROR_CODES } from '../src/block/errors.ts';
import { ROOT } from './_helpers/repository.ts';
import {
  importsOf,
  listFiles,
  readSource,
  resolveImport,
  type SourceText,
  sourceText,
} from './_helpers/source-text.ts';
import {
  checkAddonLoading,
  checkAmbient,
  checkColumns,
  checkConsole,
  checkDataPath,
  checkExports,
  checkFileLength,
  checkFileName,
  checkFunctionLength,
  checkHeader,
  checkImports,
  checkUnfinished,
  formatViolation,
  functionsOf,
  LONG_FILES,
  type Rule,
} from './_helpers/tidy-rules.ts';

const SOURCES = listFiles(['src'], ['.ts', '.tsx']).map(readSource);
const TESTS = listFiles(['test', 'bench'], ['.ts', '.tsx']).map(readSource);
const SCRIPTS = listFiles(['bin', 'scripts', 'bench', '.ci'], ['.js']).map(readSource);
const NATIVE = listFiles(['native'], ['.cc', '.h']).map(readSource);
const CODE = [...SOURCES, ...TESTS, ...SCRIPTS, ...NATIVE];
const PROSE = listFiles(
  ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'SECURITY.md', 'docs', 'man', '.ci', 'contrib'],
  ['.md', '.5', '.7', '.8', '.sh', '.yml', 'run', '.service'],
).map(readSource);

const HEADER = `/**
 * A sample that says what it is for and why it is here, at some length.              (data plane)
 */
`;

const lines = (count: number, text = '  work();'): string => `${text}\n`.repeat(count);

interface Check {
  readonly title: string;
  readonly rule: Rule;
  readonly over: readonly SourceText[];
  /** Path and text of a file in which the rule finds exactly `finds` violations. */
  readonly sample: readonly [path: string, text: string];
  readonly finds: number;
}

const CHECKS: readonly Check[] = [
  {
    title: 'imports follow the table',
    rule: checkImports,
    over: SOURCES,
    sample: [
      'src/raid/sample.ts',
      `import { a } from '../ftl/a.ts';
import type { B } from '../block/b.ts';
import { type C, d } from '../reactor/c';
import { readFileSync } from 'node:fs';
// import { e } from '../stack/e.ts';
const f = await import('../device/f.ts');
export { g } from 'yargs';
import { h } from './h.ts';
`,
    ],
    finds: 5,
  },
  {
    title: 'every source file says what it is for and names its plane',
    rule: checkHeader,
    over: SOURCES,
    sample: ['src/raid/sample.ts', '// raid\nexport const a = 1;\n'],
    finds: 1,
  },
  {
    title: 'lines have at most 100 columns',
    rule: checkColumns,
    over: CODE,
    sample: ['src/raid/sample.ts', `// ${'x'.repeat(98)}\nconst a = '${'x'.repeat(98)}';\n`],
    finds: 1,
  },
  {
    title: 'files have at most 500 lines',
    rule: checkFileLength,
    over: [...CODE, ...PROSE.filter(({ path: file }) => file.endsWith('.md'))],
    sample: ['src/raid/sample.ts', lines(501)],
    finds: 1,
  },
  {
    title: 'functions of the data plane have at most 70 lines',
    rule: checkFunctionLength,
    over: SOURCES,
    sample: [
      'src/raid/sample.ts',
      `${HEADER}export function long(\n  a: number,\n): void {\n${lines(67)}}

class Sample {
  submit(io: BlockIo): void {
${lines(69, '    work();')}  }

  short(): void {
${lines(68, '    work();')}  }
}
`,
    ],
    finds: 2,
  },
  {
    title: 'per-request code neither allocates nor waits, as far as its words tell',
    rule: checkDataPath,
    over: SOURCES,
    sample: [
      'src/raid/sample.ts',
      `const outside = async () => { await 1; };
// data path
const view = memory.subarray(1, 2); // await
const text = '=>';
list.map((item) => item);
// end data path
const more = [...list];
// data path
`,
    ],
    finds: 3,
  },
  {
    title: 'layers take time, chance and files from the reactor and native only',
    rule: checkAmbient,
    over: SOURCES,
    sample: [
      'src/device/sample.ts',
      `import { openSync } from 'node:fs';
import { constants } from 'node:fs';
/** Not Date.now(). */
const at = Date.now();
setTimeout(run, Math.random());
`,
    ],
    finds: 4,
  },
  {
    title: 'nothing prints with console',
    rule: checkConsole,
    over: SOURCES,
    sample: ['src/cli/sample.ts', "console.log('console.log');\n"],
    finds: 1,
  },
  {
    title: 'exports are named and there are no barrels',
    rule: checkExports,
    over: SOURCES,
    sample: ['src/cli/sample.ts', "export default 1;\nexport * from './a.ts';\n"],
    finds: 2,
  },
  {
    title: 'nothing is left unfinished',
    rule: checkUnfinished,
    over: [...CODE, ...PROSE],
    sample: ['src/cli/sample.ts', `// ${'TO'}${'DO'} later\nconst fixme = 1; // ${'FIX'}${'ME'}\n`],
    finds: 2,
  },
  {
    title: 'only one file loads the addon',
    rule: checkAddonLoading,
    over: SOURCES,
    sample: ['src/cli/sample.ts', "require('./bandstand.node');\nimport 'node:fs';\n"],
    finds: 1,
  },
  {
    title: 'files are named in kebab-case, after a noun',
    rule: checkFileName,
    over: [...SOURCES, ...TESTS.filter(({ path: file }) => file.endsWith('.ts'))].filter(
      ({ path: file }) => !file.includes('/_') && !file.endsWith('.sim.ts'),
    ),
    sample: ['src/utils/someThing.ts', ''],
    finds: 2,
  },
];

for (const { title, rule, over, sample, finds } of CHECKS) {
  test(title, (t) => {
    const found = rule(sourceText(...sample)).map(formatViolation);
    t.is(found.length, finds, `the rule misjudges its sample:\n${found.join('\n')}`);
    const violations = over.flatMap(rule).map(formatViolation);
    t.deepEqual(violations, [], violations.join('\n'));
  });
}

test('the scanner tells code from comments, strings, templates and regular expressions', (t) => {
  const { code } = sourceText(
    'sample.ts',
    `a /* b */ = 'c' + \`d\${e + \`f\${g}\`}h\` + /i'[/]j/.test(k) / l; // m\nn('it\\'s o');`,
  );
  t.is(code.replaceAll(/[^a-z]/g, ''), 'aegtestkln');
});

test('the function counter sees heads that are wrapped, generic or asynchronous', (t) => {
  const source = sourceText(
    'sample.ts',
    `export async function one<T>(
  a: T,
): Promise<T> {
  if (a) {
    b();
  }
}
class C {
  static async #two(): Promise<void> {
  }
  declare(a: number): void;
  three({
    a,
  }: Options): void {
  }
}
const four = (a: number): number => {
  return a;
};
call(() => {
});
`,
  );
  t.deepEqual(
    functionsOf(source).map(({ name, lines: count }) => [name, count]),
    [
      ['one', 7],
      ['#two', 2],
      ['three', 4],
      ['four', 3],
    ],
  );
});

test('the list of files that may be long names only files that are', (t) => {
  const needless = Object.keys(LONG_FILES).filter((file) => readSource(file).lines.length <= 501);
  t.deepEqual(needless, []);
});

test('no source file is dead: each is imported, or started as a program or worker', (t) => {
  const alive = new Set<string>();
  for (const source of [...SOURCES, ...TESTS, ...SCRIPTS]) {
    for (const { specifier } of importsOf(source)) {
      if (specifier.startsWith('.')) alive.add(resolveImport(source, specifier));
    }
    // A worker is started from the sources in tests and compiled otherwise: `./a.${extension}`.
    for (const [, specifier] of source.text.matchAll(/new URL\(\s*['"`](\.[^'"`]+)['"`]/g)) {
      alive.add(resolveImport(source, specifier!.replace(/\$\{\w+\}$/, 'ts')));
    }
    // bin/ and scripts/ load what tsc made of the sources.
    for (const [, compiled] of source.text.matchAll(/dist\/(src\/[\w/-]+)\.js/g)) {
      alive.add(`${compiled}.ts`);
    }
  }
  const dead = SOURCES.map(({ path: file }) => file).filter((file) => !alive.has(file));
  t.deepEqual(dead, []);
});

test('whatever is started as a program or worker is an entry of the bundle', (t) => {
  const bundled = readFileSync(path.join(ROOT, 'scripts/bundle.js'), 'utf8');
  let count = 0;
  for (const source of SOURCES) {
    for (const [, specifier] of source.text.matchAll(/new URL\(\s*['"`](\.[^'"`]+)['"`]/g)) {
      const program = resolveImport(source, specifier!.replace(/\$\{\w+\}$/, 'ts'));
      t.true(bundled.includes(`'dist/${program.replace(/\.ts$/, '.js')}'`), program);
      count += 1;
    }
  }
  t.true(count >= 3);
});

test('docs/errors.md is what the table of error codes says', (t) => {
  const script = path.join(ROOT, 'scripts/errors-doc.js');
  const rendered = execFileSync(process.execPath, [script, '--print'], { encoding: 'utf8' });
  for (const code of Object.keys(ERROR_CODES)) t.true(rendered.includes(`\`${code}\``), code);
  const document = readFileSync(path.join(ROOT, 'docs/errors.md'), 'utf8');
  t.true(document === rendered, 'docs/errors.md is out of date: run `node scripts/errors-doc.js`');
});

/** Also as a template over the last word, `BANDSTAND_SUPERBLOCK_${kind}` with 'CHECKSUM'. */
function raises(text: string, code: string): boolean {
  if (text.includes(`'${code}'`)) return true;
  const [, stem, word] = /^(\w+_)([A-Z]+)$/.exec(code)!;
  return text.includes(`\`${stem}\${`) && text.includes(`'${word}'`);
}

test('every error code is raised somewhere', (t) => {
  const users = SOURCES.filter(({ path: file }) => file !== 'src/block/errors.ts');
  const unused = Object.keys(ERROR_CODES).filter(
    (code) => !users.some(({ text }) => raises(text, code)),
  );
  t.deepEqual(unused, []);
});

const words = (code: string): string => code.replaceAll('_', ' ');

test('error codes are sorted within their group', (t) => {
  const source = readFileSync(path.join(ROOT, 'src/block/errors.ts'), 'utf8');
  const table = /ERROR_CODES = \{([\s\S]*?)\} as const/.exec(source)![1]!;
  for (const group of table.split(/^ {2}\/\/ .*$/m)) {
    const codes = [...group.matchAll(/^ {2}(BANDSTAND_\w+):/gm)].map(([, code]) => code!);
    // Word by word: IN_USE stands before INVALID.
    t.deepEqual(codes.map(words), codes.map(words).sort());
  }
});

test('every command has a manual page, and every page a command', (t) => {
  const commands = listFiles(['src/cli/commands'], ['.ts'])
    .map((file) => path.basename(file, '.ts'))
    .sort();
  const pages = listFiles(['man'], ['.8'])
    .flatMap((file) => /^man\/bandstand-(.+)\.8$/.exec(file)?.[1] ?? [])
    .sort();
  t.true(pages.length > 0);
  t.deepEqual(commands, pages);
});

const CHANGELOG_GROUPS = ['Safety', 'Features', 'Performance', 'Fixes', 'Internal'];

test('the changelog has releases, newest first, with known groups in their order', (t) => {
  const text = readFileSync(path.join(ROOT, 'CHANGELOG.md'), 'utf8');
  const releases = text.split(/^## /m).slice(1);
  t.true(releases.length > 0, 'the changelog has no release');
  releases.forEach((release, index) => {
    const title = release.split('\n', 1)[0]!;
    if (index === 0 && title === 'Unreleased') t.pass();
    else t.regex(title, /^\d+\.\d+\.\d+ \(\d{4}-\d{2}-\d{2}\)$/);
    const groups = [...release.matchAll(/^### (.*)$/gm)].map(([, group]) => group!);
    t.true(groups.length > 0, `${title} has no group`);
    const expected = CHANGELOG_GROUPS.filter((group) => groups.includes(group));
    t.deepEqual(groups, expected, title);
    for (const group of release.split(/^### /m).slice(1)) {
      t.regex(group, /\n- \S/, `${title}: a group without an entry`);
    }
  });
});

test('decisions are numbered without gaps, have their three parts, and are listed', (t) => {
  const architecture = readFileSync(path.join(ROOT, 'docs/architecture.md'), 'utf8');
  const files = listFiles(['docs/decisions'], ['.md']);
  files.forEach((file, index) => {
    const number = String(index + 1).padStart(4, '0');
    const text = readFileSync(path.join(ROOT, file), 'utf8');
    t.true(path.basename(file).startsWith(`${number}-`), `${file} is not number ${number}`);
    t.regex(text, new RegExp(`^# ${number} \\S`), file);
    const parts = [...text.matchAll(/^## (.*)$/gm)].map(([, part]) => part);
    t.deepEqual(parts, ['Context', 'Decision', 'Consequences'], file);
    t.true(architecture.includes(`(decisions/${path.basename(file)})`), `${file} is not listed`);
  });
  t.true(files.length > 0);
});

test('every relative link in the documents leads to a file', (t) => {
  const broken: string[] = [];
  for (const { path: file, text } of PROSE.filter(({ path: name }) => name.endsWith('.md'))) {
    for (const [, target] of text.matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)) {
      const absolute = path.join(ROOT, path.dirname(file), target!);
      if (!existsSync(absolute)) broken.push(`${file}: ${target}`);
    }
  }
  t.deepEqual(broken, []);
});

test('nothing names a folder of the machine that it was written on', (t) => {
  const personal = [ROOT, os.homedir()].filter(
    (folder) => folder.split('/').filter(Boolean).length > 1,
  );
  const pattern = new RegExp(
    [
      ...personal.map((folder) => `${folder.replaceAll(/\W/g, '\\$&')}\\b`),
      '/home/\\w+',
      '/Users/\\w+',
    ]
      .map((part) => `(?:${part})`)
      .join('|'),
  );
  const found = [...CODE, ...PROSE]
    .filter(({ path: file }) => file !== 'test/tidy.ts')
    .flatMap(({ path: file, lines: all }) =>
      all.flatMap((line, index) => (pattern.test(line) ? [`${file}:${index + 1} ${line}`] : [])),
    );
  t.deepEqual(found, []);
});
