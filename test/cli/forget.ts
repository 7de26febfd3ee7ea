/** A stack that nothing is left of: `wipe` forgets it by itself, `forget` on request. */

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import test from 'ava';
import { stackNames } from '../../src/cli/known-stacks.ts';
import { takeStackLock } from '../../src/cli/stack-lock.ts';
import { refuseForgetting, tracesOf } from '../../src/cli/stack-traces.ts';
import { writeUblkRecord } from '../../src/cli/ublk-record.ts';
import { loadAddon } from '../../src/native/load.ts';
import { bufferFile } from '../../src/stack/buffer-file.ts';
import { type CliOutcome, CliWorld } from '../_helpers/run-cli.ts';

const MIB = 2 ** 20;
const UUID = '5f0c9d1e-71c2-4c36-9d0e-2f6f3a1b8c44';
const NOBODY = 2 ** 22 + 1;

class ForgetWorld extends CliWorld {
  async mirror(...words: string[]): Promise<[string, string]> {
    const [a, b] = this.files(2, 64 * MIB) as [string, string];
    const layout = ['--raid', 'raid1', '--uuid', UUID, ...words];
    const { status, stderr } = await this.run('create', 'tank', ...layout, a, b);
    if (status !== 0) throw new Error(stderr);
    return [a, b];
  }

  get state(): string {
    return this.path('state/tank.json');
  }

  names(): string[] {
    const [runDir, stateDir] = [this.path('run'), this.path('state')];
    return stackNames({ runDir, stateDir, automatic: false });
  }

  async json(...words: string[]): Promise<Record<string, unknown>> {
    return JSON.parse((await this.run(...words, '--json')).stdout).data;
  }
}

const sha256 = (path: string): string =>
  createHash('sha256').update(readFileSync(path)).digest('hex');

const refused = ({ status, stdout }: CliOutcome): boolean => status === 1 && stdout === '';

test('the name of a stack whose members are all wiped can be used again', async (t) => {
  const world = new ForgetWorld(t);
  const [a, b] = await world.mirror();
  const { stdout } = await world.run('wipe', '--yes', a, b);
  t.is(
    stdout,
    `${a}: erased the superblock and both labels of tank\n` +
      `${b}: erased the superblock and both labels of tank\n` +
      'forgot tank: nothing is left of it on its devices\n',
  );
  t.deepEqual(world.names(), []);
  t.is((await world.run('create', 'tank', '--raid', 'raid1', a, b)).status, 0);
});

test('members that are wiped one after the other are the last of it, too', async (t) => {
  const world = new ForgetWorld(t);
  const [a, b] = await world.mirror();
  const [first] = (await world.json('wipe', '--yes', a))['stacks'] as object[];
  t.deepEqual(first, {
    name: 'tank',
    uuid: UUID,
    forgotten: false,
    remaining: [{ device: b, role: 'member', slot: 1, state: 'marked' }],
    reason: null,
  });
  const would = await world.json('wipe', '--dry-run', b);
  t.like(would['stacks'], [{ forgotten: false, remaining: [], reason: null }]);
  t.deepEqual(world.names(), ['tank']);
  t.like((await world.json('wipe', '--yes', b))['stacks'], [{ forgotten: true, remaining: [] }]);
  t.deepEqual(world.names(), []);
});

test('a member that is merely away keeps its stack known; how to forget it is told', async (t) => {
  const world = new ForgetWorld(t);
  const [a, b] = await world.mirror();
  renameSync(b, world.path('away.img'));
  const { stdout } = await world.run('wipe', '--yes', a);
  t.is(
    stdout,
    `${a}: erased the superblock and both labels of tank\n` +
      `tank is still known: ${b} is not there\n` +
      '  if it is gone for good: bandstand forget tank\n',
  );
  const again = await world.run('create', 'tank', '--raid', 'raid1', a, b);
  t.true(refused(again));
  t.regex(again.stderr, /is known already\n.*; if it is gone for good: bandstand forget tank\n$/);
  t.is((await world.run('forget', 'tank')).status, 0);
  t.deepEqual(world.names(), []);
});

test('where another array is now, the member that was there may be elsewhere', async (t) => {
  const world = new ForgetWorld(t);
  const [a, b] = await world.mirror();
  const pool = ['create', 'pool', '--raid', 'raid1', '--erase', a, '--erase', b, '--yes', a, b];
  t.is((await world.run(...pool)).status, 0);
  const { stdout } = await world.run('wipe', '--yes', a, b);
  t.regex(stdout, /^forgot pool: nothing is left of it on its devices$/m);
  t.notRegex(stdout, /^forgot tank/m);
  t.deepEqual(world.names(), ['tank']);
});

test('spares and the NV cache of a stack are looked at as well', async (t) => {
  const world = new ForgetWorld(t);
  const [spare, ssd] = ['spare.img', 'ssd.img'].map((name) => world.file(name, 64 * MIB));
  const [a, b] = await world.mirror('--ftl', '--cache', ssd!, '--spare', spare!);
  const { stacks } = await world.json('wipe', '--yes', a, b);
  t.like(stacks, [
    {
      forgotten: false,
      remaining: [
        { device: spare, role: 'spare', slot: null, state: 'marked' },
        { device: ssd, role: 'cache', slot: null, state: 'marked' },
      ],
    },
  ]);
  const { stdout } = await world.run('wipe', '--yes', spare!, ssd!);
  t.regex(stdout, /^forgot tank: /m);
  t.deepEqual(world.names(), []);
});

test('an array without metadata is forgotten only when that is confirmed', async (t) => {
  const world = new ForgetWorld(t);
  const [a, b] = await world.mirror('--no-superblock');
  const { stdout } = await world.run('wipe', '--yes', a, b);
  t.regex(
    stdout,
    /^tank is still known: .* had no metadata, .*\n {2}if it is gone for good: bandstand forget tank\n$/m,
  );
  const asked = await world.run('forget', 'tank');
  t.true(refused(asked));
  t.is(
    asked.stderr,
    'bandstand: cannot forget tank: this would be lost, and nobody can be asked: how its members make ' +
      `an array, which nothing on them says: raid1, ${a}, ${b}\n` +
      '  repeat the command with --confirm tank\n',
  );
  t.is((await world.run('forget', 'tank', '--confirm', 'pond')).status, 2);
  t.true(existsSync(world.state));
  const copy = readFileSync(world.state);
  const forgot = await world.json('forget', 'tank', '--confirm', 'tank');
  t.like(forgot, { name: 'tank', uuid: UUID, removed: [world.state], take_back: null });
  t.false(existsSync(world.state));
  // What the page says: a copy of the file is all it takes.
  writeFileSync(world.state, copy);
  t.is((await world.json('status', 'tank'))['uuid'], UUID);
});

test('forget touches no device, and says how to have the stack back', async (t) => {
  const world = new ForgetWorld(t);
  const ssd = world.file('ssd.img', 16 * MIB);
  const [a, b] = await world.mirror('--ftl', '--cache', ssd);
  const sums = (): string[] => [a, b, ssd].map(sha256);
  const before = sums();
  const would = await world.run('forget', 'tank', '--dry-run');
  const takeBack = `bandstand export tank --device ${a} --device ${b} --cache ${ssd}`;
  t.is(
    would.stdout,
    `would forget tank (${UUID}); no device was written to\n` +
      `  would remove ${world.state}\n` +
      `  to have it back: ${takeBack}\n`,
  );
  t.true(existsSync(world.state));
  t.is((await world.json('forget', 'tank'))['take_back'], takeBack);
  t.false(existsSync(world.state));
  t.deepEqual(sums(), before);
  const twice = await world.run('forget', 'tank');
  t.true(refused(twice));
  t.regex(twice.stderr, /cannot find a stack called tank/);
});

test('a state file that cannot be read is forgotten when that is confirmed', async (t) => {
  const world = new ForgetWorld(t);
  await world.mirror();
  writeFileSync(world.state, '{');
  const asked = await world.run('forget', 'tank');
  t.true(refused(asked));
  t.regex(asked.stderr, /would be lost.*tank\.json says, which cannot be read\n/);
  t.like(await world.json('forget', 'tank', '--yes'), { uuid: null, take_back: null });
  t.false(existsSync(world.state));
});

test('a stack whose server holds the lock is not forgotten', async (t) => {
  const world = new ForgetWorld(t);
  await world.mirror();
  mkdirSync(world.path('run'));
  const native = loadAddon();
  const lock = takeStackLock(native, world.path('run'), 'tank', 'start a server for');
  const { stderr } = await world.run('forget', 'tank', '--yes');
  native.fileClose(lock);
  t.is(
    stderr,
    `bandstand: cannot forget tank: a server of it is running or starting (pid ${process.pid})\n` +
      '  wait for it, or end it: bandstand stop tank\n',
  );
  t.true(existsSync(world.state));
});

test('a write buffer is given up by its own option only, and wipe leaves it', async (t) => {
  const world = new ForgetWorld(t);
  const [a, b] = await world.mirror('--ftl');
  mkdirSync(world.path('run'));
  const buffer = bufferFile({ name: 'tank', remembered: null }, world.path('run'))!.path;
  t.teardown(() => rmSync(buffer, { force: true }));
  writeFileSync(buffer, 'answered');
  for (const words of [['--yes'], ['--dry-run']]) {
    const { stderr, ...outcome } = await world.run('forget', 'tank', ...words);
    t.true(refused({ ...outcome, stderr }));
    t.regex(stderr, /writes that it had answered may be nowhere else\n.*bandstand export tank; or/);
  }
  const { stdout } = await world.run('wipe', '--yes', a, b);
  t.regex(stdout, /^tank is still known: cannot forget tank: a killed server has left /m);
  t.regex(stdout, /or give them up: bandstand forget tank --discard-buffer\n$/);
  t.true(existsSync(buffer));
  const asked = await world.run('forget', 'tank', '--discard-buffer');
  t.true(refused(asked));
  t.regex(asked.stderr, /would be lost.*writes that a killed server had answered, in /);
  t.true(existsSync(buffer));
  const { removed } = await world.json('forget', 'tank', '--discard-buffer', '--yes');
  t.deepEqual(removed, [buffer, world.state]);
  t.false(existsSync(buffer));
  t.deepEqual(world.names(), []);
});

test('a device that waits for a server keeps its stack; a note about none does not', async (t) => {
  const world = new ForgetWorld(t);
  const [runDir, stateDir] = [world.path('run'), world.path('state')];
  await world.mirror();
  mkdirSync(runDir);
  mkdirSync(world.path('ublk'));
  writeUblkRecord(runDir, 'tank', { id: 3, serverPids: [NOBODY] });
  writeFileSync(world.path('ublk/ublkc3'), '');
  const directories = { runDir, stateDir, automatic: false };
  const waiting = tracesOf(directories, 'tank', world.path('ublk'))!;
  const error = t.throws(() => refuseForgetting(waiting, true), { code: 'BANDSTAND_STACK_IN_USE' });
  t.regex(error.message, /ublkb3 waits for a server, and so does its I\/O$/);
  rmSync(world.path('ublk/ublkc3'));
  t.notThrows(() => refuseForgetting(tracesOf(directories, 'tank', world.path('ublk'))!, false));
  writeFileSync(world.path('run/tank.status.sock'), '');
  const { removed } = await world.json('forget', 'tank');
  t.deepEqual(removed, [
    world.path('run/tank.status.sock'),
    world.path('run/tank.ublk'),
    world.state,
  ]);
  t.deepEqual(world.names(), []);
});
