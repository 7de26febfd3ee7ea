/**
 * What is left after the worst: members that come and go under fio, servers killed in the middle of
 * a rebuild and in the middle of writes, and superblocks that SPDK has to be able to read.
 *
 * BANDSTAND_SEED chooses other blocks, BANDSTAND_KILLS more kills than ten.
 */

import { execFile } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { processAlive } from '../../src/cli/process-alive.ts';
import { decodeSuperblock } from '../../src/raid/superblock.ts';
import { AcknowledgedWrites, generator, LOG_BLOCK_BYTES } from '../_helpers/acknowledged-writes.ts';
import {
  headOf,
  LABELS_END,
  newestLabel,
  spdkSuperblock,
  strayByte,
  type WantedState,
} from '../_helpers/member-image.ts';
import { requires } from '../_helpers/requires.ts';
import { runMain } from '../_helpers/run-cli.ts';
import { eventually, noise, StackWorld } from '../_helpers/running-stack.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

const SEED = Number(process.env['BANDSTAND_SEED'] ?? 20261203);
const KILLS = Number(process.env['BANDSTAND_KILLS'] ?? 10);
const MIB = 2 ** 20;
/** Where the data of a member begins. */
const DATA_AT = MIB;
const DISK_BYTES = 32 * MIB;
const REGIONS = 31;
const BLOCKS_PER_MIB = MIB / LOG_BLOCK_BYTES;

interface Shown {
  readonly uuid: string;
  readonly health: string;
  readonly block_size: number;
  readonly io: { readonly write: { readonly ios: number } };
  readonly array: {
    readonly superblock_seq: number;
    readonly members: readonly { device: string | null; uuid: string }[];
    readonly spares: readonly { device: string | null }[];
  };
}

interface Seen {
  readonly kind: string;
  readonly details: Readonly<Record<string, unknown>>;
}

class Survivor extends StackWorld {
  readonly #t: ExecutionContext;
  disks: string[] = [];

  constructor(t: ExecutionContext) {
    super(t);
    this.#t = t;
    t.log(`seed ${SEED}`);
    // Without a sign of life for so long it fails by itself, and its servers are ended.
    t.timeout(100_000);
  }

  /** A mirror whose members are equal, stopped and started again: nothing is in doubt any more. */
  async start(members: number, ...words: string[]): Promise<void> {
    this.disks = this.files(members, DISK_BYTES);
    await this.ok('create', 'tank', '--raid', 'raid1', ...words, ...this.disks);
    await this.export('tank');
    await this.ask('wait', 'tank');
    await this.ask('stop', 'tank');
    await this.export('tank');
  }

  /** A command in this process: its other end is the real server. */
  async ask(...words: string[]): Promise<string> {
    const [first, ...rest] = words as [string, ...string[]];
    const { status, stdout, stderr } = await runMain([first, ...this.directories, ...rest]);
    this.#t.is(status, 0, `bandstand ${words.join(' ')}: ${stderr}`);
    return stdout;
  }

  async rebuilt(): Promise<void> {
    await this.ask('wait', 'tank', '--for', 'rebuild', '--timeout', '60s');
  }

  async shown(): Promise<Shown> {
    return JSON.parse(await this.ask('status', 'tank', '--json')).data;
  }

  /** How many writes the server has answered. */
  async writes(): Promise<number> {
    return (await this.shown()).io.write.ios;
  }

  /** Of the server that runs now. */
  async events(kind: string): Promise<Seen[]> {
    const lines = (await this.ask('events', 'tank', '--json')).trim().split('\n');
    return lines.map((line) => JSON.parse(line).data).filter((event: Seen) => event.kind === kind);
  }

  /** Blocks that disagree, of the array's block size. */
  async mismatches(...words: string[]): Promise<unknown> {
    await this.ask('check', 'tank', ...words);
    await this.ask('wait', 'tank', '--for', 'check', '--timeout', '60s');
    const last = (await this.events('check-finished')).at(-1)!;
    this.#t.is(last.details['lost_blocks'], 0);
    return last.details['mismatched_blocks'];
  }

  async kill(): Promise<void> {
    const pid = await this.serverPid('tank');
    process.kill(pid, 'SIGKILL');
    await eventually('the server is gone', () => !processAlive(pid));
  }

  dataOf(disk: string): Buffer {
    return readFileSync(disk).subarray(DATA_AT);
  }

  /** Stops; then the members are equal, byte for byte, and marked clean. */
  async stopEqual(disks: readonly string[]): Promise<void> {
    await this.ask('stop', 'tank');
    const first = this.dataOf(disks[0]!);
    for (const disk of disks.slice(1)) sameBytes(this.#t, this.dataOf(disk), first, disk);
    for (const disk of disks)
      this.#t.is(newestLabel(headOf(disk, LABELS_END)).state, 1, `${disk} is clean`);
  }

  /** The first MiB of `disk`, the member in `slot`: as SPDK would write it, and our label. */
  async layout(disk: string, slot: number, sequence: number, states: string): Promise<void> {
    const t = this.#t;
    const { uuid, block_size: blockBytes, array } = await this.shown();
    const head = headOf(disk);
    const names: Readonly<Record<string, WantedState>> = {
      C: 'configured',
      F: 'failed',
      M: 'missing',
    };
    const dataBlocks = (DISK_BYTES - DATA_AT) / blockBytes;
    const wanted = spdkSuperblock({
      uuid,
      name: 'tank',
      sequence,
      blockBytes,
      level: 1,
      raidBlocks: dataBlocks,
      dataOffset: DATA_AT / blockBytes,
      dataBlocks,
      members: array.members.map((member, at) => ({
        uuid: member.uuid,
        state: names[states[at]!]!,
      })),
    });
    sameBytes(t, head.subarray(0, wanted.length), wanted, `superblock of ${disk}`);
    t.is(decodeSuperblock(head, disk)?.superblock.seq, sequence);
    t.is(strayByte(head, wanted.length), -1, `${disk}: only metadata in the first MiB`);
    const label = newestLabel(head);
    t.like(label, {
      memberUuid: array.members[slot]!.uuid,
      arrayUuid: uuid,
      superblockSeq: sequence,
      slot,
      role: 0,
      processKind: 0,
    });
  }
}

/** Passes of fio, each with writes and their verification, until `over`. */
class Fio {
  readonly #uri: string;
  passes = 0;
  #over = false;
  readonly ended: Promise<void>;

  constructor(uri: string) {
    this.#uri = uri;
    this.ended = this.#run();
    // Whoever waits for it hears of a failure; it must not end the process before.
    this.ended.catch(() => {});
  }

  async #run(): Promise<void> {
    while (!this.#over) {
      await this.#pass(SEED + this.passes);
      this.passes += 1;
    }
  }

  async #pass(seed: number): Promise<void> {
    const words = [
      '--name=survival',
      '--ioengine=nbd',
      `--uri=${this.#uri}`,
      '--rw=randwrite',
      '--bsrange=4k-64k',
      '--size=8m',
      '--iodepth=16',
      '--verify=crc32c',
      '--verify_fatal=1',
      '--verify_state_save=0',
      `--randseed=${seed}`,
      '--output-format=json',
    ];
    const { stdout } = await promisify(execFile)('fio', words, {
      timeout: 60_000,
      maxBuffer: 2 ** 24,
    });
    const [job] = JSON.parse(stdout.slice(stdout.indexOf('{'))).jobs;
    if (job.error !== 0 || job.read.total_ios === 0 || job.write.total_ios === 0) {
      throw new Error(`fio with seed ${seed}: ${stdout}`);
    }
  }

  /** Waits until it has written something since now. */
  async writing(world: Survivor): Promise<void> {
    const before = await world.writes();
    while ((await world.writes()) === before) {
      await Promise.race([this.ended, new Promise((resolve) => setTimeout(resolve, 20))]);
    }
  }

  async stop(): Promise<void> {
    this.#over = true;
    await this.ended;
  }
}

requires('fio with nbd')(
  'members fail, return and are replaced while fio writes and verifies',
  async (t) => {
    const world = new Survivor(t);
    await world.start(3);
    const [a, b, c] = world.disks as [string, string, string];
    const added = world.file('new.img', DISK_BYTES);
    await world.ask('rebuild', 'tank', '--rate', '32M');
    const fio = new Fio(await world.export('tank'));
    await fio.writing(world);
    await world.ask('member', 'fail', 'tank', b);
    await fio.writing(world);
    await world.ask('member', 'remove', 'tank', b);
    await fio.writing(world);
    // What fio has written it writes again; this is written once, while the member is away.
    const once = noise(MIB, SEED);
    await world.write('tank', once, 20 * MIB);
    t.regex(await world.ask('member', 'add', 'tank', b), /of slot 1 started, of what it missed\n/);
    await world.rebuilt();
    await fio.writing(world);
    t.regex(await world.ask('member', 'replace', 'tank', c, added), /^replacing /);
    await world.rebuilt();
    await fio.writing(world);
    await fio.stop();
    t.log(`${fio.passes} passes of fio`);
    t.is((await world.shown()).health, 'healthy');
    t.is(await world.mismatches(), 0);
    t.true((await world.read('tank', MIB, 20 * MIB)).equals(once));
    for (const [slot, disk] of [a, b, added].entries()) await world.layout(disk, slot, 6, 'CCC');
    await world.stopEqual([a, b, added]);
  },
);

requires('fio with nbd')('a spare takes over while fio writes and verifies', async (t) => {
  const world = new Survivor(t);
  const spare = world.file('spare.img', DISK_BYTES);
  await world.start(2, '--spare', spare);
  const [a, b] = world.disks as [string, string];
  await world.ask('rebuild', 'tank', '--rate', '32M');
  const fio = new Fio(await world.export('tank'));
  await fio.writing(world);
  t.regex(await world.ask('member', 'fail', 'tank', a), /rebuild onto .*spare.img started\n/);
  await world.rebuilt();
  await fio.stop();
  t.log(`${fio.passes} passes of fio`);
  const shown = await world.shown();
  t.is(shown.health, 'healthy');
  t.deepEqual(shown.array.spares, []);
  t.is(await world.mismatches(), 0);
  for (const [slot, disk] of [spare, b].entries()) await world.layout(disk, slot, 4, 'CC');
  await world.stopEqual([spare, b]);
});

/** `count` blocks in each of these MiB of the array. */
function blocksIn(areas: readonly number[], count: number): number[] {
  const random = generator(SEED);
  return areas.flatMap((area) => {
    const chosen = new Set<number>();
    while (chosen.size < count) chosen.add(Math.floor(random() * BLOCKS_PER_MIB));
    return [...chosen].map((block) => area * BLOCKS_PER_MIB + block);
  });
}

test('a rebuild whose server is killed goes on where it was, and nothing is lost', async (t) => {
  const world = new Survivor(t);
  await world.start(3);
  const [a, b, c] = world.disks as [string, string, string];
  const content = noise(4 * MIB, SEED);
  await world.write('tank', content, 8 * MIB);
  const added = world.file('new.img', DISK_BYTES);
  const { block_size: blockBytes } = await world.shown();
  await world.ask('member', 'fail', 'tank', c);
  await world.ask('rebuild', 'tank', '--rate', '1M');
  await world.ask('member', 'add', 'tank', added);
  // Below the checkpoint and above it; never in the second MiB, where a witness is placed.
  const log = new AcknowledgedWrites(blocksIn([0, 2, 20, 29], 32), SEED);
  const load = log.load(await world.connect('tank'), { depth: 2 });
  const checkpoint = (): number => newestLabel(headOf(added, LABELS_END)).processBlock * blockBytes;
  await eventually('a checkpoint is written', () => checkpoint() >= 2 * MIB, 30);
  const activity = JSON.parse(await world.ask('status', 'tank', '--json')).data.activity;
  t.is(activity.kind, 'rebuild');
  t.true(activity.done_bytes >= 2 * MIB && activity.done_bytes < activity.total_bytes);
  await world.kill();
  t.true(await load, 'it was writing to the end');
  for (const disk of [a, b]) log.verifyMirror(disk, DATA_AT);
  const written = checkpoint();
  // Copied before the checkpoint and written by nobody since: no rebuild that goes on looks there.
  const fd = openSync(added, 'r+');
  writeSync(fd, Buffer.alloc(4096, 0xa5), 0, 4096, DATA_AT + MIB);
  closeSync(fd);
  await world.export('tank');
  await log.verify(await world.connect('tank'));
  await world.rebuilt();
  t.is((await world.shown()).health, 'healthy');
  const begun = await world.events('rebuild-started');
  t.is(begun.length, 1);
  t.is(begun[0]!.details['resumed'], true);
  t.true(Number(begun[0]!.details['done_bytes']) >= written, `from ${written}`);
  t.log(`went on at ${written / MIB} MiB, after ${log.total} acknowledged writes`);
  await log.load(await world.connect('tank'), { depth: 8, until: () => log.total % 256 === 0 });
  await log.verify(await world.connect('tank'));
  t.true((await world.read('tank', content.length, 8 * MIB)).equals(content));
  t.is(await world.mismatches('--repair'), 4096 / blockBytes, 'it did not start over');
  await world.stopEqual([a, b, added]);
  for (const disk of [a, b, added]) log.verifyMirror(disk, DATA_AT);
});

test.serial(
  `${KILLS} kills in the middle of writes lose nothing that was acknowledged`,
  async (t) => {
    const world = new Survivor(t);
    t.timeout(60_000 + KILLS * 10_000);
    await world.start(2);
    const areas = [0, 3, 4, 17, 30];
    const log = new AcknowledgedWrites(blocksIn(areas, 24), SEED);
    const random = generator(SEED + 1);
    for (let round = 0; round < KILLS; round += 1) {
      const pid = await world.serverPid('tank');
      const enough = 20 + Math.floor(random() * 400);
      const gone = await log.load(await world.connect('tank'), {
        depth: 8,
        acknowledged: (count) => {
          if (count === enough) process.kill(pid, 'SIGKILL');
        },
      });
      t.true(gone, 'killed while it was writing');
      await eventually('the server is gone', () => !processAlive(pid));
      for (const disk of world.disks) log.verifyMirror(disk, DATA_AT);
      await world.export('tank');
      await log.verify(await world.connect('tank'));
      const [resync, ...others] = await world.events('resync-started');
      t.deepEqual(others, []);
      t.is(resync!.details['regions_total'], REGIONS);
      t.true((resync!.details['regions'] as number) <= areas.length, 'only what was in use');
      t.true((resync!.details['regions'] as number) > 0);
    }
    t.log(`${log.total} acknowledged writes`);
    await world.ask('wait', 'tank');
    await log.verify(await world.connect('tank'));
    t.is(await world.mismatches(), 0);
    for (const [slot, disk] of world.disks.entries()) await world.layout(disk, slot, 1, 'CC');
    await world.stopEqual(world.disks);
    for (const disk of world.disks) log.verifyMirror(disk, DATA_AT);
  },
);

test('SPDK can read the superblocks after every change of members', async (t) => {
  const world = new Survivor(t);
  await world.start(3);
  const [a, b, c] = world.disks as [string, string, string];
  const added = world.file('new.img', DISK_BYTES);
  const all = async (disks: readonly string[], sequence: number, states: string) => {
    for (const [slot, disk] of disks.entries()) {
      if (states[slot] === 'C') await world.layout(disk, slot, sequence, states);
    }
  };
  await all([a, b, c], 1, 'CCC');
  await world.ask('member', 'fail', 'tank', b);
  await all([a, b, c], 2, 'CFC');
  await world.layout(b, 1, 1, 'CCC');
  await world.write('tank', noise(MIB, SEED), 5 * MIB);
  await world.ask('member', 'remove', 'tank', b);
  await all([a, b, c], 2, 'CFC');
  // A rebuild has two records: that it begins (still missing), and that it is complete.
  t.regex(await world.ask('member', 'add', 'tank', b), /of slot 1 started, of what it missed\n/);
  await world.rebuilt();
  await all([a, b, c], 4, 'CCC');
  t.is(await world.mismatches(), 0);
  await world.ask('member', 'replace', 'tank', c, added);
  await world.rebuilt();
  await all([a, b, added], 6, 'CCC');
  await world.kill();
  await world.export('tank');
  await world.ask('wait', 'tank');
  await all([a, b, added], 6, 'CCC');
  await world.stopEqual([a, b, added]);
});
