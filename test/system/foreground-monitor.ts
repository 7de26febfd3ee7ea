/** `export --foreground --monitor`: a server and what shows it on one real terminal. */

import { existsSync, readFileSync } from 'node:fs';
import test, { type ExecutionContext, type ImplementationFn } from 'ava';
import { processAlive } from '../../src/cli/process-alive.ts';
import { PROGRAM } from '../_helpers/repository.ts';
import { missing } from '../_helpers/requires.ts';
import { DISK_BYTES, eventually, StackWorld } from '../_helpers/running-stack.ts';
import { quoted, Tmux } from '../_helpers/tmux.ts';

const NO_TMUX = missing('tmux');

/** One at a time: who looks at several terminals again and again has no time for answers. */
function onTerminal(title: string, implementation: ImplementationFn<[]>): void {
  if (NO_TMUX === null) test.serial(title, implementation);
  else test.skip(`${title} (skipped: ${NO_TMUX})`, implementation);
}

/** A shell on a terminal, in which the server of a mirror is started; `$` comes back at its end. */
async function started(t: ExecutionContext, world: StackWorld): Promise<Tmux> {
  await world.ok('create', 'tank', '--raid', 'raid1', ...world.files(2, DISK_BYTES));
  const tmux = new Tmux(t, world.folder, 100, 30);
  await tmux.sees(/READY:/);
  const words = ['export', 'tank', '--via', 'nbd', '--foreground', '--monitor'];
  const line = quoted([process.execPath, PROGRAM, ...words, ...world.directories]);
  tmux.type(`${line}; echo "status=$?"`, 'Enter');
  return tmux;
}

/** The pid of the monitor: the child of the server that draws. */
function monitorPid(serverPid: number): number {
  const children = readFileSync(`/proc/${serverPid}/task/${serverPid}/children`, 'utf8');
  const found = children
    .trim()
    .split(' ')
    .find((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('monitor-entry'));
  return Number(found);
}

const log = (world: StackWorld): string => readFileSync(world.path('run/tank.log'), 'utf8');

onTerminal('q leaves the server, and Ctrl-C then stops it', async (t) => {
  const world = new StackWorld(t);
  const tmux = await started(t, world);
  await tmux.sees(/^ tank {2}HEALTHY {2}\[2\/2 UU\]/m);
  t.is(tmux.format('alternate_on'), '1');
  const server = await world.serverPid('tank');
  // What protects the server is not for what draws.
  const score = readFileSync(`/proc/${monitorPid(server)}/oom_score_adj`, 'utf8');
  t.is(score, readFileSync('/proc/self/oom_score_adj', 'utf8'));
  tmux.type('C-z');
  await tmux.sees(/not suspended: the stack would stand still, too/);
  await world.ok('check', 'tank');
  await tmux.sees(/I check is complete/);
  t.regex(tmux.text, /^└─{98}┘$/m, 'no line of the log has torn the picture');

  tmux.type('q');
  await tmux.sees(/^ *Ctrl-C stops tank; its log is/m);
  t.is(tmux.format('alternate_on'), '0');
  t.is(tmux.format('cursor_flag'), '1');
  t.regex(tmux.text, /^nbd\+unix:\/\/\/tank\?socket=.*tank\.nbd/m);
  t.regex(tmux.text, /^tank is healthy.*, and keeps running$/m);
  t.not((await world.status('tank'))['server'], null);
  t.is((await world.read('tank', 4096)).length, 4096);
  tmux.type('C-c');
  await tmux.sees(/^status=0$/m);
  t.regex(log(world), /"stopping"/);
  t.false(existsSync(world.path('run/tank.nbd')));
  await tmux.sees(/READY:$/m);
  tmux.type('stty -a', 'Enter');
  await tmux.sees(/(?<!-)\bicanon\b/);
});

onTerminal('Ctrl-C on the screen stops the export cleanly', async (t) => {
  const world = new StackWorld(t);
  const tmux = await started(t, world);
  await tmux.sees(/^ tank {2}HEALTHY/m);
  tmux.type('C-c');
  await tmux.sees(/^status=0$/m);
  t.regex(tmux.text, /^stopping tank; Ctrl-C again ends it at once$/m);
  t.notRegex(tmux.text, /keeps running/);
  t.is(tmux.format('alternate_on'), '0');
  t.is((await world.status('tank'))['health'] as string, 'stopped');
  const { stdout } = await world.ok('examine', world.path('disk0.img'));
  t.regex(stdout, /state: clean/);
});

onTerminal('the end of the server ends the monitor, however it ends', async (t) => {
  const world = new StackWorld(t);
  const tmux = await started(t, world);
  await tmux.sees(/^ tank {2}HEALTHY/m);
  await world.ok('stop', 'tank');
  await tmux.sees(/^status=0$/m);
  t.is(tmux.format('alternate_on'), '0');
  tmux.type('clear', 'Enter');
  await tmux.sees(/^READY:$/m);

  const words = ['export', 'tank', '--via', 'nbd', '--foreground', '--monitor'];
  const line = quoted([process.execPath, PROGRAM, ...words, ...world.directories]);
  tmux.type(`${line}; echo "status=$?"`, 'Enter');
  await tmux.sees(/^ tank {2}HEALTHY/m);
  const server = await world.serverPid('tank');
  const monitor = monitorPid(server);
  process.kill(server, 'SIGKILL');
  await eventually('the monitor is gone', () => !processAlive(monitor));
  t.is(tmux.format('alternate_on'), '0');
  t.is(tmux.format('cursor_flag'), '1');
  t.notRegex(tmux.text, /EIO/, 'that the shell has the keyboard by then is nothing to tell');
});

onTerminal('a start that fails shows its error, and no screen', async (t) => {
  const world = new StackWorld(t);
  const tmux = await started(t, world);
  await tmux.sees(/^ tank {2}HEALTHY/m);
  tmux.type('q');
  await tmux.sees(/Ctrl-C stops tank/);
  const second = ['export', 'tank', '--foreground', '--monitor', '--via', 'nbd'];
  const other = new Tmux(t, world.path('run'), 100, 30);
  await other.sees(/READY:/);
  const line = quoted([process.execPath, PROGRAM, ...second, ...world.directories]);
  other.type(`${line}; echo "status=$?"`, 'Enter');
  await other.sees(/^status=1$/m);
  t.regex(other.text, /cannot serve tank in the foreground: a server of it runs already/);
  t.is(other.format('alternate_on'), '0');
  await world.ok('stop', 'tank');
});

test.serial('without a terminal it is refused, with what to do instead', async (t) => {
  const world = new StackWorld(t);
  await world.ok('create', 'tank', '--raid', 'raid1', ...world.files(2, DISK_BYTES));
  const refused = async (...words: string[]): Promise<string> => {
    const outcome = await world.spawn('export', 'tank', '--monitor', ...words);
    t.is(outcome.status, 2);
    t.is(outcome.stdout, '');
    return outcome.stderr;
  };
  t.is(
    await refused('--foreground'),
    'bandstand: cannot use --monitor here: this is no terminal\n' +
      '  leave it out, or look at it from another terminal: bandstand monitor tank --plain\n',
  );
  t.regex(await refused(), /cannot use --monitor without --foreground/);
  t.regex(await refused('--foreground', '--json'), /cannot use --monitor with --json/);
  t.false(existsSync(world.path('run/tank.lock')), 'no server was started');
});
