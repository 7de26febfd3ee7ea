/**
 * The golden superblock of the format's description, and ways to break it.
 */

import { crc32cRaw } from '../../src/block/crc32c.ts';
import { BandstandError } from '../../src/block/errors.ts';
import { decodeSuperblock, encodeSuperblock, type Superblock } from '../../src/raid/superblock.ts';

export const UUIDS = [
  '11111111-1111-4111-8111-111111111111',
  '22222222-2222-4222-8222-222222222222',
];

export const GOLDEN: Superblock = {
  versionMinor: 0,
  uuid: '00112233-4455-6677-8899-aabbccddeeff',
  name: 'Raid1',
  raidSize: 126976,
  blockBytes: 512,
  level: 'raid1',
  stripBlocks: 0,
  seq: 1,
  members: UUIDS.map((uuid, slot) => ({
    uuid,
    dataOffset: 2048,
    dataSize: 126976,
    state: 'configured' as const,
    slot,
  })),
};

/** A copy of the golden superblock with other bytes in place, and the checksum made right again. */
export function patched(
  patch: (view: DataView, bytes: Uint8Array) => void,
  of: Superblock = GOLDEN,
): Uint8Array {
  const bytes = encodeSuperblock(of);
  const view = new DataView(bytes.buffer);
  patch(view, bytes);
  view.setUint32(16, 0, true);
  const length = Math.min(view.getUint32(12, true), bytes.length);
  view.setUint32(16, crc32cRaw(0, bytes, 0, length), true);
  return bytes;
}

export function refusal(bytes: Uint8Array): { code: string; message: string; field: unknown } {
  try {
    decodeSuperblock(bytes, '/dev/sdx');
  } catch (error) {
    if (!(error instanceof BandstandError)) throw error;
    return { code: error.code, message: error.message, field: error.details['field'] };
  }
  throw new Error('the superblock was accepted');
}
