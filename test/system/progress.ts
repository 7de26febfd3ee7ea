/** How far a command is, as a person sees it on a real terminal: there, gone, and on no pipe. */

import test, { type ImplementationFn } from 'ava';
import { PROGRAM } from '../_helpers/repository.ts';
import { missing } from '../_helpers/requires.ts';
import { DISK_BYTES, StackWorld } from '../_helpers/running-stack.ts';
import { quoted, Tmux } from '../_helpers/tmux.ts';

const NO_TMUX = missing('tmux');

function onTerminal(title: string, implementation: ImplementationFn<[]>): void {
  if (NO_TMUX === null) test.serial(title, implementation);
  else test.skip(`${title} (skipped: ${NO_TMUX})`, implementation);
}

/** A mirror on members that take their time with each request; the words that name them. */
async function slowStack(world: StackWorld): Promise<string[]> {
  const files = world.files(2, DISK_BYTES);
  await world.ok('create', 'tank', '--raid', 'raid1', ...files);
  return files.flatMap((file) => ['--device', `delay(${file},min=150ms,max=150ms)`]);
}

const line = (world: StackWorld, ...words: string[]): string =>
  quoted([process.execPath, PROGRAM, ...words, ...world.directories]);

onTerminal('a check is seen to go on, and leaves its result alone', async (t) => {
  const world = new StackWorld(t);
  const devices = await slowStack(world);
  const tmux = new Tmux(t, world.folder, 80, 24);
  await tmux.sees(/READY:/);
  tmux.type(`clear; ${line(world, 'check', ...devices)}; echo "status=$?"`, 'Enter');
  await tmux.sees(/^tank: Compare members [█▏▎▍▌▋▊▉·]+ \d+\.\d % of \d+(\.\d)? MiB/m);
  await tmux.sees(/^status=0$/m);
  t.regex(tmux.text, /^tank: the members agree\nstatus=0\nREADY:$/m);
  t.notRegex(tmux.text, /Compare members/);
});

onTerminal('Ctrl-C takes it away, also on a narrow terminal', async (t) => {
  const world = new StackWorld(t);
  const devices = await slowStack(world);
  const tmux = new Tmux(t, world.folder, 30, 10);
  await tmux.sees(/READY:/);
  tmux.type(`check() { ${line(world, 'check', ...devices)} "$@"; }; clear`, 'Enter');
  tmux.type('check', 'Enter');
  await tmux.sees(/^tank: Compare me.* \d+\.\d %$/m);
  tmux.type('C-c');
  await tmux.sees(/READY:$/m);
  t.notRegex(tmux.text, /Compare/);
  tmux.type('echo "status=$?"', 'Enter');
  await tmux.sees(/^status=130$/m);
});

test.serial('on a pipe there is nothing of it', async (t) => {
  const world = new StackWorld(t);
  const devices = await slowStack(world);
  const { stderr, stdout } = await world.ok('check', ...devices);
  t.is(stdout, 'tank: the members agree\n');
  t.is(stderr, '');
});
