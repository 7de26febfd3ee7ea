/**
 * How large the array may be: it has the size of its disks as they were when it was made, or as
 * they are since some of them have grown, and never becomes smaller.
 */

import { type Layout, referenceSize } from '../_helpers/raid-reference.ts';

export class ArraySize {
  /** Blocks of the array as it was seen last. */
  blocks: number;
  readonly #layout: Layout;
  /** False where the array keeps its size, whatever its disks do. */
  readonly #grows: boolean;
  /** Blocks for data on the disk in each slot. */
  #sizes: number[];
  /** The sizes that it may be found to have. */
  #possible: number[];

  constructor(layout: Layout, grows: boolean) {
    this.#layout = layout;
    this.#grows = grows && (layout.level === 'raid0' || layout.level === 'raid1');
    this.#sizes = [...layout.sizes];
    this.blocks = referenceSize(layout);
    this.#possible = [this.blocks];
  }

  clone(): ArraySize {
    const copy = new ArraySize(this.#layout, this.#grows);
    copy.blocks = this.blocks;
    copy.#sizes = [...this.#sizes];
    copy.#possible = [...this.#possible];
    return copy;
  }

  /** What the disks that are there now are good for. */
  get most(): number {
    if (!this.#grows) return this.blocks;
    return referenceSize({ ...this.#layout, sizes: this.#sizes });
  }

  diskGrew(slot: number, blocks: number): void {
    this.#sizes[slot]! += blocks;
    this.#possible.push(this.most);
  }

  /**
   * What is wrong with an array that is found with so many blocks, or null. `sure`: nothing has
   * gone wrong since the last disk grew, so that it must have become as large as it can.
   */
  found(blocks: number, sure: boolean): string | null {
    const right = sure ? blocks === this.most : this.#possible.includes(blocks);
    const allowed = sure ? [this.most] : this.#possible;
    this.#possible = allowed.filter((size) => size >= blocks);
    this.blocks = blocks;
    return right ? null : `the array has ${blocks} blocks instead of ${allowed.join(' or ')}`;
  }
}
