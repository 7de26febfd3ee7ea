/**
 * Where each block of an array lies on its members, written from the published formulas of SPDK's
 * RAID module with BigInt-free, slow, obvious arithmetic, and sharing nothing with src/raid.
 */

export interface Place {
  readonly member: number;
  /** Block in the member's data area. */
  readonly block: number;
}

export interface Layout {
  readonly level: 'raid0' | 'raid1' | 'raid5f' | 'concat';
  readonly strip: number;
  /** Blocks available for data on each member, before the level rounds them. */
  readonly sizes: readonly number[];
}

/** Blocks of the array. */
export function referenceSize({ level, strip, sizes }: Layout): number {
  const least = Math.min(...sizes);
  const count = sizes.length;
  if (level === 'raid1') return least;
  if (level === 'raid0') return (least - (least % strip)) * count;
  if (level === 'raid5f') return ((least - (least % strip)) / strip) * strip * (count - 1);
  return sizes.map((size) => size - (size % strip)).reduce((a, b) => a + b, 0);
}

/** All places that hold block `lba` itself (raid1: one for each member). */
export function referencePlaces(layout: Layout, lba: number): Place[] {
  const { level, strip, sizes } = layout;
  const count = sizes.length;
  if (level === 'raid1') return sizes.map((_, member) => ({ member, block: lba }));
  const inStrip = lba % strip;
  const stripNumber = (lba - inStrip) / strip;
  if (level === 'raid0') {
    const member = stripNumber % count;
    return [{ member, block: ((stripNumber - member) / count) * strip + inStrip }];
  }
  if (level === 'raid5f') {
    const chunk = stripNumber % (count - 1);
    const stripe = (stripNumber - chunk) / (count - 1);
    const parity = referenceParity(layout, stripe);
    return [{ member: chunk < parity ? chunk : chunk + 1, block: stripe * strip + inStrip }];
  }
  let rest = lba;
  for (const [member, size] of sizes.entries()) {
    const used = size - (size % strip);
    if (rest < used) return [{ member, block: rest }];
    rest -= used;
  }
  throw new Error('the block lies beyond the array');
}

/** The member that holds the parity of a raid5f stripe. */
export function referenceParity({ sizes }: Layout, stripe: number): number {
  const count = sizes.length;
  return count - 1 - (stripe % count);
}

/** The data area of each member (data sizes only) for an array with the given content. */
export function referenceImages(
  layout: Layout,
  blockBytes: number,
  content: Uint8Array,
): Uint8Array[] {
  const images = layout.sizes.map((size) => new Uint8Array(size * blockBytes));
  const blocks = content.length / blockBytes;
  for (let lba = 0; lba < blocks; lba += 1) {
    const payload = content.subarray(lba * blockBytes, (lba + 1) * blockBytes);
    for (const { member, block } of referencePlaces(layout, lba)) {
      images[member]!.set(payload, block * blockBytes);
    }
  }
  if (layout.level === 'raid5f') {
    const stripes = blocks / (layout.strip * (layout.sizes.length - 1));
    const chunkBytes = layout.strip * blockBytes;
    for (let stripe = 0; stripe < stripes; stripe += 1) {
      const parity = referenceParity(layout, stripe);
      for (let at = stripe * chunkBytes; at < (stripe + 1) * chunkBytes; at += 1) {
        // The parity itself is zero up to here.
        let value = 0;
        for (const image of images) value ^= image[at]!;
        images[parity]![at] = value;
      }
    }
  }
  return images;
}
