/**
 * An NV cache on a mirror of two, and the power that goes at every single write to them: one half
 * is lost on the way. Whatever was answered is there afterwards, with both halves and with the one
 * that went on; the other one alone is known as old.
 */

import test from 'ava';
import { Arena } from '../../src/block/arena.ts';
import { OP_READ, OP_WRITE } from '../../src/block/block-io.ts';
import { submitStatus } from '../../src/block/control-io.ts';
import { BandstandError } from '../../src/block/errors.ts';
import { EIO, OK } from '../../src/block/status.ts';
import { CACHE_BLOCKS_LEAST } from '../../src/nv-cache/cache-header.ts';
import { createCache } from '../../src/nv-cache/create-cache.ts';
import { NvCache } from '../../src/nv-cache/nv-cache.ts';
import { ArrayManager } from '../../src/raid/array-manager.ts';
import { assembleArray } from '../../src/raid/assemble.ts';
import { createArray } from '../../src/raid/create.ts';
import { examineDevice } from '../../src/raid/examine.ts';
import { planSpec } from '../../src/raid/plan.ts';
import { RaidArray } from '../../src/raid/raid-array.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { planMirror } from '../../src/stack/make-mirror.ts';
import { FAST } from '../_helpers/managed-array.ts';
import { RamDevice } from '../_helpers/ram-device.ts';
import { BackingContent, SettlingBacking } from '../_helpers/settling-backing.ts';

const BLOCK = 4096;
const OFFSET = 2 ** 20 / BLOCK;
const OWNER = '0f71f71f-0000-4000-8000-000000000001';
const UUID = '0ca40ca4-0000-4000-8000-000000000001';
/** Writes of users. */
const WRITES = 24;
const USER_BLOCKS = 6;

function makeReactor(): SimulatedReactor {
  return new SimulatedReactor({ seed: 7, arena: new Arena(new ArrayBuffer(16 * 2 ** 20), 0) });
}

function diskOf(slot: number, bytes?: Uint8Array): RamDevice {
  return new RamDevice(`half${slot}`, {
    blockBytes: BLOCK,
    blockCount: OFFSET + CACHE_BLOCKS_LEAST,
    ...(bytes === undefined ? {} : { bytes: bytes.slice() }),
  });
}

/** What both halves hold when the cache is new. */
async function created(): Promise<Uint8Array[]> {
  const reactor = makeReactor();
  const disks = [diskOf(0), diskOf(1)];
  const work = async (): Promise<void> => {
    for (const disk of disks) await disk.open(reactor);
    const plan = planMirror('tank', UUID, disks);
    await createArray(reactor, plan, disks, { nvCache: true });
    const array = new RaidArray(planSpec(plan, disks), { membersOpened: true });
    await array.open(reactor);
    await createCache(reactor, array, { uuid: UUID, owner: OWNER });
    await array.close();
  };
  await reactor.drive(work());
  return disks.map(({ bytes }) => bytes);
}

/** What outlives a process besides the halves: what lies behind the cache, and the owner. */
class Behind {
  readonly content = new BackingContent();
  epoch = 0;
  /** A new epoch was told after a half had left. */
  renewed = false;
}

class Life {
  readonly reactor = makeReactor();
  readonly disks: readonly RamDevice[];
  readonly backing: SettlingBacking;
  readonly #behind: Behind;
  cache: NvCache | null = null;
  isDead = false;

  constructor(disks: readonly RamDevice[], behind: Behind) {
    this.disks = disks;
    this.#behind = behind;
    this.backing = new SettlingBacking({ blockCount: 64 }, behind.content);
  }

  /** As CacheMirror and LogLayers do it. Throws BandstandError. */
  async start(degraded: boolean): Promise<void> {
    const { backing, disks, reactor } = this;
    const behind = this.#behind;
    const examinations = [];
    for (const disk of disks) {
      await disk.open(reactor);
      examinations.push(await examineDevice(reactor, disk));
    }
    await backing.open(reactor);
    const assembly = assembleArray(examinations, { uuid: UUID, degraded });
    const devices = new Map(disks.map((disk) => [disk.name, disk]));
    const manager = await ArrayManager.start(reactor, assembly, devices, FAST, {
      arrayEvent: ({ kind }) => {
        if (kind === 'member-failed') reactor.keep(this.#renew());
      },
    });
    const cache = new NvCache(manager.array, backing, {
      owner: OWNER,
      uuid: UUID,
      epoch: behind.epoch,
      keepsDevices: true,
      mirror: manager.array,
      epochBegins: async (epoch) => {
        if (!this.isDead) behind.epoch = epoch;
      },
    });
    await cache.open(reactor);
    this.cache = cache;
  }

  async #renew(): Promise<void> {
    const renewed = await this.cache!.renewEpoch().catch(() => false);
    if (renewed && !this.isDead) this.#behind.renewed = true;
  }

  /** The power goes at the write after so many, which is torn. */
  cutAfter(writes: number): void {
    let left = writes;
    for (const disk of this.disks) {
      disk.fault = (io) => {
        if (io.op === OP_WRITE && !this.isDead) {
          left -= 1;
          if (left < 0) this.#die(disk, io.block, io.blockCount, io.buffer);
        }
        return this.isDead ? EIO : OK;
      };
    }
  }

  #die(disk: RamDevice, block: number, blockCount: number, buffer: number): void {
    this.isDead = true;
    this.backing.die();
    const torn = Math.floor(blockCount / 2) * BLOCK + 512;
    disk.bytes.set(this.reactor.arena.u8.subarray(buffer, buffer + torn), block * BLOCK);
  }

  /** Nothing works any more on one half. */
  lose(slot: number): void {
    const { fault } = this.disks[slot]!;
    this.disks[slot]!.fault = (io) => {
      // What is sent there may be the place at which the power goes.
      fault(io);
      return EIO;
    };
  }

  async write(block: number, version: number): Promise<boolean> {
    const { arena } = this.reactor;
    const at = arena.allocate(BLOCK);
    arena.u8.fill(version, at, at + BLOCK);
    const status = await submitStatus(this.cache!, OP_WRITE, block, 1, at);
    arena.release(at, BLOCK);
    return status === OK && !this.isDead;
  }

  /** The version that a block has throughout. */
  async read(block: number): Promise<number> {
    const { arena } = this.reactor;
    const at = arena.allocate(BLOCK);
    const status = await submitStatus(this.cache!, OP_READ, block, 1, at);
    const bytes = arena.u8.subarray(at, at + BLOCK);
    const isWhole = status === OK && bytes.every((byte) => byte === bytes[0]);
    arena.release(at, BLOCK);
    return isWhole ? bytes[0]! : -1;
  }
}

interface Played {
  readonly behind: Behind;
  readonly halves: readonly Uint8Array[];
  /** Of each block: the newest version that was answered, and the newest that was sent. */
  readonly answered: readonly number[];
  readonly sent: readonly number[];
  readonly isCut: boolean;
}

/** The half in slot 0 is lost before the write with that version; the power goes after `writes`. */
async function play(
  halves: readonly Uint8Array[],
  lostBefore: number,
  writes: number,
): Promise<Played> {
  const behind = new Behind();
  const life = new Life(
    halves.map((bytes, slot) => diskOf(slot, bytes)),
    behind,
  );
  const answered = new Array<number>(USER_BLOCKS).fill(0);
  const sent = new Array<number>(USER_BLOCKS).fill(0);
  const work = async (): Promise<void> => {
    await life.start(false);
    life.cutAfter(writes);
    for (let version = 1; version <= WRITES && !life.isDead; version += 1) {
      if (version === lostBefore) life.lose(0);
      const block = version % USER_BLOCKS;
      sent[block] = version;
      if (await life.write(block, version)) answered[block] = version;
    }
  };
  await life.reactor.drive(work());
  const isCut = life.isDead;
  life.isDead = true;
  if (!isCut) life.backing.die();
  behind.content.crash(() => false);
  return { behind, halves: life.disks.map(({ bytes }) => bytes), answered, sent, isCut };
}

/** The error with which a start with these halves is refused; null: it has everything. */
async function restart(
  { answered, behind, halves, sent }: Played,
  slots: readonly number[],
): Promise<BandstandError | readonly string[]> {
  const known = new Behind();
  known.epoch = behind.epoch;
  for (const [block, bytes] of behind.content.durable) known.content.durable.set(block, bytes);
  const life = new Life(
    slots.map((slot) => diskOf(slot, halves[slot]!)),
    known,
  );
  const wrong: string[] = [];
  try {
    await life.reactor.drive(life.start(slots.length < 2));
  } catch (error) {
    if (error instanceof BandstandError) return error;
    throw error;
  }
  for (let block = 0; block < USER_BLOCKS; block += 1) {
    const found = await life.reactor.drive(life.read(block));
    if (found >= answered[block]! && found <= sent[block]!) continue;
    wrong.push(`block ${block} is ${found}, answered ${answered[block]}, sent ${sent[block]}`);
  }
  return wrong;
}

for (const lostBefore of [1, 10, 24]) {
  test(`what was answered is on the half that is left: ${lostBefore}`, async (t) => {
    t.timeout(120_000);
    const halves = await created();
    let old = 0;
    let places = 0;
    for (let writes = 0; ; writes += 1) {
      const played = await play(halves, lostBefore, writes);
      places += 1;
      for (const slots of [[0, 1], [1]]) {
        const outcome = await restart(played, slots);
        t.deepEqual(outcome, [], `cut after ${writes} writes, halves ${slots.join(' and ')}`);
      }
      const alone = await restart(played, [0]);
      if (played.behind.renewed) {
        old += 1;
        const code = alone instanceof BandstandError ? alone.code : alone;
        t.is(code, 'BANDSTAND_CACHE_STALE', `cut after ${writes} writes, the lost half alone`);
      }
      if (!played.isCut) break;
    }
    t.log(`${places} places, in ${old} of them the lost half was old`);
    t.true(places > 30 && old > 0);
  });
}
