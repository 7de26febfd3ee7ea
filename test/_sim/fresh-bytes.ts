/**
 * Small byte arrays by the million: cut from slabs, because an ArrayBuffer for each of them costs
 * more than what is done with it. A slab goes when nothing that was cut from it is left. Whoever
 * gets bytes writes all of them, so nobody has to make them zero.
 */

const SLAB_BYTES = 256 * 1024;
/** Larger ones get memory of their own. */
const PIECE_BYTES_MAX = 16 * 1024;

let slab = allocate(SLAB_BYTES);
let used = 0;

function allocate(bytes: number): Uint8Array {
  return new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer);
}

/** So many bytes, at a multiple of 8, that nobody else has; what is in them is undefined. */
export function freshBytes(bytes: number): Uint8Array {
  if (bytes > PIECE_BYTES_MAX) return allocate(bytes);
  if (used + bytes > SLAB_BYTES) {
    slab = allocate(SLAB_BYTES);
    used = 0;
  }
  const piece = slab.subarray(used, used + bytes);
  used = Math.ceil((used + bytes) / 8) * 8;
  return piece;
}
