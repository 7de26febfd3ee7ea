/**
 * WholeWrites: an NV cache keeps a write that fits one of its records wholly or not at all. Whoever
 * reads everything after a crash must not find a part of such a write beside something older.
 */

/** A write of which a crash may have left nothing, with what its blocks may hold besides. */
export interface UndecidedWrite {
  readonly version: number;
  readonly blocks: readonly UndecidedBlock[];
}

export interface UndecidedBlock {
  readonly block: number;
  /** Versions that were there before the write for certain, and nothing else has left. */
  readonly older: ReadonlySet<number>;
}

export class WholeWrites {
  #writes: readonly UndecidedWrite[];
  /** Writes up to this version may have gone past the cache. */
  #since = 0;
  /** Versions that were read since the last start. */
  readonly #seen = new Map<number, number>();

  constructor(from?: WholeWrites) {
    this.#writes = from === undefined ? [] : from.#writes;
    this.#since = from === undefined ? 0 : from.#since;
  }

  /** Nothing is to be found out. */
  get isIdle(): boolean {
    return this.#writes.length === 0;
  }

  /** Another crash before everything was read leaves what the first one has left. */
  crashed(undecided: readonly UndecidedWrite[]): void {
    const whole = undecided.filter(({ version }) => version > this.#since);
    this.#writes = [...this.#writes, ...whole];
    this.#seen.clear();
  }

  /** What was written up to this version may have gone past the cache. */
  passedBy(version: number): void {
    this.#since = version;
  }

  saw(block: number, version: number): void {
    this.#seen.set(block, version);
  }

  /** Everything was read: what is wrong, or null. */
  judge(): string | null {
    const writes = this.#writes;
    const seen = new Map(this.#seen);
    this.#writes = [];
    this.#seen.clear();
    for (const { version, blocks } of writes) {
      const here = blocks.find(({ block }) => seen.get(block) === version);
      const gone = blocks.find(({ block, older }) => older.has(seen.get(block) ?? -1));
      if (here === undefined || gone === undefined) continue;
      const what = `block ${here.block} has version ${version} of a write of ${blocks.length} blocks`;
      return `${what}, and block ${gone.block} of it has version ${seen.get(gone.block)}`;
    }
    return null;
  }
}
