/**
 * The model: for every block of the array the values that the laws allow it to have.
 *
 * A Value is what one write, write-zeroes or trim left, with the stamps of its submission and its
 * completion. For each block the values that may still show are kept, oldest first, in arrays that
 * are never changed in place. Which of them are allowed follows from two rules:
 *
 *   - a value is superseded by another one that completed OK and was submitted after the first
 *     had completed: of writes that overlap in time either may win;
 *   - after a power cut only values that are durable themselves supersede: those that a flush
 *     which was submitted after their completion, or their own FUA, has covered.
 *
 * A write that failed or was in flight at a crash supersedes nothing and is never superseded but by
 * a later write. Once its block was read without anything in flight, and the subject promises that
 * this value stays, the value that was seen becomes a value of its own ("pinned").
 */

import { describeUnit, GARBAGE, UNIT_BYTES, unitVersion, ZEROES } from './payload.ts';
import type { UndecidedBlock, UndecidedWrite } from './whole-writes.ts';

export const IN_FLIGHT = Number.POSITIVE_INFINITY;

/** What a block may hold; `any` matches everything. */
export interface Value {
  readonly version: number;
  readonly content: 'data' | 'zeroes' | 'any';
  readonly submitted: number;
  /** IN_FLIGHT until it completes. */
  completed: number;
  /** Completed with success. */
  ok: boolean;
  durable: boolean;
  /** False once a flush has failed that should have covered it: no later one makes it durable. */
  flushable: boolean;
  readonly block: number;
  readonly blockCount: number;
}

/** An outstanding read: what its blocks were when it was submitted, and what came since. */
export class ReadTicket {
  readonly block: number;
  readonly blockCount: number;
  readonly submitted: number;
  readonly before: readonly (readonly Value[])[];
  readonly since: Value[] = [];

  constructor(
    block: number,
    blockCount: number,
    submitted: number,
    before: readonly (readonly Value[])[],
  ) {
    this.block = block;
    this.blockCount = blockCount;
    this.submitted = submitted;
    this.before = before;
  }
}

const FIRST: Value = {
  version: 0,
  content: 'zeroes',
  submitted: 0,
  completed: 0,
  ok: true,
  durable: true,
  flushable: true,
  block: 0,
  blockCount: 0,
};

export interface ModelOptions {
  readonly blockCount: number;
  readonly blockBytes: number;
  /** False when a block may be torn inside by a crash or a failed write. */
  readonly atomicBlocks: boolean;
  /** False when nothing that completed can be lost by a power cut. */
  readonly volatileCache: boolean;
}

export class Model {
  readonly options: ModelOptions;
  /** As the option says, until another device is in front. */
  volatileCache: boolean;
  #blocks: (readonly Value[])[];
  #stamp = 0;
  #versions = 0;
  #reads = new Set<ReadTicket>();
  /** Completed with success and not durable. */
  #volatile: Value[] = [];

  constructor(options: ModelOptions) {
    this.options = options;
    this.volatileCache = options.volatileCache;
    this.#blocks = new Array<readonly Value[]>(options.blockCount).fill([FIRST]);
  }

  /** The same knowledge in another world; reads that are under way stay behind. */
  clone(): Model {
    const copy = new Model(this.options);
    const twins = new Map<Value, Value>();
    const twin = (value: Value): Value => {
      const known = twins.get(value) ?? { ...value };
      twins.set(value, known);
      return known;
    };
    copy.#blocks = this.#blocks.map((values) => values.map(twin));
    copy.#volatile = this.#volatile.map(twin);
    copy.volatileCache = this.volatileCache;
    copy.#stamp = this.#stamp;
    copy.#versions = this.#versions;
    return copy;
  }

  // --- what the subject is asked and answers ----------------------------------------------------

  writeSubmitted(block: number, blockCount: number, content: Value['content']): Value {
    this.#versions += 1;
    const value: Value = {
      version: content === 'zeroes' ? 0 : this.#versions,
      content,
      submitted: this.#tick(),
      completed: IN_FLIGHT,
      ok: false,
      durable: false,
      flushable: true,
      block,
      blockCount,
    };
    for (let index = block; index < block + blockCount; index += 1) {
      this.#blocks[index] = [...this.#blocks[index]!, value];
    }
    this.#tellReads(value);
    return value;
  }

  writeDone(value: Value, ok: boolean, fua: boolean): void {
    value.completed = this.#tick();
    value.ok = ok;
    if (!ok) return;
    if (fua || !this.volatileCache) {
      value.durable = true;
      this.#prune(value.block, value.blockCount);
    } else {
      this.#volatile.push(value);
    }
  }

  /** The stamp to give to `flushDone`. */
  flushSubmitted(): number {
    return this.#tick();
  }

  flushDone(submitted: number): void {
    const isCovered = ({ completed, flushable }: Value): boolean =>
      flushable && completed < submitted;
    const covered = this.#volatile.filter(isCovered);
    this.#volatile = this.#volatile.filter((value) => !isCovered(value));
    for (const value of covered) value.durable = true;
    for (const { block, blockCount } of covered) this.#prune(block, blockCount);
  }

  /** A disk has failed a flush, and nothing makes up for what it has lost. */
  flushFailed(): void {
    for (const values of this.#blocks) {
      for (const value of values) if (!value.durable) value.flushable = false;
    }
  }

  readSubmitted(block: number, blockCount: number): ReadTicket {
    const before = this.#blocks.slice(block, block + blockCount);
    const ticket = new ReadTicket(block, blockCount, this.#tick(), before);
    this.#reads.add(ticket);
    return ticket;
  }

  readDropped(ticket: ReadTicket): void {
    this.#reads.delete(ticket);
  }

  /**
   * What is wrong with the answer at byte `at`, or null. With `pin`, a value that was seen while
   * nothing else was in flight is from now on the only one.
   */
  readDone(ticket: ReadTicket, words: Uint32Array, at: number, pin: boolean): string | null {
    this.#reads.delete(ticket);
    const { blockBytes } = this.options;
    for (let index = 0; index < ticket.blockCount; index += 1) {
      const values = ticket.before[index]!;
      const block = ticket.block + index;
      if (values.length === 1 && ticket.since.length === 0) {
        const wrong = this.#check(block, values, words, at + index * blockBytes);
        if (wrong !== null) return wrong;
        continue;
      }
      const since = ticket.since.filter((value) => holds(value, block));
      const allowed = [...visible(values, ticket.submitted), ...since];
      const wrong = this.#check(block, allowed, words, at + index * blockBytes);
      if (wrong !== null) return wrong;
      if (!pin || allowed.length === 1 || this.#blocks[block] !== values) continue;
      if (values.every(({ completed }) => completed < ticket.submitted)) {
        this.#pin(block, allowed, words, at + index * blockBytes);
      }
    }
    return null;
  }

  /** What is wrong with a copy of the block that lies at byte `at`, for what may show now. */
  checkCopy(block: number, words: Uint32Array, at: number): string | null {
    return this.#check(block, this.allowedNow(block), words, at);
  }

  allowedNow(block: number): Value[] {
    return visible(this.#blocks[block]!, IN_FLIGHT);
  }

  /** True when the block can have one value only, and that is known. */
  isCertain(block: number): boolean {
    const allowed = this.allowedNow(block);
    return allowed.length === 1 && allowed[0]!.content !== 'any';
  }

  // --- crashes ----------------------------------------------------------------------------------

  /** What completed stays; what was in flight may or may not have happened. */
  killed(): void {
    const now = this.#tick();
    this.#reads.clear();
    for (const values of this.#blocks) {
      for (const value of values) if (value.completed === IN_FLIGHT) value.completed = now;
    }
  }

  /** What no flush covers may or may not be there; none of it supersedes anything any more. */
  powerCut(): void {
    const now = this.#tick();
    this.#reads.clear();
    this.#volatile = [];
    this.#blocks.forEach((values, block) => {
      const left = surviving(values);
      const only = left[0]!;
      if (left.length === 1 && only.durable) return;
      this.#blocks[block] = left.map((value) => ({
        ...value,
        submitted: now,
        completed: now,
        ok: left.length === 1,
        durable: left.length === 1,
      }));
    });
  }

  get newestVersion(): number {
    return this.#versions;
  }

  /** Writes of 2 to `most` blocks of which a crash now may leave nothing. */
  undecidedWrites(most: number): UndecidedWrite[] {
    const found = new Map<number, UndecidedBlock[]>();
    this.#blocks.forEach((values, block) => {
      for (const value of values) {
        const { blockCount, content, durable, submitted, version } = value;
        if (durable || content !== 'data' || blockCount === 1 || blockCount > most) continue;
        const isOlder = ({ completed }: Value): boolean => completed < submitted;
        const others = values.filter((other) => !isOlder(other)).map(versionOf);
        const older = new Set(values.filter(isOlder).map(versionOf));
        for (const other of others) older.delete(other);
        // What is undefined may be anything.
        if (values.some((one) => one.content === 'any')) older.clear();
        found.set(version, [...(found.get(version) ?? []), { block, older }]);
      }
    });
    return [...found].map(([version, blocks]) => ({ version, blocks }));
  }

  /** True when a power cut, a kill or a failed write has left the block undecided. */
  isDoubtful(block: number): boolean {
    return this.#blocks[block]!.some(({ ok }) => !ok);
  }

  get isAnyDoubtful(): boolean {
    return this.#blocks.some((values) => values.some(({ ok }) => !ok));
  }

  /** True when a power cut could change what the block holds. */
  isVolatile(block: number): boolean {
    return surviving(this.#blocks[block]!).length > 1;
  }

  /** Nothing is known about the block until it is written again. */
  forget(block: number): void {
    const now = this.#tick();
    const value: Value = {
      ...FIRST,
      content: 'any',
      submitted: now,
      completed: now,
      block,
      blockCount: 1,
    };
    this.#blocks[block] = [value];
    this.#tellReads(value);
  }

  /** Reads under way may see it. */
  #tellReads(value: Value): void {
    for (const read of this.#reads) {
      const { block, blockCount } = read;
      if (block < value.block + value.blockCount && value.block < block + blockCount) {
        read.since.push(value);
      }
    }
  }

  // --- rules ------------------------------------------------------------------------------------

  #tick(): number {
    this.#stamp += 1;
    return this.#stamp;
  }

  #prune(block: number, blockCount: number): void {
    for (let index = block; index < block + blockCount; index += 1) {
      const values = this.#blocks[index]!;
      if (values.length > 1) this.#blocks[index] = surviving(values);
    }
  }

  #pin(block: number, allowed: readonly Value[], words: Uint32Array, at: number): void {
    // What is undefined need not stay the same.
    if (allowed.some(({ content }) => content === 'any')) return;
    const seen = allowed.filter(
      (value) => value.content !== 'any' && this.#check(block, [value], words, at) === null,
    );
    // A torn block, or one whose content fits several values (two kinds of zeroes), stays as it is.
    if (seen.length !== 1) return;
    const now = this.#tick();
    const pinned: Value = {
      ...seen[0]!,
      submitted: now,
      completed: now,
      ok: true,
      durable: false,
      block,
      blockCount: 1,
    };
    this.#blocks[block] = [...this.#blocks[block]!, pinned];
    this.#volatile.push(pinned);
  }

  /** True when the whole block is what the value says. */
  #isAll(block: number, value: Value, words: Uint32Array, at: number): boolean {
    const version = versionOf(value);
    for (let unit = 0; unit < this.options.blockBytes / UNIT_BYTES; unit += 1) {
      if (unitVersion(words, at, unit, block) !== version) return false;
    }
    return true;
  }

  #check(block: number, allowed: readonly Value[], words: Uint32Array, at: number): string | null {
    const { blockBytes, atomicBlocks } = this.options;
    if (allowed.length === 1 && this.#isAll(block, allowed[0]!, words, at)) return null;
    if (allowed.some(({ content }) => content === 'any')) return null;
    let first = GARBAGE;
    for (let unit = 0; unit < blockBytes / UNIT_BYTES; unit += 1) {
      const version = unitVersion(words, at, unit, block);
      if (unit === 0) first = version;
      const known = allowed.some((value) => version === versionOf(value));
      if (known && (version === first || !atomicBlocks)) continue;
      const found = describeUnit(words, at, unit);
      const torn = known ? `, while unit 0 has version ${first}` : '';
      const names = allowed.map(nameOf).join(' or ');
      return `block ${block} holds ${found} in unit ${unit}${torn}; allowed: ${names}`;
    }
    return null;
  }
}

function versionOf({ content, version }: Value): number {
  return content === 'zeroes' ? ZEROES : version;
}

function nameOf(value: Value): string {
  const name = value.content === 'data' ? `version ${value.version}` : value.content;
  const state = value.completed === IN_FLIGHT ? 'in flight' : value.ok ? '' : 'uncertain';
  return `${name}${state === '' ? '' : ` (${state})`}${value.durable ? ' (durable)' : ''}`;
}

function holds({ block, blockCount }: Value, index: number): boolean {
  return block <= index && index < block + blockCount;
}

/** The values that a read which was submitted at `stamp` may still give. */
function visible(values: readonly Value[], stamp: number): Value[] {
  if (values.length === 1) return [values[0]!];
  return values.filter(
    ({ completed }) =>
      !values.some((later) => later.ok && later.completed < stamp && completed < later.submitted),
  );
}

/** The values that may be there after a power cut. */
function surviving(values: readonly Value[]): Value[] {
  return values.filter(
    ({ completed }) =>
      !values.some((later) => later.ok && later.durable && completed < later.submitted),
  );
}
