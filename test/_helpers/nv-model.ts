/**
 * NvModel: which values a block of an NV cache may have, given what was answered and flushed.
 *
 * Every change has a number; its blocks are filled with it, or zero where it is a trim. One change
 * supersedes another when it was submitted after that one had been answered. A read gives a change
 * that no other one has superseded which was answered before the read began. A crash leaves one
 * that none has superseded which is durable: after a kill everything that was answered is.
 */

/** A write, trim or write-zeroes of the history. */
export class Change {
  readonly id: number;
  readonly block: number;
  readonly blockCount: number;
  /** What its blocks are filled with. */
  readonly value: number;
  readonly submittedAt: number;
  answeredAt = Number.POSITIVE_INFINITY;
  durableAt = Number.POSITIVE_INFINITY;

  constructor(id: number, block: number, blockCount: number, value: number, submittedAt: number) {
    this.id = id;
    this.block = block;
    this.blockCount = blockCount;
    this.value = value;
    this.submittedAt = submittedAt;
  }
}

const FIRST = Object.assign(new Change(0, 0, 0, 0, -2), { answeredAt: -1, durableAt: -1 });

export class NvModel {
  readonly violations: string[] = [];
  #clock = 0;
  #ids = 0;
  readonly #isVolatile: boolean;
  readonly #atomicBlocks: number;
  readonly #changes: Change[][];

  /**
   * `isVolatile`: a power cut may take what was answered and not flushed. Writes of up to
   * `atomicBlocks` fit a record.
   */
  constructor(blockCount: number, isVolatile: boolean, atomicBlocks: number) {
    this.#atomicBlocks = atomicBlocks;
    this.#isVolatile = isVolatile;
    this.#changes = Array.from({ length: blockCount }, () => [FIRST]);
  }

  now(): number {
    this.#clock += 1;
    return this.#clock;
  }

  begin(block: number, blockCount: number, isZero: boolean): Change {
    this.#ids += 1;
    const id = this.#ids;
    const change = new Change(id, block, blockCount, isZero ? 0 : id, this.now());
    for (let index = 0; index < blockCount; index += 1) this.#changes[block + index]!.push(change);
    return change;
  }

  answered(change: Change, isFua: boolean): void {
    change.answeredAt = this.now();
    if (isFua || !this.#isVolatile) change.durableAt = change.answeredAt;
  }

  /** A flush that was submitted at `since` has completed. */
  flushed(since: number): void {
    const now = this.now();
    for (const changes of this.#changes) {
      for (const change of changes) {
        if (change.answeredAt < since) change.durableAt = Math.min(change.durableAt, now);
      }
    }
  }

  /** What a read, submitted at `since`, has found in a block. */
  read(block: number, value: number, since: number): void {
    this.#judge(block, value, 'a read', (newer) => newer.answeredAt < since);
  }

  #judge(block: number, value: number, what: string, counts: (newer: Change) => boolean): void {
    const changes = this.#changes[block]!;
    const allowed = changes.filter(
      (change) => !changes.some((newer) => counts(newer) && newer.submittedAt > change.answeredAt),
    );
    if (allowed.some((change) => change.value === value)) return;
    const values = allowed.map((change) => change.value).join(', ');
    this.violations.push(`${what} of block ${block} gave ${value}, allowed: ${values}`);
  }

  /** The whole device as it is after a crash. A cut of power takes what is not durable. */
  crashed(values: readonly number[], isCut: boolean): void {
    const now = this.#clock;
    values.forEach((value, block) => {
      this.#judge(block, value, isCut ? 'a power cut' : 'a kill', (newer) =>
        isCut ? newer.durableAt <= now : newer.answeredAt <= now,
      );
    });
    this.#judgeWholes(values);
    this.#settle(values, isCut);
  }

  /** Nothing of a write that fits a record is there, or all of it, where nothing newer came. */
  #judgeWholes(values: readonly number[]): void {
    const newest = new Map<Change, number[]>();
    this.#changes.forEach((changes, block) => {
      const last = changes.at(-1)!;
      if (last.value === 0 || last.blockCount > this.#atomicBlocks) return;
      newest.set(last, [...(newest.get(last) ?? []), block]);
    });
    for (const [change, blocks] of newest) {
      // Overlapping changes have no order that the model knows.
      const alone = blocks.filter((block) =>
        this.#changes[block]!.every(
          (other) => other === change || other.answeredAt < change.submittedAt,
        ),
      );
      const there = alone.filter((block) => values[block] === change.value);
      if (there.length === 0 || there.length === alone.length) continue;
      const missing = alone.filter((block) => values[block] !== change.value);
      this.violations.push(
        `write ${change.id} is there in part: blocks ${there} are, blocks ${missing} are not`,
      );
    }
  }

  /** What was found is what is there; after a cut nothing else can come back. */
  #settle(values: readonly number[], isCut: boolean): void {
    const now = this.now();
    values.forEach((value, block) => {
      const changes = this.#changes[block]!;
      const found = changes.findLast((change) => change.value === value);
      if (found === undefined) return;
      // Of this block alone: other blocks of a change may not be there.
      const settled = new Change(found.id, block, 1, value, isCut ? now : found.submittedAt);
      settled.answeredAt = Math.min(found.answeredAt, now);
      settled.durableAt = found.durableAt;
      if (isCut) {
        settled.answeredAt = now;
        settled.durableAt = now;
        this.#changes[block] = [settled];
        return;
      }
      // What was in flight and is not there has not landed, unless something newer hides it.
      this.#changes[block] = changes.flatMap((change) => {
        if (change === found) return settled;
        const isAnswered = change.answeredAt < Number.POSITIVE_INFINITY;
        return isAnswered || change.submittedAt < found.submittedAt ? change : [];
      });
    });
  }
}
