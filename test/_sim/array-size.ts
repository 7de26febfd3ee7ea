/**
 * How large the array, and the FTL on it, may be. The array has the size of its disks as they were
 * when it was made, or as they are since some of them have grown, and never becomes smaller. The
 * FTL uses all of it from the next start on, but for what is less than some bands.
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
  /** Blocks of the FTL, and of the array below it, at its last start; null: there is none. */
  #ftl: { readonly blocks: number; readonly below: number } | null = null;
  /** The sizes that it may be found to have. */
  #possible: number[];

  constructor(layout: Layout, grows: boolean, ftlBlocks: number | null = null) {
    this.#layout = layout;
    this.#grows = grows && (layout.level === 'raid0' || layout.level === 'raid1');
    this.#sizes = [...layout.sizes];
    this.blocks = referenceSize(layout);
    this.#possible = [this.blocks];
    if (ftlBlocks !== null) this.#ftl = { blocks: ftlBlocks, below: this.blocks };
  }

  clone(): ArraySize {
    const copy = new ArraySize(this.#layout, this.#grows);
    copy.blocks = this.blocks;
    copy.#ftl = this.#ftl;
    copy.#sizes = [...this.#sizes];
    copy.#possible = [...this.#possible];
    return copy;
  }

  /** As the user sees it. */
  get userBlocks(): number {
    return this.#ftl?.blocks ?? this.blocks;
  }

  /** What is wrong with what lies on the array after a start, or null; `some` is several bands. */
  foundFtl(blocks: number, below: number, some: number): string | null {
    if (this.#ftl === null) return null;
    const { blocks: before, below: belowBefore } = this.#ftl;
    this.#ftl = { blocks, below: blocks > before ? below : belowBefore };
    if (blocks < before) return `the FTL has shrunk from ${before} to ${blocks} blocks`;
    const must = below - belowBefore >= some;
    return must && blocks === before ? `the FTL has not grown with its array (${below})` : null;
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
