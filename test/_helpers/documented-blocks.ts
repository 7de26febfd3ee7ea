/**
 * Commands that documents show, with what they say is printed.
 *
 * In README.md a block stands between fences, in the EXAMPLES of a page between `.Bd -literal` and
 * `.Ed`. A line after `$ ` or `# ` is a command, which goes on in the next line after `\`, `|` or
 * `&&` at its end; what follows is its output. A block without a prompt is one command as a whole.
 */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from './repository.ts';
import { listFiles } from './source-text.ts';

export interface DocumentedCommand {
  readonly line: string;
  /** Nothing: the document shows none. */
  readonly output: readonly string[];
}

export interface DocumentedBlock {
  /** `create.8 2`: the second block of bandstand-create(8); `README 3`. */
  readonly name: string;
  readonly commands: readonly DocumentedCommand[];
}

/** Metrics have comments that begin like a prompt of root. */
const PROMPT = /^[$#] (?!HELP |TYPE )/;
const GOES_ON = /(\\|\||&&)$/;

export function commandsOf(lines: readonly string[]): DocumentedCommand[] {
  if (!lines.some((line) => PROMPT.test(line))) return [{ line: lines.join('\n'), output: [] }];
  const commands: { line: string; output: string[] }[] = [];
  let goesOn = false;
  for (const line of lines) {
    const last = commands.at(-1);
    if (goesOn && last !== undefined) last.line += `\n${line}`;
    else if (PROMPT.test(line)) commands.push({ line: line.replace(PROMPT, ''), output: [] });
    else last?.output.push(line);
    // Output may end like that, too.
    goesOn = GOES_ON.test(line) && (goesOn || PROMPT.test(line));
  }
  return commands;
}

function readText(file: string): string {
  return readFileSync(path.join(ROOT, file), 'utf8');
}

export function readmeBlocks(): DocumentedBlock[] {
  const blocks = readText('README.md').matchAll(/^```\n([\s\S]*?)\n```$/gm);
  return [...blocks].map(([, text], index) => ({
    name: `README ${index + 1}`,
    commands: commandsOf(text!.split('\n')),
  }));
}

export function pageBlocks(): DocumentedBlock[] {
  const found: DocumentedBlock[] = [];
  for (const file of listFiles(['man'], ['.5', '.7', '.8'])) {
    const [, examples = ''] = readText(file).split('\n.Sh EXAMPLES\n');
    const text = examples.split('\n.Sh ')[0]!;
    const blocks = [...text.matchAll(/^\.Bd -literal.*\n([\s\S]*?)\n\.Ed$/gm)];
    blocks.forEach(([, block], index) => {
      const plain = block!.replaceAll('\\e', '\\').replaceAll('\\&', '');
      const page = path.basename(file).replace(/^bandstand-/, '');
      found.push({ name: `${page} ${index + 1}`, commands: commandsOf(plain.split('\n')) });
    });
  }
  return found;
}
