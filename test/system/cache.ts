/**
 * Stacks with an NV cache, whose servers are real processes: kills, a cache that has gone or is an
 * old copy, and caches that come and go while a client writes.
 */

import { copyFileSync, readFileSync, renameSync } from 'node:fs';
import test from 'ava';
import { processAlive } from '../../src/cli/process-alive.ts';
import { AcknowledgedWrites, generator, LOG_BLOCK_BYTES } from '../_helpers/acknowledged-writes.ts';
import { printedError } from '../_helpers/run-cli.ts';
import { eventually, noise, StackWorld } from '../_helpers/running-stack.ts';

const SEED = Number(process.env['BANDSTAND_SEED'] ?? 20261127);
const KILLS = Number(process.env['BANDSTAND_KILLS'] ?? 4);
const MIB = 2 ** 20;
const DISK_BYTES = 32 * MIB;
/** Small, so that a few thousand writes go round it. */
const CACHE_BYTES = 6 * MIB;
const ACKNOWLEDGED_MAX = 3000;

async function cached(world: StackWorld): Promise<{ ssd: string }> {
  const disks = world.files(3, DISK_BYTES);
  const ssd = world.file('ssd.img', CACHE_BYTES);
  await world.ok(
    'create',
    'tank',
    '--raid',
    'raid5f',
    '--strip-size',
    '32K',
    ...disks,
    '--cache',
    ssd,
  );
  return { ssd: ssd };
}

async function kill(world: StackWorld): Promise<void> {
  const pid = await world.serverPid('tank');
  process.kill(pid, 'SIGKILL');
  await eventually('the server is gone', () => !processAlive(pid));
}

test.serial(
  'a stack with a cache loses nothing that was acknowledged when it is killed',
  async (t) => {
    t.log(`seed ${SEED}`);
    t.timeout(100_000 + KILLS * 10_000);
    const world = new StackWorld(t);
    await cached(world);
    await world.export('tank');
    const random = generator(SEED);
    const blocks = new Set<number>();
    while (blocks.size < 3000) blocks.add(Math.floor((random() * 40 * MIB) / LOG_BLOCK_BYTES));
    const log = new AcknowledgedWrites([...blocks], SEED);
    for (let round = 0; round < KILLS; round += 1) {
      const client = await world.connect('tank');
      const pid = await world.serverPid('tank');
      const after = 1 + Math.floor(random() * ACKNOWLEDGED_MAX);
      const gone = await log.load(client, {
        depth: 32,
        acknowledged: (count) => {
          if (count === after) process.kill(pid, 'SIGKILL');
        },
      });
      t.true(gone, 'the load ends with its server');
      await eventually('the server is gone', () => !processAlive(pid));
      await world.export('tank');
      const again = await world.connect('tank');
      await log.verify(again);
      await again.disconnect();
    }
    t.log(`${log.total} writes acknowledged, ${KILLS} kills`);
    await world.ok('stop', 'tank');
    await world.export('tank');
    const last = await world.connect('tank');
    await log.verify(last);
    await last.disconnect();
    await world.ok('stop', 'tank');
  },
);

test.serial(
  'a stack does not start without its cache, nor with another one or an old copy',
  async (t) => {
    const world = new StackWorld(t);
    const { ssd } = await cached(world);
    const data = noise(MIB, 1);
    await world.export('tank');
    await world.write('tank', data);
    await world.ok('stop', 'tank');
    copyFileSync(ssd, `${ssd}.old`);
    renameSync(ssd, `${ssd}.away`);
    const missing = await world.spawn('export', 'tank', '--via', 'nbd');
    t.is(missing.status, 1);
    t.regex(missing.stderr, /its NV cache .* is not there.*\n.*--discard-cache/);
    const json = await world.spawn('export', 'tank', '--via', 'nbd', '--json');
    t.is(printedError(json).code, 'BANDSTAND_CACHE_MISSING');
    await world.export('tank', '--cache', `${ssd}.away`);
    t.deepEqual(await world.read('tank', data.length), data);
    await world.ok('stop', 'tank');
    const old = await world.spawn('export', 'tank', '--via', 'nbd', '--cache', `${ssd}.old`);
    t.is(old.status, 1);
    t.regex(old.stderr, /is an old copy/);
    // Where it was last is remembered.
    await world.export('tank');
    t.deepEqual(await world.read('tank', data.length), data);
    await world.ok('stop', 'tank');
    const both = await world.spawn('export', 'tank', '--cache', ssd, '--discard-cache');
    t.is(both.status, 2);
    await world.export('tank', '--discard-cache', '--yes');
    const status = await world.status('tank');
    t.is(status['cache'] as unknown, null);
    await world.ok('stop', 'tank');
    await world.export('tank');
    await world.ok('stop', 'tank');
  },
);

test.serial('read-only, what lies in the cache is shown, and nothing is written', async (t) => {
  const world = new StackWorld(t);
  const { ssd } = await cached(world);
  const data = noise(MIB, 2);
  await world.export('tank');
  await world.write('tank', data);
  await kill(world);
  // The write buffer of the FTL is taken over by a start for writing only.
  await world.export('tank');
  await world.ok('stop', 'tank');
  const before = readFileSync(ssd);
  await world.export('tank', '--read-only');
  t.deepEqual(await world.read('tank', data.length), data);
  await world.ok('stop', 'tank');
  t.deepEqual(readFileSync(ssd), before);
});

test.serial('a cache is attached and detached under a load', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(3, DISK_BYTES);
  const ssd = world.file('ssd.img', CACHE_BYTES);
  await world.ok('create', 'tank', '--raid', 'raid5f', '--strip-size', '32K', ...disks);
  await world.export('tank');
  const refused = await world.spawn('cache', 'detach', 'tank');
  t.is(refused.status, 1);
  const log = new AcknowledgedWrites(
    Array.from({ length: 2000 }, (_, block) => block),
    SEED,
  );
  const client = await world.connect('tank');
  const steps = [
    ['cache', 'attach', 'tank', ssd],
    ['cache', 'detach', 'tank'],
    ['cache', 'attach', 'tank', ssd],
  ];
  for (const words of steps) {
    let isOver = false;
    const change = world.ok(...words).finally(() => {
      isOver = true;
    });
    await log.load(client, { depth: 16, acknowledged: () => {}, until: () => isOver });
    await change;
  }
  const status = await world.status('tank');
  t.like(status['cache'], { device: ssd, health: 'ok' });
  const second = await world.spawn('cache', 'attach', 'tank', disks[0]!);
  t.is(second.status, 1);
  t.regex(second.stderr, /it (has one|holds|is)/);
  await client.disconnect();
  await kill(world);
  await world.export('tank');
  const again = await world.connect('tank');
  await log.verify(again);
  await again.disconnect();
  await world.ok('cache', 'detach', 'tank');
  const { stdout } = await world.ok('examine', ssd);
  t.regex(stdout, /nothing recognised/);
  await world.ok('stop', 'tank');
  await world.export('tank');
  const last = await world.connect('tank');
  await log.verify(last);
  await last.disconnect();
  await world.ok('stop', 'tank');
});

test.serial('examine shows a cache, and wipe takes its header away', async (t) => {
  const world = new StackWorld(t);
  const { ssd } = await cached(world);
  const { stdout } = await world.ok('examine', ssd);
  t.regex(stdout, /an NV cache/);
  t.regex(stdout, /phase 1, started 0 times, clean/);
  const json = JSON.parse((await world.ok('examine', '--json', ssd)).stdout);
  t.like(json.data.devices[0].nv_cache, { state: 'ok', phase: 1, epoch: 0 });
  const other = world.file('other.img', DISK_BYTES);
  const taken = await world.spawn('create', 'two', '--raid', 'raid0', ssd, other);
  t.is(taken.status, 1);
  t.regex(taken.stderr, /holds bandstand's NV cache/);
  await world.ok('wipe', ssd, '--yes');
  t.regex((await world.ok('examine', ssd)).stdout, /nothing recognised/);
});

test.serial('a cache that cannot be read to its end is not let go of', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(3, DISK_BYTES);
  const ssd = world.file('ssd.img', CACHE_BYTES);
  await world.ok('create', 'tank', '--raid', 'raid5f', '--strip-size', '32K', ...disks);
  await world.export('tank');
  const old = noise(2 * MIB, 3);
  await world.write('tank', old);
  // In the middle of the ring, and at neither end, which attach reads.
  const blocks = MIB / LOG_BLOCK_BYTES;
  const bad = `error(${ssd},op=read,first=${2 * blocks},count=${blocks})`;
  await world.ok('cache', 'attach', 'tank', bad);
  await world.write('tank', noise(3 * MIB, 4));
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const { status, stderr } = await world.spawn('cache', 'detach', 'tank');
    t.is(status, 1);
    t.regex(stderr, /blocks were lost with it, and their older copies would show\n.*write these/);
  }
  const cache = (await world.status('tank'))['cache'] as { lost_blocks: number } | null;
  t.true(cache !== null && cache.lost_blocks > 0);
  // No older copy is given in their place.
  await t.throwsAsync(world.read('tank', old.length));
  await world.ok('stop', 'tank');
});

test.serial('after a kill, the start and the recovery can be watched and waited for', async (t) => {
  const world = new StackWorld(t);
  const { ssd } = await cached(world);
  await world.export('tank');
  await world.write('tank', noise(MIB, 3));
  const undrained = await world.spawn('wait', 'tank', '--for', 'drain');
  t.is(undrained.status, 1);
  t.regex(undrained.stderr, /nothing drains it: .* stay in its NV cache/);
  await kill(world);
  // So slow that the start can be looked at; each operation takes so long.
  const exporting = world.export('tank', '--cache', `delay(${ssd},min=150ms,max=150ms)`);
  const steps = new Set<string>();
  for (;;) {
    const { activity, health, server } = (await world.status('tank')) as unknown as {
      activity: { kind: string; step: string };
      health: string;
      server: object | null;
    };
    if (health !== 'stopped') break;
    if (server === null) continue;
    t.is(activity.kind, 'recovery');
    steps.add(activity.step);
  }
  await exporting;
  t.true(steps.has('Scan the NV cache'), [...steps].join(', '));
  const waited = await world.ok('wait', 'tank', '--for', 'recovery', '--json');
  t.like(JSON.parse(waited.stdout).data, { for: 'recovery', lost_blocks: 0 });
  t.regex(JSON.parse(waited.stdout).data.message, /is drained: 1/);
  await world.ok('wait', 'tank', '--for', 'drain');
  const { cache } = (await world.status('tank')) as unknown as {
    cache: { state: string; recovery: { over: boolean; blocks_done: number } };
  };
  t.like(cache, { state: 'ready', undrained_bytes: 0 });
  t.true(cache.recovery.over && cache.recovery.blocks_done > 256);
  const { stdout } = await world.ok('events', 'tank');
  t.regex(stdout, /Scan the NV cache: 1.534 scanned blocks, 0 unreadable blocks, \d+ records/);
  await world.ok('stop', 'tank');
});

test.serial('a start that fails leaves the traces of the crash before it', async (t) => {
  const world = new StackWorld(t);
  const { ssd } = await cached(world);
  await world.export('tank');
  await kill(world);
  renameSync(ssd, `${ssd}.away`);
  // An export over NBD would clean up before it begins.
  const failed = await world.spawn('export', 'tank');
  t.is(failed.status, 1);
  t.like(await world.status('tank'), {
    server: null,
    reason: 'its server ended without a clean stop',
  });
  renameSync(`${ssd}.away`, ssd);
  await world.export('tank');
  await world.ok('stop', 'tank');
});

test.serial('a cache that is lost stops all changes, and says what to do', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(3, DISK_BYTES);
  const ssd = world.file('ssd.img', CACHE_BYTES);
  await world.ok('create', 'tank', '--raid', 'raid5f', '--strip-size', '32K', ...disks);
  await world.export('tank');
  const old = noise(2 * MIB, 5);
  await world.write('tank', old);
  // Its header can be written as often as attach does that, and then no more.
  const blocks = MIB / LOG_BLOCK_BYTES;
  const unwritable = `error(${ssd},op=write,first=0,count=2,skip=6)`;
  const bad = `error(${unwritable},op=read,first=${2 * blocks},count=${blocks})`;
  await world.ok('cache', 'attach', 'tank', bad);
  await world.write('tank', noise(3 * MIB, 6));
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const { status, stderr } = await world.spawn('cache', 'detach', 'tank');
    t.is(status, 1);
    t.regex(stderr, /blocks that nothing else has\n.*bandstand stop tank.*--discard-cache/);
  }
  const status = await world.status('tank');
  t.like(status, { health: 'failed', cache: { device: ssd, health: 'failed' } });
  t.regex(status['reason'] as string, /nothing can be written any more, only read: .*ssd\.img/);
  t.regex(status['action'] as string, /ssd\.img is back.*bandstand stop tank.*--discard-cache/);
  const { stdout } = await world.ok('events', 'tank');
  t.regex(stdout, /nothing can be written any more, only read: its cache has failed/);
  t.notRegex(stdout, /the array has failed/);
  await t.throwsAsync(world.write('tank', old));
  // No older copy is given in place of what cannot be read.
  await t.throwsAsync(world.read('tank', old.length));
  await world.ok('stop', 'tank');
});

interface ListedLoss {
  readonly discarded_cache: {
    readonly known: boolean;
    readonly epoch: number;
    readonly blocks: number | null;
    readonly range_count: number | null;
    readonly ranges: readonly { readonly block: number; readonly block_count: number }[];
  };
}

test.serial('what is lost with a cache is listed first, and has to be confirmed', async (t) => {
  const world = new StackWorld(t);
  const { ssd } = await cached(world);
  await world.export('tank');
  await world.write('tank', noise(128 * 1024, 4));
  await world.write('tank', noise(8192, 5), MIB);
  const running = await world.spawn('export', 'tank', '--discard-cache', '--dry-run');
  t.is(running.status, 1);
  t.regex(running.stderr, /a server of it runs, and uses it/);
  await kill(world);
  const list = async (): Promise<ListedLoss['discarded_cache']> => {
    const { stdout } = await world.ok('export', 'tank', '--discard-cache', '--dry-run', '--json');
    return (JSON.parse(stdout).data as ListedLoss).discarded_cache;
  };
  const before = readFileSync(ssd);
  const dry = await world.ok('export', 'tank', '--discard-cache', '-n');
  t.regex(dry.stdout, /^34 blocks \(136 KiB\) that are newer there are lost with the NV cache/);
  t.regex(dry.stdout, /\n {2}blocks 0 to 31\n {2}blocks 256 to 257\n$/);
  t.like(await list(), {
    known: true,
    blocks: 34,
    range_count: 2,
    ranges: [
      { block: 0, block_count: 32 },
      { block: 256, block_count: 2 },
    ],
    trimmed_blocks: 0,
  });
  const refused = await world.spawn('export', 'tank', '--via', 'nbd', '--discard-cache');
  t.is(refused.status, 1);
  t.regex(refused.stderr, /34 blocks .* would be lost, and nobody can be asked\n.*--yes/);
  t.deepEqual(readFileSync(ssd), before, 'nothing was written');

  renameSync(ssd, `${ssd}.away`);
  t.like(await list(), { known: false, blocks: null, epoch: 1 });
  const gone = await world.spawn('export', 'tank', '--via', 'nbd', '--discard-cache');
  t.is(gone.status, 1);
  t.regex(gone.stderr, /since it was last drained are lost, flushed or not\n/);
  renameSync(`${ssd}.away`, ssd);

  // What is drained is lost with nothing, and nobody has to be asked.
  await world.export('tank');
  await world.ok('wait', 'tank', '--for', 'recovery');
  await world.ok('stop', 'tank');
  t.like(await list(), { known: true, blocks: 0, range_count: 0 });
  await world.export('tank', '--discard-cache');
  t.deepEqual(await world.read('tank', 8192, MIB), noise(8192, 5));
  await world.ok('stop', 'tank');
  const none = await world.ok('export', 'tank', '--discard-cache', '--dry-run');
  t.is(none.stdout, 'tank has no NV cache that could be given up\n');
});

test.serial('a trim that only a cache knows of is listed among what is lost with it', async (t) => {
  const world = new StackWorld(t);
  await cached(world);
  await world.export('tank');
  await world.write('tank', noise(64 * 1024, 6));
  await kill(world);
  await world.export('tank');
  await world.ok('wait', 'tank', '--for', 'recovery');
  // Now the FTL has it on the members, too.
  await world.ok('stop', 'tank');
  await world.export('tank');
  const client = await world.connect('tank');
  await client.trim(0, 8192);
  await client.flush();
  await client.disconnect();
  await kill(world);
  const { stdout } = await world.ok('export', 'tank', '--discard-cache', '--dry-run', '--json');
  t.like(JSON.parse(stdout).data.discarded_cache, { blocks: 0, trimmed_blocks: 2 });
});
