/**
 * The manual agrees with the program: options, arguments, exit statuses, error codes, and mdoc.
 *
 * The pages are hand-written, so that they can explain; what can be compared with the command table
 * is compared with it here.
 */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { ERROR_CODES } from '../src/block/errors.ts';
import { COMMON_OPTIONS, type OptionSpec } from '../src/cli/command.ts';
import { COMMANDS } from '../src/cli/command-table.ts';
import { commandHelp } from '../src/cli/help.ts';
import { ROOT } from './_helpers/repository.ts';
import { requires } from './_helpers/requires.ts';
import { listFiles } from './_helpers/source-text.ts';

const PAGES = listFiles(['man'], ['.5', '.7', '.8']);
const readPage = (name: string): string => readFileSync(path.join(ROOT, 'man', name), 'utf8');

/** The text of `.Sh title` up to the next section. */
function section(page: string, title: string): string {
  const [, text] = page.split(`\n.Sh ${title}\n`);
  return text === undefined ? '' : text.split('\n.Sh ')[0]!;
}

/** Options that a section documents, as they are typed: `-n`, `--dry-run`, `--no-ftl`. */
function documentedOptions(text: string): string[] {
  const found: string[] = [];
  for (const [, line] of text.matchAll(/^\.It (Fl .*)$/gm)) {
    for (const [, name] of line!.matchAll(/\bFl (\S+)/g)) found.push(`-${name}`);
  }
  return found.sort();
}

/** The same for options of the command table. */
function spelledOptions(specs: readonly OptionSpec[]): string[] {
  const found: string[] = [];
  for (const { name, short, shown = 'on' } of specs) {
    if (shown !== 'off') found.push(`--${name}`);
    if (shown !== 'on') found.push(`--no-${name}`);
    if (short !== undefined) found.push(`-${short}`);
  }
  return found.sort();
}

/** Options that help shows on lines of their own; the line `common: …` is bandstand(8)'s. */
function shownOptions(help: string): string[] {
  const found: string[] = [];
  for (const [, row] of help.matchAll(/^ {2}(-.*?)(?: {2}|$)/gm)) {
    for (const [, short] of row!.matchAll(/(?<![\w-])-(\w)\b/g)) found.push(`-${short}`);
    for (const [, optionalNo, name] of row!.matchAll(/--(\[no-\])?([\w-]+)/g)) {
      found.push(`--${name}`);
      if (optionalNo !== undefined) found.push(`--no-${name}`);
    }
  }
  return found.sort();
}

test('the samples of this test are understood', (t) => {
  t.deepEqual(documentedOptions('.It Fl n , Fl -dry-run\n.It Fl -ftl , Fl -no-ftl\n.It 0\n'), [
    '--dry-run',
    '--ftl',
    '--no-ftl',
    '-n',
  ]);
  const help = '  -n, --dry-run, --yes  text\n  --[no-]ftl  see --op\ncommon: --json\n';
  t.deepEqual(shownOptions(help), ['--dry-run', '--ftl', '--no-ftl', '--yes', '-n']);
});

test('bandstand(8) documents the common options and names every verb', (t) => {
  const page = readPage('bandstand.8');
  t.deepEqual(documentedOptions(section(page, 'OPTIONS')), spelledOptions(COMMON_OPTIONS));
  const named = [...page.matchAll(/^\.It Xr bandstand-(\S+) 8$/gm)].map(([, verb]) => verb);
  t.deepEqual(
    named,
    COMMANDS.map(({ name }) => name),
  );
});

for (const entry of COMMANDS) {
  test(`the options of ${entry.name} in its help are those of its page`, async (t) => {
    const command = await entry.load();
    const page = readPage(`bandstand-${entry.name}.8`);
    const documented = documentedOptions(section(page, 'OPTIONS'));
    t.deepEqual(documented, shownOptions(commandHelp(command)));
    t.deepEqual(documented, spelledOptions(command.options));
  });

  test(`the arguments of ${entry.name} in its synopsis are those it takes`, async (t) => {
    const command = await entry.load();
    const synopsis = section(readPage(`bandstand-${entry.name}.8`), 'SYNOPSIS');
    // `.Ar NAME`, `.Op Ar NAME`, `.Ar MEMBER ...`; options and their values are other lines.
    const found = [...synopsis.matchAll(/^\.(?:Op )?Ar ([A-Z]+)(?: \.\.\.)?$/gm)].map(
      ([line, name]) => ({ name, required: !line.includes('Op '), many: line.endsWith('...') }),
    );
    t.deepEqual(
      found,
      command.positionals.map(({ name, required, many }) => ({ name, required, many })),
    );
  });
}

test('every error code has a line in the DIAGNOSTICS of a page, and no other has', (t) => {
  const documented = new Set<string>();
  for (const file of PAGES) {
    const text = section(readFileSync(path.join(ROOT, file), 'utf8'), 'DIAGNOSTICS');
    for (const [code] of text.matchAll(/\bBANDSTAND_\w+/g)) documented.add(code);
  }
  const codes = new Set<string>(Object.keys(ERROR_CODES));
  t.deepEqual(
    [...codes].filter((code) => !documented.has(code)),
    [],
    'no page has them',
  );
  t.deepEqual(
    [...documented].filter((code) => !codes.has(code)),
    [],
    'there are no such codes',
  );
});

test('every page shows an example, and the exit status where there is one', (t) => {
  for (const file of PAGES.filter((name) => name.endsWith('.8'))) {
    const page = readFileSync(path.join(ROOT, file), 'utf8');
    t.regex(section(page, 'EXAMPLES'), /^\.Bd -literal[\s\S]*^[$#] .*bandstand/m, file);
    t.regex(section(page, 'EXIT STATUS'), /^\.It 0\n[\s\S]*^\.It 1\n[\s\S]*^\.It 2\n/m, file);
  }
});

test('pages refer to pages that exist', (t) => {
  for (const file of PAGES) {
    const page = readFileSync(path.join(ROOT, file), 'utf8');
    for (const [, name, number] of page.matchAll(/^\.(?:It )?Xr (bandstand\S*) (\d)/gm)) {
      t.true(PAGES.includes(`man/${name}.${number}`), `${file}: ${name}(${number})`);
    }
  }
});

requires('mandoc')('the pages are valid mdoc', (t) => {
  const files = PAGES.map((file) => path.join(ROOT, file));
  const output = execFileSync('mandoc', ['-Tlint', '-W', 'warning', ...files], {
    encoding: 'utf8',
  });
  t.is(output, '');
});
