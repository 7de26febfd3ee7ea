/** The completion scripts, in the shells that they are for. */

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { COMMANDS } from '../../src/cli/command-table.ts';
import { requires } from '../_helpers/requires.ts';
import { CliWorld } from '../_helpers/run-cli.ts';

/** The script, in a file, and a program `bandstand` that knows two stacks. */
async function script(t: ExecutionContext, shell: string): Promise<string> {
  const world = new CliWorld(t);
  const { stdout, status } = await world.run('completion', shell);
  t.is(status, 0);
  const file = world.file(`completion.${shell}`, 0);
  writeFileSync(file, stdout);
  return file;
}

const STACKS = String.raw`bandstand() { printf 'tank\thealthy\npond\tstopped\n'; }`;

/** What bash offers for the last of the words. */
function offers(file: string, ...words: string[]): string[] {
  const program = `source "$1"; ${STACKS}; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
    _bandstand; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const args = ['--norc', '-c', program, 'bash', file, 'bandstand', ...words];
  const out = execFileSync('bash', args, { encoding: 'utf8', cwd: path.dirname(file) });
  return out.split('\n').filter((line) => line !== '');
}

test('bash completes verbs, options, choices, names and files', async (t) => {
  const file = await script(t, 'bash');
  t.deepEqual(offers(file, 'exp'), ['export']);
  t.deepEqual(offers(file, '').sort(), COMMANDS.map(({ name }) => name).sort());
  t.deepEqual(offers(file, 'export', ''), ['tank', 'pond']);
  t.deepEqual(offers(file, 'export', '--read-only', 't'), ['tank'], 'a flag takes no word');
  t.deepEqual(offers(file, 'export', '--id', '3', 'p'), ['pond'], 'a value is no name');
  t.deepEqual(offers(file, 'export', 'tank', '--via', ''), ['auto', 'ublk', 'nbd']);
  t.deepEqual(offers(file, 'create', 'new', '--no-f'), ['--no-ftl']);
  t.deepEqual(offers(file, 'member', 'r'), ['remove', 'replace']);
  t.deepEqual(offers(file, 'member', 'add', ''), ['tank', 'pond']);
  t.deepEqual(offers(file, 'rpc', 't'), ['tank']);
  t.deepEqual(offers(file, 'rpc', 'tank', 'member-r'), ['member-remove', 'member-replace']);
  t.deepEqual(offers(file, 'rpc', 'tank', 'hand'), [], 'not for others');
  t.deepEqual(offers(file, 'rpc', 'tank', 'check', ''), ['-']);
  t.deepEqual(offers(file, 'create', 'new', 'comp'), ['completion.bash']);
  t.deepEqual(offers(file, 'no-such-verb', ''), []);
});

test('a shell that there is no script for is refused', async (t) => {
  const { status, stderr } = await new CliWorld(t).run('completion', 'csh');
  t.is(status, 2);
  t.is(stderr, "bandstand: cannot complete for 'csh'\n  choose bash, zsh or fish\n");
});

test('every word of a script is safe within the quotes of its shell', async (t) => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { stdout } = await new CliWorld(t).run('completion', shell);
    t.false(stdout.includes('undefined'), shell);
    t.true(stdout.endsWith('\n') && !stdout.includes('\t\t'), shell);
  }
});

requires('zsh')('zsh takes its script', async (t) => {
  const file = await script(t, 'zsh');
  const program = `autoload -U compinit; compinit -u -D; source "$1"; print -r -- $_comps[bandstand]`;
  const out = execFileSync('zsh', ['-f', '-c', program, 'zsh', file], { encoding: 'utf8' });
  t.is(out, '_bandstand\n');
});

requires('fish')('fish takes its script, and completes with it', async (t) => {
  const file = await script(t, 'fish');
  const ask = (line: string): string[] => {
    const program = `source "$argv[1]"; function bandstand; printf 'tank\\thealthy\\n'; end
      complete -C "$argv[2]"`;
    const args = ['--no-config', '-c', program, file, line];
    const out = execFileSync('fish', args, { encoding: 'utf8', cwd: '/' });
    return out.split('\n').flatMap((one) => (one === '' ? [] : [one.split('\t')[0]!]));
  };
  t.deepEqual(ask('bandstand exp'), ['export']);
  t.deepEqual(ask('bandstand export '), ['tank']);
  t.deepEqual(ask('bandstand export --via '), ['auto', 'nbd', 'ublk']);
  t.deepEqual(ask('bandstand rpc tank member-r'), ['member-remove', 'member-replace']);
});
