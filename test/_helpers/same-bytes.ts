/**
 * Compares byte arrays: AVA's deepEqual takes seconds for a mebibyte.
 */

import type { ExecutionContext } from 'ava';

export function sameBytes(
  t: ExecutionContext,
  actual: Uint8Array,
  expected: Uint8Array,
  message = 'bytes',
): void {
  const equal = Buffer.compare(actual, expected) === 0;
  const at = equal ? -1 : actual.findIndex((byte, index) => byte !== expected[index]);
  t.true(equal, `${message} differ at byte ${at} (${actual.length} and ${expected.length} bytes)`);
}

export function sameImages(
  t: ExecutionContext,
  actual: readonly Uint8Array[],
  expected: readonly Uint8Array[],
  message = 'image',
): void {
  t.is(actual.length, expected.length);
  actual.forEach((bytes, index) => {
    sameBytes(t, bytes, expected[index]!, `${message} ${index}`);
  });
}
