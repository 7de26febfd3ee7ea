/**
 * Small byte arrays by the million: cut from slabs, because an ArrayBuffer for each of them costs
 * more than what is done with it. A slab goes when nothing that was cut from it is left.
 */

const SLAB_BYTES = 256 * 1024;
/** Larger ones get memory of their own. */
const PIECE_BYTES_MAX = 16 * 1024;

let slab = new Uint8Array(SLAB_BYTES);
let used = 0;

/** So many zero bytes, at a multiple of 8, that nobody else has. */
export function freshBytes(bytes: number): Uint8Array {
  if (bytes > PIECE_BYTES_MAX) return new Uint8Array(bytes);
  if (used + bytes > SLAB_BYTES) {
    slab = new Uint8Array(SLAB_BYTES);
    used = 0;
  }
  const piece = slab.subarray(used, used + bytes);
  used = Math.ceil((used + bytes) / 8) * 8;
  return piece;
}
