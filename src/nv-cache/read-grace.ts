/**
 * ReadGrace: when everybody who read at some time is gone.                            (data plane)
 *
 * Who reads the ring enters and leaves one of two generations. To wait for all readers of now, the
 * generation changes, and the old one runs dry; newer readers cannot hold it up, because they do
 * not find any more in the map what is waited for.
 */

export class ReadGrace {
  readonly #readers = new Uint32Array(2);
  #generation = 0;
  #waits = false;

  // data path

  /** True while somebody waits. */
  get waits(): boolean {
    return this.#waits;
  }

  enter(): number {
    this.#readers[this.#generation]! += 1;
    return this.#generation;
  }

  leave(generation: number): void {
    this.#readers[generation]! -= 1;
  }

  /** Begins to wait for the readers of now. */
  begin(): void {
    this.#waits = true;
    this.#generation ^= 1;
  }

  /** True once, when those that were waited for are gone. */
  ended(): boolean {
    if (!this.#waits || this.#readers[this.#generation ^ 1]! > 0) return false;
    this.#waits = false;
    return true;
  }

  // end data path
}
