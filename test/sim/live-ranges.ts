/**
 * Rebuilds that copy what an FTL uses, over members that come and go, with whatever on them.
 *
 * A history fails members and gives the array others: blank ones, ones full of noise, a member as
 * it was some time ago, and one that has been used apart from the others since, both wiped. It is
 * killed at any time. At its end nothing may differ that a check looks at, and without any one of
 * its members the array has to show what it showed with all of them.
 */

import test from 'ava';
import { Random } from '../_helpers/array-fixture.ts';
import type { RamDevice } from '../_helpers/ram-device.ts';
import { BLOCK, OFFSET, StackedArray } from '../_helpers/stacked-array.ts';

const SEED = Number(process.env['BANDSTAND_SEED'] ?? 1);
const SEEDS = Number(process.env['BANDSTAND_SEEDS'] ?? 8);

/**
 * They show what would be wrong if the following were dead: the heads of free bands (4, 5), a free
 * band that was begun since the checkpoint (8, 35), one that the superblock lists as open (199,
 * 211); and if all lives numbered their units from 0 (210).
 */
const KNOWN = { raid1: [5, 35, 210, 211], raid5f: [4, 8, 199, 210] } as const;

class History {
  readonly random: Random;
  readonly stack: StackedArray;
  /** What a member held once, or holds in another history. */
  readonly #images: Uint8Array[] = [];
  copied = 0;

  constructor(level: 'raid1' | 'raid5f', seed: number) {
    this.random = new Random(seed * 7919 + 13);
    const bandUnits = 4 + this.random.below(5);
    const bands = 20 + this.random.below(12);
    this.stack = new StackedArray({ level, bands, bandUnits, seed });
  }

  async play(): Promise<string | null> {
    const { random, stack } = this;
    await stack.create();
    await this.start();
    for (let round = 0; round < 6; round += 1) {
      await this.work();
      if (random.below(3) === 0) await this.remember();
      if (random.below(2) === 0) await this.loseMember();
      if (random.below(2) === 0) await this.work();
      if (random.below(3) > 0) await this.crash();
      else if (random.below(2) === 0) await this.restart();
      const wrong = random.below(2) === 0 ? await stack.drive(stack.verify()) : null;
      if (wrong !== null) return `round ${round}: ${wrong}`;
    }
    return await this.end();
  }

  /** A member is used apart from the others, wiped, and put back; what it has since is newer. */
  async playApart(): Promise<string | null> {
    const { random, stack } = this;
    await stack.create();
    await this.start();
    await stack.settle();
    for (let left = random.below(4); left > 0; left -= 1) await this.work();
    if (random.below(2) === 0) await this.overwrite();
    await this.imagineFuture(random.below(2) === 0 ? random.below(12) : random.below(240));
    if (random.below(2) === 0) await this.overwrite();
    await this.loseMember(() => this.#wiped());
    await stack.settle();
    for (let left = random.below(3); left >= 0; left -= 1) {
      if (random.below(2) === 0) await this.overwrite();
      await this.crash();
    }
    return await this.end();
  }

  start(): Promise<void> {
    return this.stack.start(this.random.next() >>> 1);
  }

  /** Writes, trims and flushes, some of them at once; most of them in a part of the device. */
  async work(): Promise<void> {
    const { random, stack } = this;
    const { blockCount } = stack.ftl.geometry;
    const part = Math.ceil(blockCount / (1 + random.below(6)));
    for (let left = 2 + random.below(12); left > 0; left -= 1) {
      await stack.drive(Promise.all(this.#batch(part)));
      if (random.below(3) === 0) await stack.drive(stack.flush());
    }
  }

  #batch(part: number): Promise<void>[] {
    const { random, stack } = this;
    const batch: Promise<void>[] = [];
    for (let count = 1 + random.below(16); count > 0; count -= 1) {
      const block = random.below(part);
      if (stack.isOpen(block)) continue;
      batch.push(random.below(12) === 0 ? stack.trim(block) : stack.write(block));
    }
    return batch;
  }

  /** Few blocks again and again: bands empty soon. */
  async overwrite(): Promise<void> {
    const { random, stack } = this;
    for (let left = 4 + random.below(30); left > 0; left -= 1) {
      const block = random.below(4);
      if (!stack.isOpen(block)) await stack.drive(stack.write(block));
    }
  }

  /** Keeps what a member has; or lets it have another future first. */
  async remember(): Promise<void> {
    const { random } = this;
    const disk = this.#anyDisk();
    if (random.below(2) === 0) {
      this.#images.push(disk.bytes.slice());
      return;
    }
    await this.imagineFuture(1 + random.below(60), disk);
  }

  /** What the disk holds after so many writes that this history knows nothing of. */
  async imagineFuture(writes: number, disk = this.#anyDisk()): Promise<void> {
    const other = this.stack.fork();
    await other.start(this.random.next() >>> 1);
    for (let left = writes; left > 0; left -= 1) {
      const block = this.random.below(other.ftl.geometry.blockCount);
      if (!other.isOpen(block)) await other.drive(other.write(block));
    }
    const twin = other.disks.find(({ name }) => name === disk.name)!;
    this.#images.push(twin.bytes.slice());
  }

  #anyDisk(): RamDevice {
    const { disks } = this.stack;
    return disks[this.random.below(disks.length)]!;
  }

  /** A member fails; it comes back, or another device takes its place. */
  async loseMember(content: (() => Uint8Array) | null = null): Promise<void> {
    const { random, stack } = this;
    const manager = stack.manager!;
    const slot = random.below(stack.members);
    if (!manager.array.mayEject(slot)) return;
    const lost = manager.array.members[slot]!.device as RamDevice;
    await stack.drive(manager.failMember(slot));
    if (random.below(2) === 0) await this.work();
    stack.disks = stack.disks.filter((disk) => disk !== lost);
    const back = content === null && random.below(3) === 0;
    const next = back
      ? stack.disk(lost.bytes.slice(), lost.name)
      : stack.disk((content ?? (() => this.#content()))());
    await next.open(stack.reactor);
    stack.disks.push(next);
    // The array may have lost another one meanwhile, or begin with something else.
    await stack.drive(manager.addMember(next).catch(() => {}));
    if (random.below(2) === 0) await stack.settle();
    else await stack.drive(stack.sleep(random.below(30_000)));
  }

  /** What a device holds that comes anew: nothing, noise, or a member that was wiped. */
  #content(): Uint8Array {
    const { random, stack } = this;
    const kind = random.below(4);
    const bytes = new Uint8Array((OFFSET + stack.memberBlocks) * BLOCK);
    if (kind === 0) return bytes;
    if (kind === 1 || this.#images.length === 0) return bytes.fill(random.next());
    return this.#wiped();
  }

  #wiped(): Uint8Array {
    const { random } = this;
    const image = this.#images[random.below(this.#images.length)]!.slice();
    return image.fill(0, 0, OFFSET * BLOCK);
  }

  /** In the middle of something. */
  async crash(): Promise<void> {
    const { random, stack } = this;
    const batch = this.#batch(stack.ftl.geometry.blockCount);
    for (const one of batch) one.catch(() => {});
    await stack.drive(stack.sleep(random.below(600)));
    stack.crash();
    await this.start();
    if (random.below(4) > 0) return;
    stack.crash();
    await this.start();
  }

  async restart(): Promise<void> {
    await this.stack.stop();
    await this.start();
  }

  async end(): Promise<string | null> {
    const { random, stack } = this;
    await stack.settle();
    const wrong = await stack.drive(stack.verify());
    if (wrong !== null) return `at the end: ${wrong}`;
    stack.events.length = 0;
    const whole = stack.manager!.array.absent === 0;
    if (whole) {
      await stack.drive(stack.manager!.startCheck({ repair: false }));
      await stack.settle();
      const found = stack.events.find(({ kind }) => kind === 'mismatch-found');
      if (found !== undefined) return `the check finds: ${JSON.stringify(found)}`;
    }
    if (random.below(2) === 0) await stack.stop();
    else stack.crash();
    if (!whole) return null;
    for (const gone of [...stack.disks]) {
      const rest = stack.fork(stack.disks.filter((disk) => disk !== gone));
      if (rest.disks.length < stack.members - 1) continue;
      await rest.start(random.next() >>> 1);
      const without = await rest.drive(rest.verify());
      if (without !== null) return `without ${gone.name}: ${without}`;
    }
    return null;
  }
}

for (const level of ['raid1', 'raid5f'] as const) {
  test(`${level}: whatever a rebuild has left out is never missed`, async (t) => {
    for (let seed = SEED; seed < SEED + SEEDS; seed += 1) {
      const history = new History(level, seed);
      t.is(await history.play(), null, `BANDSTAND_SEED=${seed}`);
    }
  });

  test(`${level}: what a wiped member holds of another history never comes back`, async (t) => {
    const seeds = Array.from({ length: SEEDS }, (_, index) => SEED + index);
    for (const seed of [...KNOWN[level], ...seeds]) {
      const history = new History(level, seed);
      t.is(await history.playApart(), null, `BANDSTAND_SEED=${seed}`);
    }
  });
}
