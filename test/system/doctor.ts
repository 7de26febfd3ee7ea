/** Doctor on real stacks: healthy, degraded, missing or damaged members, killed servers. */

import {
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { processAlive } from '../../src/cli/process-alive.ts';
import { loadAddon } from '../../src/native/load.ts';
import { DISK_BYTES, eventually, StackWorld } from '../_helpers/running-stack.ts';

interface ToldCheck {
  readonly area: string;
  readonly stack: string | null;
  readonly name: string;
  readonly state: string;
  readonly found: string;
  readonly action: string | null;
}

/** What doctor tells of a stack, and of what its server has left. */
class Told {
  readonly status: number;
  readonly checks: readonly ToldCheck[];

  static async of(t: ExecutionContext, world: StackWorld, name: string): Promise<Told> {
    const { status, stderr, stdout } = await world.run('doctor', name, '--json');
    t.is(stderr, '');
    const { data, schema } = JSON.parse(stdout);
    t.is(schema, 'bandstand.doctor/1');
    const told = new Told(status, data.checks);
    t.is(status === 1, data.problems > 0, 'the exit status says whether something is a problem');
    return told;
  }

  private constructor(status: number, checks: readonly ToldCheck[]) {
    this.status = status;
    this.checks = checks;
  }

  of(area: string): ToldCheck[] {
    return this.checks.filter((check) => check.area === area);
  }

  check(area: string, name: string): ToldCheck {
    const found = this.of(area).filter((check) => check.name === name);
    if (found.length !== 1) throw new Error(`${found.length} of ${area} ${name}`);
    return found[0]!;
  }

  /** Names of the stack's checks that are problems. */
  get problems(): string[] {
    const bad = this.checks.filter(({ state }) => state === 'problem');
    return bad.map(({ area, name }) => `${area} ${name}`);
  }
}

async function mirror(world: StackWorld): Promise<[string, string]> {
  const [first, second] = world.files(2, DISK_BYTES) as [string, string];
  await world.ok('create', 'tank', '--raid', 'raid1', first, second);
  return [first, second];
}

async function kill(world: StackWorld, name: string): Promise<void> {
  const pid = await world.serverPid(name);
  process.kill(pid, 'SIGKILL');
  await eventually('the server is gone', () => !processAlive(pid));
}

test.serial('a stack that runs: healthy, then degraded', async (t) => {
  const world = new StackWorld(t);
  const [first] = await mirror(world);
  await world.export('tank');
  await world.ok('wait', 'tank', '--for', 'idle');
  const told = await Told.of(t, world, 'tank');
  t.deepEqual(told.problems, []);
  const pid = await world.serverPid('tank');
  t.is(told.check('server', 'answer').found, `process ${pid} answers`);
  t.like(told.check('server', 'health'), { state: 'ok', found: 'healthy' });
  t.is(told.check('server', 'version').state, 'ok');
  t.is(told.check('server', 'log').state, 'ok');
  t.like(told.check('server', 'direct-io'), {
    state: 'ok',
    found: 'all of 2 devices are open past the page cache',
  });
  t.not(
    told.check('server', 'io-flusher').found,
    'the main thread is marked; which one the data path is cannot be told',
  );
  t.deepEqual(told.of('stack'), [], 'one that runs is not assembled again');
  t.is(told.check('leftovers', 'leftovers').state, 'ok');

  await world.ok('member', 'fail', 'tank', first);
  const degraded = await Told.of(t, world, 'tank');
  t.deepEqual(degraded.problems, ['server health']);
  t.regex(degraded.check('server', 'health').found, /^degraded: /);
  t.regex(degraded.check('server', 'health').action ?? '', /bandstand member add tank/);
  await world.ok('stop', 'tank');

  const stopped = await Told.of(t, world, 'tank');
  t.deepEqual(stopped.problems, ['stack start', 'stack member-0']);
  t.is(stopped.check('stack', 'start').found, 'it would start without 1 of 2 members');
  t.regex(
    stopped.check('stack', 'member-0').found,
    /^recorded as failed; .* has to be added again/,
  );
  t.is((await world.run('doctor', 'tank')).status, 1);
});

test.serial(
  'a stopped stack whose members are there would start, and nothing changes',
  async (t) => {
    const world = new StackWorld(t);
    const disks = await mirror(world);
    const before = disks.map((disk) => readFileSync(disk));
    const told = await Told.of(t, world, 'tank');
    t.is(told.status, 0);
    t.is(told.check('stack', 'start').found, 'it would start');
    t.deepEqual(
      told
        .of('stack')
        .filter(({ name }) => name.startsWith('member'))
        .map(({ found }) => found),
      disks,
    );
    t.true(disks.every((disk, index) => readFileSync(disk).equals(before[index]!)));
    t.false(existsSync(world.path('run')), 'not even the run directory is made');
  },
);

test.serial(
  'what is wrong with a member is told: gone, foreign, another array, small',
  async (t) => {
    const world = new StackWorld(t);
    const [first] = await mirror(world);
    const away = world.path('away.img');
    renameSync(first, away);
    const gone = await Told.of(t, world, 'tank');
    t.deepEqual(gone.problems, ['stack start', 'stack member-0']);
    t.regex(gone.check('stack', 'start').found, /^cannot assemble tank: 1 of 2 members is missing/);
    t.is(
      gone.check('stack', 'member-0').found,
      `no device holds it; cannot use ${first}: there is no such device or file`,
    );
    const refused = await world.spawn('export', 'tank', '--via', 'nbd');
    t.true(refused.stderr.includes(gone.check('stack', 'start').found), 'the words of an export');

    const swap = Buffer.alloc(DISK_BYTES);
    swap.write('SWAPSPACE2', 4086, 'latin1');
    writeFileSync(first, swap);
    const foreign = await Told.of(t, world, 'tank');
    t.regex(
      foreign.check('stack', 'member-0').found,
      /^no device holds it; .*disk0\.img is there: .*swap/,
    );

    const others = [world.file('other0.img', DISK_BYTES), world.file('other1.img', DISK_BYTES)];
    await world.ok('create', 'pond', '--raid', 'raid1', ...others);
    copyFileSync(others[0]!, first);
    const other = await Told.of(t, world, 'tank');
    t.regex(other.check('stack', 'member-0').found, /disk0\.img is there: member of pond/);

    copyFileSync(away, first);
    writeFileSync(first, readFileSync(away).subarray(0, DISK_BYTES / 2));
    const small = await Told.of(t, world, 'tank');
    t.deepEqual(small.problems, ['stack start', 'stack member-0']);
    t.regex(small.check('stack', 'start').found, /has 2048 blocks, the array uses 4096 of it$/);
    const action = small.check('stack', 'start').action ?? '';
    t.regex(action, /bandstand export tank --degraded --device \S+disk1\.img$/);
    const [, command] = action.split('bandstand ');
    t.truthy(command);
    const words = action.slice(action.lastIndexOf('bandstand ')).split(' ').slice(2);
    await world.export('tank', ...words.slice(1));
    await world.ok('stop', 'tank');
  },
);

test.serial('damage is told with the field, and one copy of a label is a warning', async (t) => {
  const world = new StackWorld(t);
  const [first] = await mirror(world);
  const whole = readFileSync(first);
  const label = Buffer.from(whole);
  label[64 * 1024 + 200] ^= 1;
  writeFileSync(first, label);
  const copy = await Told.of(t, world, 'tank');
  t.is(copy.status, 0);
  t.regex(copy.check('stack', 'metadata').found, /disk0\.img, label copy 0/);
  const superblock = Buffer.from(whole);
  superblock[40] ^= 1;
  writeFileSync(first, superblock);
  const damaged = await Told.of(t, world, 'tank');
  t.regex(damaged.check('stack', 'start').found, /cannot assemble tank|cannot use the superblock/);
  t.regex(damaged.check('stack', 'member-0').found, /disk0\.img: crc: the checksum is /);
});

test.serial('a killed server leaves things, each with a command, and export goes on', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(3, 2 * DISK_BYTES);
  const ssd = world.file('ssd.img', 6 * 2 ** 20);
  const strip = ['--raid', 'raid5f', '--strip-size', '32K'];
  await world.ok('create', 'tank', ...strip, ...disks);
  await world.export('tank');
  const running = await Told.of(t, world, 'tank');
  t.is(running.check('server', 'write-buffer').state, 'ok');
  await kill(world, 'tank');
  const left = await Told.of(t, world, 'tank');
  t.deepEqual(left.problems, ['leftovers write-buffer']);
  t.regex(left.check('leftovers', 'files').found, /tank\.control\.sock, .*tank\.nbd$/);
  t.regex(left.check('stack', 'write-buffer').found, /is there: the start writes what is in it$/);
  const buffer = left.check('leftovers', 'write-buffer').found.split(' ').at(-1)!;
  rmSync(buffer);
  const lost = await Told.of(t, world, 'tank');
  t.deepEqual(lost.problems, ['stack start', 'stack write-buffer']);
  t.regex(lost.check('stack', 'start').action ?? '', /export tank --discard-buffer$/);
  t.is((await world.spawn('export', 'tank', '--via', 'nbd')).status, 1, 'as doctor says');
  await world.export('tank', '--discard-buffer');
  await world.ok('cache', 'attach', 'tank', ssd);
  await world.ok('stop', 'tank');
  const clean = await Told.of(t, world, 'tank');
  t.deepEqual(clean.problems, []);
  t.like(clean.check('stack', 'nv-cache'), { state: 'ok', found: ssd });
  t.is(clean.check('leftovers', 'leftovers').state, 'ok');

  renameSync(ssd, `${ssd}.away`);
  world.file('ssd.img', 6 * 2 ** 20);
  const wrong = await Told.of(t, world, 'tank');
  t.deepEqual(wrong.problems, ['stack start', 'stack nv-cache']);
  t.regex(wrong.check('stack', 'nv-cache').found, /it has no header of one$/);
  t.is(wrong.check('stack', 'ftl').state, 'ok');
});

test.serial('layers are found or told: a mirrored cache, the FTL, a bare array', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(3, 2 * DISK_BYTES);
  const caches = ['ssd0.img', 'ssd1.img'].map((name) => world.file(name, 6 * 2 ** 20));
  const strip = ['--raid', 'raid5f', '--strip-size', '32K', '--cache', caches.join(',')];
  await world.ok('create', 'tank', ...strip, ...disks);
  const whole = await Told.of(t, world, 'tank');
  t.deepEqual(whole.problems, []);
  t.is(whole.check('stack', 'nv-cache').found, `a mirror on ${caches.join(' and ')}`);
  rmSync(caches[0]!);
  const half = await Told.of(t, world, 'tank');
  t.deepEqual(half.problems, ['stack start', 'stack nv-cache']);
  t.regex(half.check('stack', 'nv-cache').found, /1 of 2 members is missing/);
  for (const disk of disks) {
    const content = readFileSync(disk);
    content.fill(0, 2 ** 20);
    writeFileSync(disk, content);
  }
  const empty = await Told.of(t, world, 'tank');
  t.deepEqual(empty.problems, ['stack start', 'stack ftl']);
  t.is(empty.check('stack', 'nv-cache').state, 'not-applicable');

  const bare = ['bare0.img', 'bare1.img'].map((name) => world.file(name, DISK_BYTES));
  await world.ok(
    'create',
    'pond',
    '--raid',
    'raid0',
    '--strip-size',
    '64K',
    '--no-superblock',
    ...bare,
  );
  const pond = await Told.of(t, world, 'pond');
  t.deepEqual(pond.problems, []);
  t.is(pond.check('stack', 'member-1').state, 'ok');
  truncateSync(bare[1]!, DISK_BYTES / 2);
  const shrunk = await Told.of(t, world, 'pond');
  t.deepEqual(shrunk.problems, ['stack start']);
  t.regex(shrunk.check('stack', 'start').found, /its members give .* it was created with/);
});

test.serial('a server that hangs with its lock is told, and how to give up on it', async (t) => {
  const world = new StackWorld(t);
  await mirror(world);
  await world.export('tank');
  const pid = await world.serverPid('tank');
  process.kill(pid, 'SIGSTOP');
  const { status, stdout } = await world.run('doctor', 'tank', '--json', '--timeout', '300ms');
  process.kill(pid, 'SIGCONT');
  t.is(status, 1);
  const checks: ToldCheck[] = JSON.parse(stdout).data.checks;
  const answer = checks.find(({ name }) => name === 'answer')!;
  t.is(answer.state, 'problem');
  t.regex(answer.action ?? '', new RegExp(`kill -9 ${pid}, then bandstand export tank$`));
  await world.ok('stop', 'tank');
});

test.serial('a lock whose process answers nobody is told', async (t) => {
  const world = new StackWorld(t);
  await mirror(world);
  mkdirSync(world.path('run'));
  const native = loadAddon();
  const fd = native.fileOpen(
    world.path('run/tank.lock'),
    constants.O_RDWR | constants.O_CREAT,
    0o600,
  );
  t.is(native.fileLock(fd, true), 0);
  const told = await Told.of(t, world, 'tank');
  native.fileClose(fd);
  t.deepEqual(told.problems, ['leftovers lock']);
  t.regex(
    told.check('leftovers', 'lock').found,
    new RegExp(`^process ${process.pid} has the lock`),
  );
  t.is(told.check('stack', 'start').state, 'not-applicable');
  t.is((await Told.of(t, world, 'tank')).status, 0, 'the lock went with its descriptor');
});

test.serial('a name that nobody knows is an error, and text ends with a summary', async (t) => {
  const world = new StackWorld(t);
  await mirror(world);
  const unknown = await world.run('doctor', 'tnak');
  t.is(unknown.status, 1);
  t.regex(unknown.stderr, /cannot find a stack called tnak[\s\S]*did you mean tank/);
  const { stdout } = await world.run('doctor');
  t.regex(stdout, /^machine\n/);
  t.regex(stdout, /\nstack tank\n {2}ok {7}start/);
  t.regex(stdout, /\n\n(no|\d+) problems?, (no|\d+) warnings?, \d+ checks in order\n$/);
});
