/**
 * Stacks whose NV cache is a mirror of two: the loss of one of them loses nothing, at any moment,
 * and is made good as in the stack's own array.
 */

import { copyFileSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { processAlive } from '../../src/cli/process-alive.ts';
import type { CacheStatusDocument, StatusDocument } from '../../src/control/schema.ts';
import { AcknowledgedWrites } from '../_helpers/acknowledged-writes.ts';
import { printedError } from '../_helpers/run-cli.ts';
import { eventually, noise, StackWorld } from '../_helpers/running-stack.ts';

const MIB = 2 ** 20;
const DISK_BYTES = 32 * MIB;
const CACHE_BYTES = 8 * MIB;

class MirrorWorld extends StackWorld {
  readonly disks = this.files(3, DISK_BYTES);
  readonly a = this.file('a.img', CACHE_BYTES);
  readonly b = this.file('b.img', CACHE_BYTES);
  readonly #data = new Map<number, Buffer>();
  readonly #t: ExecutionContext;

  constructor(t: ExecutionContext) {
    super(t);
    this.#t = t;
  }

  async create(...words: string[]): Promise<void> {
    const array = ['--raid', 'raid5f', '--strip-size', '32K', ...this.disks];
    await this.ok('create', 'tank', ...array, ...words);
  }

  async mirrored(): Promise<void> {
    await this.create('--cache', `${this.a},${this.b}`);
    await this.export('tank');
  }

  /** Writes a MiB of its own to that place. */
  async put(place: number, seed: number): Promise<void> {
    const data = noise(MIB, seed);
    this.#data.set(place, data);
    await this.write('tank', data, place * MIB);
  }

  /** Everything that was written is there. */
  async verify(): Promise<void> {
    for (const [place, data] of this.#data) {
      const found = await this.read('tank', MIB, place * MIB);
      this.#t.true(found.equals(data), `what was written to place ${place} is there`);
    }
  }

  async kill(): Promise<void> {
    const pid = await this.serverPid('tank');
    process.kill(pid, 'SIGKILL');
    await eventually('the server is gone', () => !processAlive(pid));
  }

  async document(): Promise<StatusDocument> {
    return (await this.status('tank')) as unknown as StatusDocument;
  }

  async cache(): Promise<CacheStatusDocument> {
    const { cache } = await this.document();
    this.#t.truthy(cache);
    return cache!;
  }

  /** Health of the members of the mirror, in the order of slots. */
  async halves(): Promise<string[]> {
    return (await this.cache()).array!.members.map(({ health }) => health);
  }

  async settled(): Promise<void> {
    for (let left = 600; left > 0; left -= 1) {
      const { activity } = await this.cache();
      if (activity!.kind === 'idle') return;
      await sleep(50);
    }
    throw new Error('the mirror does not come to rest');
  }
}

test.serial('losing one half after the other, with kills between, loses nothing', async (t) => {
  t.timeout(300_000);
  const world = new MirrorWorld(t);
  await world.mirrored();
  t.like(await world.cache(), { device: 'tank-cache', health: 'ok' });
  t.deepEqual(await world.halves(), ['ok', 'ok']);
  await world.put(0, 1);
  await world.settled();
  await world.kill();

  await world.export('tank');
  await world.verify();
  await world.put(1, 2);
  await world.kill();

  // The half in slot 0 is lost: a start has to be told.
  rmSync(world.a);
  const refused = await world.spawn('export', 'tank', '--via', 'nbd');
  t.is(refused.status, 1);
  t.regex(refused.stderr, /tank-cache: 1 of 2 members is missing.*\n.*--degraded/);
  await world.export('tank', '--degraded');
  await world.verify();
  const lost = await world.document();
  t.is(lost.health, 'degraded');
  t.regex(lost.reason!, /its NV cache is degraded: the member in slot 0 is missing/);
  t.regex(lost.action!, /bandstand member add tank DEVICE --cache/);
  t.deepEqual(await world.halves(), ['missing', 'ok']);
  await world.put(2, 3);
  await world.ok('stop', 'tank');

  // By now it is on record.
  await world.export('tank');
  await world.verify();
  const fresh = world.file('c.img', CACHE_BYTES);
  const added = await world.ok('member', 'add', 'tank', fresh, '--cache');
  t.regex(added.stdout, /rebuild of slot cache:0 started/);
  await world.put(3, 4);
  await world.ok('wait', 'tank', '--for', 'rebuild');
  t.deepEqual(await world.halves(), ['ok', 'ok']);
  t.is((await world.document()).health, 'healthy');
  await world.put(4, 5);
  await world.kill();

  rmSync(world.b);
  await world.export('tank', '--degraded');
  await world.verify();
  t.deepEqual(await world.halves(), ['ok', 'missing']);
  await world.put(5, 6);
  await world.ok('stop', 'tank');
  await world.export('tank');
  await world.verify();
  await world.ok('stop', 'tank');
});

test.serial('two devices are attached and detached under a load, and are free then', async (t) => {
  t.timeout(300_000);
  const world = new MirrorWorld(t);
  await world.create();
  await world.export('tank');
  const log = new AcknowledgedWrites(
    Array.from({ length: 2000 }, (_, block) => block),
    20261127,
  );
  const client = await world.connect('tank');
  const { a, b } = world;
  const rehearsed = await world.ok('cache', 'attach', 'tank', a, b, '--dry-run');
  t.regex(rehearsed.stdout, /a.img and .*b.img \(7 MiB\) can be attached to tank; nothing/);
  const steps = [
    ['cache', 'attach', 'tank', a, b],
    ['cache', 'detach', 'tank'],
    ['cache', 'attach', 'tank', `${b},${a}`],
  ];
  for (const words of steps) {
    let isOver = false;
    const change = world.ok(...words).finally(() => {
      isOver = true;
    });
    await log.load(client, { depth: 16, acknowledged: () => {}, until: () => isOver });
    await change;
  }
  await client.disconnect();
  const cache = await world.cache();
  t.like(cache, { device: 'tank-cache', health: 'ok' });
  t.deepEqual(
    cache.array!.members.map(({ device }) => device),
    [b, a],
  );
  const third = world.file('c.img', CACHE_BYTES);
  const second = printedError(await world.spawn('cache', 'attach', 'tank', third, '--json'));
  t.is(second.code, 'BANDSTAND_CACHE_PRESENT');
  t.regex(second.message, /it has one, tank-cache$/);
  await world.kill();
  await world.export('tank');
  const again = await world.connect('tank');
  await log.verify(again);
  const detached = await world.ok('cache', 'detach', 'tank', '--json');
  t.deepEqual(JSON.parse(detached.stdout).data.devices, [b, a]);
  await log.verify(again);
  await again.disconnect();
  t.is((await world.document()).cache, null);
  for (const path of [a, b]) {
    t.regex((await world.ok('examine', path)).stdout, /nothing recognised/);
  }
  await world.ok('stop', 'tank');
  await world.export('tank');
  const last = await world.connect('tank');
  await log.verify(last);
  await last.disconnect();
  await world.ok('stop', 'tank');
});

test.serial('members of the mirror fail, are removed, come back and are replaced', async (t) => {
  t.timeout(300_000);
  const world = new MirrorWorld(t);
  await world.mirrored();
  await world.put(0, 11);
  await world.settled();
  const { a, b } = world;

  // Slot 0 is the stack's own; that of the mirror has a name of its own.
  const dry = await world.ok('member', 'fail', 'tank', '0', '--dry-run');
  t.regex(dry.stdout, /would fail .*0.img \(slot 0\)/);
  const failed = await world.ok('member', 'fail', 'tank', 'cache:0');
  t.regex(failed.stdout, /failed .*a.img \(slot cache:0\); the NV cache of tank is degraded/);
  t.regex(failed.stdout, /bandstand member add tank DEVICE --cache/);
  const status = await world.ok('status', 'tank');
  t.regex(status.stdout, /^ +health: degraded$/m);
  t.regex(status.stdout, /^ +cache +raid1 +degraded/m);
  t.regex(status.stdout, /^ +cache:0 +\S+a.img +member +failed/m);
  const needed = await world.spawn('member', 'fail', 'tank', b);
  t.regex(needed.stderr, /the NV cache of tank is already degraded and raid1 of 2 members/);
  const unknown = await world.spawn('member', 'fail', 'tank', 'nobody');
  t.regex(unknown.stderr, /it has slot 0, .*slot cache:0, .*slot cache:1, /);
  await world.put(1, 12);

  // It comes back where it was, without another word, and is given what it missed.
  const held = await world.spawn('member', 'add', 'tank', a);
  t.regex(held.stderr, /it is in slot 0 already, and has failed\n.*bandstand member remove tank/);
  await world.ok('member', 'remove', 'tank', a);
  const back = await world.ok('member', 'add', 'tank', a);
  t.regex(back.stdout, /rebuild of slot cache:0 started, of what it missed/);
  await world.ok('wait', 'tank', '--for', 'rebuild');
  t.deepEqual(await world.halves(), ['ok', 'ok']);

  const fresh = world.file('c.img', CACHE_BYTES);
  const replaced = await world.ok('member', 'replace', 'tank', 'b.img', fresh);
  t.regex(replaced.stdout, /replacing .*b.img \(slot cache:1\) with .*c.img/);
  await world.put(2, 13);
  await world.ok('wait', 'tank', '--for', 'rebuild');
  const { array } = await world.cache();
  t.deepEqual(
    array!.members.map(({ device }) => device),
    [a, fresh],
  );
  const events = await world.ok('events', 'tank');
  t.regex(events.stdout, /NV cache: .*a.img .*slot 0/);

  // A spare of the cache, which takes the next lost place by itself.
  const spare = world.file('d.img', CACHE_BYTES);
  const added = await world.ok('member', 'add', 'tank', spare, '--cache');
  t.regex(added.stdout, /as a spare of the NV cache/);
  await world.ok('member', 'fail', 'tank', a);
  await world.ok('wait', 'tank', '--for', 'rebuild');
  await world.verify();
  const shown = await world.ok('rebuild', 'tank', '--cache');
  t.regex(shown.stdout, /no rebuild is running/);
  await world.kill();
  rmSync(fresh);
  await world.export('tank', '--degraded');
  await world.verify();
  await world.ok('stop', 'tank');
});

test.serial('a half that was left behind is never taken for the cache', async (t) => {
  t.timeout(300_000);
  const world = new MirrorWorld(t);
  await world.mirrored();
  await world.put(0, 21);
  await world.settled();
  await world.ok('member', 'fail', 'tank', world.a);
  // In the life in which it was lost: only the epoch tells, its own superblock knows nothing.
  await world.put(0, 22);
  await world.kill();
  renameSync(world.b, `${world.b}.away`);
  const plain = await world.spawn('export', 'tank', '--via', 'nbd');
  t.is(plain.status, 1);
  t.regex(plain.stderr, /tank-cache: 1 of 2 members is missing/);
  const forced = await world.spawn('export', 'tank', '--via', 'nbd', '--degraded');
  t.is(forced.status, 1);
  t.regex(forced.stderr, /cannot use tank-cache as the NV cache of tank: it is an old copy/);

  // Where the other one is, both are known for what they are.
  await world.export('tank', '--cache', `${world.a},${world.b}.away`);
  await world.verify();
  t.deepEqual(await world.halves(), ['missing', 'ok']);
  await world.ok('member', 'add', 'tank', world.a);
  await world.ok('wait', 'tank', '--for', 'rebuild');
  t.deepEqual(await world.halves(), ['ok', 'ok']);
  await world.verify();
  await world.ok('stop', 'tank');
  // Where it is now is remembered.
  rmSync(world.a);
  await world.export('tank', '--degraded');
  await world.verify();
  await world.ok('stop', 'tank');
});

test.serial('one half that fails under writes is out before anything is answered', async (t) => {
  t.timeout(300_000);
  const world = new MirrorWorld(t);
  await world.create();
  await world.export('tank');
  await world.put(0, 31);
  // It is scrubbed with zeroes; the first record that comes to it fails.
  const bad = `error(${world.a},op=write,first=${(3 * MIB) / 4096},count=1)`;
  await world.ok('cache', 'attach', 'tank', bad, world.b);
  for (let place = 1; place < 5; place += 1) await world.put(place, 31 + place);
  await world.verify();
  t.deepEqual(await world.halves(), ['failed', 'ok']);
  const { health, reason } = await world.document();
  t.is(health, 'degraded');
  t.regex(reason!, /its NV cache is degraded: \S+a.img \(slot 0\) is failed/);
  const events = await world.ok('events', 'tank', '--json');
  t.regex(events.stdout, /"message":"NV cache: the member in slot 0 \(\S+\) is out of service"/);
  t.regex(events.stdout, /"action":"bandstand member add tank DEVICE --cache \(a further/);
  await world.kill();
  // The loss is on record, so nobody has to be asked; the device is there again, and is not used.
  await world.export('tank');
  await world.verify();
  t.is((await world.halves())[1], 'ok');
  await world.ok('stop', 'tank');
});

test.serial('what cannot be mirrored is refused, and nothing is written', async (t) => {
  const world = new MirrorWorld(t);
  const { a, b, disks } = world;
  const small = world.file('small.img', 2 * MIB);
  const create = (...caches: string[]) =>
    world.spawn('create', 'tank', '--raid', 'raid1', disks[0]!, disks[1]!, '--cache', ...caches);
  const before = readFileSync(a);
  const cases: readonly (readonly [caches: string, status: number, why: RegExp])[] = [
    [`${a},${a}`, 1, /a.img is given twice/],
    [`${a},${disks[0]}`, 1, /0.img is given twice/],
    [`${a},${b},${small}`, 2, /3 devices are given/],
    [`${a},`, 2, /a device is missing beside a comma/],
    [`${a},${small}`, 1, /the smaller of its devices has 1 MiB beside the metadata/],
  ];
  for (const [caches, status, why] of cases) {
    const refused = await create(caches);
    t.is(refused.status, status, refused.stderr);
    t.regex(refused.stderr, why);
  }
  t.deepEqual(readFileSync(a), before);
  await world.create();
  await world.export('tank');
  const attach = (...caches: string[]) => world.spawn('cache', 'attach', 'tank', ...caches);
  for (const [caches, why] of [
    [[a, a], /a.img is given twice/],
    [[`${a},${b}`, small], /3 devices are given/],
    [[a, small], /the smaller of its devices has/],
    [[a, disks[0]!], /another program uses it|it holds/],
    [[a, `${a}.none`], /there is no such device/],
  ] as const) {
    const refused = await attach(...caches);
    t.not(refused.status, 0);
    t.regex(refused.stderr, why);
  }
  t.deepEqual(readFileSync(a), before);
  const none = await world.spawn('member', 'add', 'tank', b, '--cache');
  t.regex(none.stderr, /tank has no NV cache/);
  await world.ok('cache', 'attach', 'tank', a);
  const single = await world.spawn('member', 'add', 'tank', b, '--cache');
  t.regex(single.stderr, /it is one device, and no mirror/);
  await world.ok('stop', 'tank');
});

test.serial('the array of a cache is no stack, and stands in the way of none', async (t) => {
  t.timeout(300_000);
  const world = new MirrorWorld(t);
  const { a, b } = world;
  const larger = world.file('larger.img', CACHE_BYTES + 4 * MIB);
  await world.create('--cache', `${a},${larger}`);
  const { stdout } = await world.ok('examine', a, larger);
  t.regex(stdout, /a.img: member of tank-cache \(\S+\), slot 0 of 2, raid1/);
  t.is(stdout.match(/content: the NV cache of a stack, mirrored/g)?.length, 2);
  t.regex(stdout, /cache: \S+ of the FTL \S+, 7 MiB, phase 1, started 0 times, clean/);
  const json = JSON.parse((await world.ok('examine', '--json', larger)).stdout);
  t.like(json.data.devices[0], { nv_cache: null, mirrored_nv_cache: { state: 'ok', epoch: 0 } });

  // A stack that is called like the array of the cache, on devices of its own.
  const others = [b, world.file('e.img', CACHE_BYTES)];
  const device = ['--device', a, '--device', larger];
  const stranger = await world.spawn('export', 'tank-cache', '--via', 'nbd', ...device, '--json');
  t.is(stranger.status, 1);
  const { code, message } = printedError(stranger);
  t.is(code, 'BANDSTAND_CACHE_MIRROR');
  t.regex(message, /^cannot export tank-cache: these devices are the mirrored NV cache/);
  await world.ok('create', 'tank-cache', '--raid', 'raid1', ...others);
  await world.export('tank-cache');
  await world.export('tank');
  await world.put(0, 41);
  await world.verify();
  const listed = await world.ok('list', '--plain');
  t.deepEqual(
    listed.stdout
      .trim()
      .split('\n')
      .map((line) => line.split('\t')[0]),
    ['tank', 'tank-cache'],
  );
  const busy = await world.spawn('wipe', a, '--yes');
  t.is(busy.status, 1);
  await world.ok('stop', 'tank-cache');

  // Nothing is known any more but the devices.
  await world.ok('stop', 'tank');
  rmSync(world.path('state'), { recursive: true });
  const own = world.disks.flatMap((disk) => ['--device', disk]);
  await world.export('tank', ...own, '--cache', `${larger},${a}`);
  await world.verify();
  await world.ok('stop', 'tank');
  const wrong = await world.spawn('export', 'tank', '--via', 'nbd', '--cache', others.join(','));
  t.is(wrong.status, 1);
  t.regex(wrong.stderr, /its NV cache \S+.* is not there/);
  const one = await world.spawn('export', 'tank', '--via', 'nbd', '--cache', others[0]!);
  t.regex(one.stderr, /it belongs to \S+, not \S+/);
});

test.serial("read-only nothing is written to the mirror; given up, it is nobody's", async (t) => {
  t.timeout(300_000);
  const world = new MirrorWorld(t);
  const { a, b } = world;
  await world.mirrored();
  await world.put(0, 51);
  await world.ok('stop', 'tank');
  const before = [readFileSync(a), readFileSync(b)];
  await world.export('tank', '--read-only');
  await world.verify();
  const change = await world.spawn('member', 'fail', 'tank', a);
  t.regex(change.stderr, /tank was started with --read-only/);
  await world.ok('stop', 'tank');
  t.deepEqual([readFileSync(a), readFileSync(b)], before);
  copyFileSync(a, `${a}.copy`);
  rmSync(a);
  rmSync(b);
  const missing = await world.spawn('export', 'tank', '--via', 'nbd', '--degraded');
  t.is(missing.status, 1);
  t.regex(
    missing.stderr,
    /its NV cache \S+, which was at .*a.img is not there.*\n.*--discard-cache/,
  );
  await world.export('tank', '--discard-cache', '--yes');
  t.is((await world.document()).cache, null);
  renameSync(`${a}.copy`, a);
  const used = await world.spawn('cache', 'attach', 'tank', a, world.file('f.img', CACHE_BYTES));
  t.regex(used.stderr, /it holds .*\n.*bandstand wipe/);
  await world.ok('wipe', a, '--yes');
  await world.ok('cache', 'attach', 'tank', a, world.path('f.img'));
  await world.ok('stop', 'tank');
});

/** Block on the disk where each copy of the FTL's superblock lies; a start writes each twice. */
const SUPERBLOCKS = [
  { block: MIB / 4096, isNamed: false },
  { block: MIB / 4096 + 64, isNamed: true },
];

for (const { block, isNamed } of SUPERBLOCKS) {
  const outcome = isNamed ? 'has it then' : 'has none';
  test.serial(
    `a mirror that the FTL may name is left as it is: the stack ${outcome}`,
    async (t) => {
      t.timeout(120_000);
      const world = new MirrorWorld(t);
      const { a, b } = world;
      const disk = world.file('disk.img', DISK_BYTES);
      await world.ok('create', 'tank', '--raid', 'raid0', '--strip-size', '32K', '--ftl', disk);
      const bad = `error(${disk},op=write,first=${block},count=1,skip=2)`;
      await world.export('tank', '--device', bad);
      await world.put(0, 1);
      const refused = await world.spawn('cache', 'attach', 'tank', a, b);
      t.is(refused.status, 1);
      t.regex(refused.stderr, /EIO\); only the next start can tell whether tank has it now\n/);
      t.regex(
        refused.stderr,
        /leave it as it is, and start anew: bandstand stop tank, bandstand e/,
      );
      t.regex((await world.spawn('cache', 'attach', 'tank', a, b)).stderr, /it is only read/);
      await world.spawn('stop', 'tank');
      for (const half of [a, b]) {
        t.regex((await world.ok('examine', half)).stdout, /the NV cache of a stack, mirrored/);
      }
      await world.export('tank', '--device', disk, '--cache', `${a},${b}`);
      const { cache } = await world.document();
      t.is(cache?.health ?? null, isNamed ? 'ok' : null);
      await world.verify();
      await world.put(1, 2);
      await world.verify();
      await world.ok('stop', 'tank');
    },
  );
}
