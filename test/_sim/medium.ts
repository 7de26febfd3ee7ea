/**
 * SimMedium: what a simulated disk consists of between the lives of the programs that use it.
 *
 * `now` is what a read returns. Behind it stands the volatile cache: for every atomic unit (512 or
 * 4096 bytes) that was written and not flushed, its durable content and the versions since, each
 * with the write that it came from. A power cut decides for every such write and unit whether it
 * had reached the medium; a flush makes what completed before it durable; a write with FUA, and
 * every write of a disk without volatile cache, is durable when it completes.
 *
 * A disk may destage any earlier version before a later one overwrites it in its cache: therefore a
 * unit can come back with the durable content or with any one of the versions since.
 */

import { assert } from '../../src/block/assert.ts';
import { CHUNK_BYTES, SparseBytes } from './sparse-bytes.ts';

/** One write (or trim, or write-zeroes) as the disk sees it. */
export class SimWrite {
  readonly id: number;
  readonly block: number;
  readonly blockCount: number;
  /** Null: zeroes. */
  bytes: Uint8Array | null;
  /** When it completed, or its program died: a later flush covers it. */
  completed = Number.POSITIVE_INFINITY;
  /** A flush that failed may have lost it for good. */
  dropped = false;

  constructor(id: number, block: number, blockCount: number, bytes: Uint8Array | null) {
    this.id = id;
    this.block = block;
    this.blockCount = blockCount;
    this.bytes = bytes;
  }
}

/** Where the bytes of a unit are: from `at` on in an array that does not change any more. */
interface UnitVersion {
  readonly write: SimWrite;
  readonly bytes: Uint8Array;
  readonly at: number;
}

interface UnitLog {
  /** The same of what is durable. */
  durable: Uint8Array;
  durableAt: number;
  versions: UnitVersion[];
}

export interface MediumOptions {
  readonly name: string;
  readonly blockBytes: number;
  readonly blockCount: number;
  /** 512 or 4096: what a power cut never tears. */
  readonly unitBytes: number;
  readonly volatileCache: boolean;
  /** FEATURE_* bits of the disk. */
  readonly features: number;
  readonly optimalBoundaryBlocks?: number;
}

/** Whether a unit of a write that was not durable is there after a power cut or a kill. */
export type Decide = (write: SimWrite, unit: number) => boolean;

const ZERO_UNIT = new Uint8Array(4096);

function isFlushed({ completed, dropped }: SimWrite, tick: number): boolean {
  return completed < tick && !dropped;
}

export class SimMedium {
  options: MediumOptions;
  readonly now: SparseBytes;
  /** Blocks that cannot be read until they are written. */
  readonly bad = new Set<number>();
  /** Unplugged: it cannot be opened. */
  away = false;
  readonly #dirty = new Map<number, UnitLog>();
  #clock = 0;
  #writes = 0;

  constructor(options: MediumOptions, content?: SparseBytes) {
    this.options = options;
    this.now = content ?? new SparseBytes(options.blockCount * options.blockBytes);
  }

  get name(): string {
    return this.options.name;
  }

  /** The same disk in another world. Nothing may be in flight. */
  clone(): SimMedium {
    const copy = new SimMedium(this.options, this.now.clone());
    for (const block of this.bad) copy.bad.add(block);
    copy.away = this.away;
    copy.#clock = this.#clock;
    copy.#writes = this.#writes;
    for (const [unit, log] of this.#dirty) {
      copy.#dirty.set(unit, { ...log, versions: log.versions.slice() });
    }
    return copy;
  }

  /** It becomes larger, for good; what is new reads as zeroes. */
  grow(blocks: number): void {
    const { blockBytes, blockCount } = this.options;
    this.options = { ...this.options, blockCount: blockCount + blocks };
    this.now.resize((blockCount + blocks) * blockBytes);
  }

  /** A point in time for `flush`. */
  tick(): number {
    this.#clock += 1;
    return this.#clock;
  }

  makeWrite(block: number, blockCount: number, bytes: Uint8Array | null): SimWrite {
    this.#writes += 1;
    return new SimWrite(this.#writes, block, blockCount, bytes);
  }

  /** Carries a write out, or the units of it that `only` chooses. */
  apply(write: SimWrite, only?: (unit: number) => boolean): void {
    const { blockBytes, unitBytes } = this.options;
    const start = write.block * blockBytes;
    const end = start + write.blockCount * blockBytes;
    if (only === undefined) {
      this.#mend(write.block, write.blockCount);
      this.#applyRange(write, start, start, end);
      return;
    }
    for (let unit = Math.floor(start / unitBytes); unit * unitBytes < end; unit += 1) {
      if (!only(unit)) continue;
      const from = Math.max(start, unit * unitBytes);
      const to = Math.min(end, (unit + 1) * unitBytes);
      this.#mend(Math.ceil(from / blockBytes), (to - from) / blockBytes);
      this.#applyRange(write, start, from, to);
    }
  }

  /** Its bytes from `from` to `to`; the write begins at `start`. */
  #applyRange(write: SimWrite, start: number, from: number, to: number): void {
    const { unitBytes, volatileCache } = this.options;
    const first = Math.floor(from / unitBytes);
    if (volatileCache) {
      for (let unit = first; unit * unitBytes < to; unit += 1) this.#log(unit);
    }
    if (write.bytes === null) this.now.zero(from, to - from);
    else this.now.write(from, write.bytes, from - start, to - from);
    if (!volatileCache) return;
    for (let unit = first; unit * unitBytes < to; unit += 1) {
      const at = unit * unitBytes;
      const { versions } = this.#dirty.get(unit)!;
      if (at < from || at + unitBytes > to) versions.push(this.#partVersion(write, at));
      else if (write.bytes === null) versions.push({ write, bytes: ZERO_UNIT, at: 0 });
      else versions.push({ write, bytes: write.bytes, at: at - start });
    }
  }

  /** Of a unit of which the write has a part: what is there now. */
  #partVersion(write: SimWrite, at: number): UnitVersion {
    return { write, bytes: this.now.share(at), at: at % CHUNK_BYTES };
  }

  /** What the write has left is in the cache now, and with `fua` durable. */
  complete(write: SimWrite, fua: boolean): void {
    write.completed = this.tick();
    if (!fua || !this.options.volatileCache) return;
    const { blockBytes, unitBytes } = this.options;
    const end = (write.block + write.blockCount) * blockBytes;
    const first = Math.floor((write.block * blockBytes) / unitBytes);
    for (let unit = first; unit * unitBytes < end; unit += 1) {
      this.#settle(unit, write);
    }
  }

  /** Makes durable what had completed before `tick`. */
  flush(tick: number): void {
    for (const [unit, log] of this.#dirty) {
      const { versions } = log;
      let last = versions.length - 1;
      while (last >= 0 && !isFlushed(versions[last]!.write, tick)) last -= 1;
      this.#settleUpTo(unit, log, last);
    }
  }

  /** A flush failed: of what completed between two ticks some can never be made durable. */
  failFlush(from: number, to: number, lost: () => boolean): void {
    for (const { versions } of this.#dirty.values()) {
      for (const { write } of versions) {
        if (write.completed >= from && write.completed < to && lost()) write.dropped = true;
      }
    }
  }

  /** What was written there last is on the medium, and not only in the cache. */
  isDurable(at: number, bytes: number): boolean {
    const { unitBytes } = this.options;
    for (let unit = Math.floor(at / unitBytes); unit * unitBytes < at + bytes; unit += 1) {
      if (this.#dirty.has(unit)) return false;
    }
    return true;
  }

  /** Bytes change by themselves; gives what they were. What was written there is durable. */
  corrupt(at: number, bytes: number): Uint8Array {
    assert(this.isDurable(at, bytes), 'what changes by itself is on the medium');
    const before = new Uint8Array(bytes);
    this.now.read(at, before, 0, bytes);
    const after = before.slice();
    after[Math.floor(bytes / 2)]! ^= 0x10;
    this.now.write(at, after, 0, bytes);
    return before;
  }

  /** True when its first sector is zeroes: it is no member of anything. */
  get isBlank(): boolean {
    const sector = new Uint8Array(512);
    this.now.read(0, sector, 0, sector.length);
    return sector.every((byte) => byte === 0);
  }

  /** What a failed flush may have lost is in its cache after all. */
  forgive(): void {
    for (const { versions } of this.#dirty.values()) {
      for (const { write } of versions) write.dropped = false;
    }
  }

  /** True when it holds something that no later flush makes durable. */
  get hasDropped(): boolean {
    for (const { versions } of this.#dirty.values()) {
      if (versions.some(({ write }) => write.dropped)) return true;
    }
    return false;
  }

  /** The writes whose fate a power cut would decide, each once. */
  undecided(): SimWrite[] {
    const found = new Set<SimWrite>();
    for (const { versions } of this.#dirty.values()) {
      for (const { write } of versions) if (!write.dropped) found.add(write);
    }
    return [...found].sort((a, b) => a.id - b.id);
  }

  /** Power is gone. `flying` are writes that were not carried out yet. */
  cutPower(decide: Decide, flying: readonly SimWrite[]): void {
    const { unitBytes } = this.options;
    for (const [unit, { durable, durableAt, versions }] of this.#dirty) {
      let content = durable;
      let contentAt = durableAt;
      for (const { write, bytes, at } of versions) {
        if (write.dropped || !decide(write, unit)) continue;
        content = bytes;
        contentAt = at;
      }
      this.now.write(unit * unitBytes, content, contentAt, unitBytes);
    }
    this.#dirty.clear();
    for (const write of flying) this.#land(write, decide);
    this.#dirty.clear();
  }

  /** Only the program is gone: the cache stays, and what was in flight lands as `decide` says. */
  kill(decide: Decide, flying: readonly SimWrite[]): void {
    for (const write of flying) this.#land(write, decide);
  }

  #land(write: SimWrite, decide: Decide): void {
    this.apply(write, (unit) => decide(write, unit));
    write.completed = this.tick();
  }

  /** What is written can be read again; less than a whole block is not. */
  #mend(block: number, blockCount: number): void {
    if (this.bad.size === 0) return;
    for (let index = 0; index < Math.floor(blockCount); index += 1) this.bad.delete(block + index);
  }

  #log(unit: number): void {
    if (this.#dirty.has(unit)) return;
    const at = unit * this.options.unitBytes;
    const durable = this.now.share(at);
    this.#dirty.set(unit, { durable, durableAt: at % CHUNK_BYTES, versions: [] });
  }

  /** The write is durable in the unit, and what came before it is history. */
  #settle(unit: number, write: SimWrite): void {
    const log = this.#dirty.get(unit);
    if (log === undefined) return;
    this.#settleUpTo(
      unit,
      log,
      log.versions.findLastIndex((version) => version.write === write),
    );
  }

  /** The version with that index is durable now; -1: none is. */
  #settleUpTo(unit: number, log: UnitLog, last: number): void {
    const { versions } = log;
    if (last === -1) return;
    if (last === versions.length - 1) {
      this.#dirty.delete(unit);
      return;
    }
    const { at, bytes } = versions[last]!;
    log.durable = bytes;
    log.durableAt = at;
    log.versions = versions.slice(last + 1);
  }
}
