/**
 * The header of an NV cache: whose it is, its life, and where its ring begins.      (control plane)
 *
 * Two copies; number s is written to copy s mod 2, so that a torn write destroys at most the older
 * one. The epoch grows with every start for writing, before the first record is written, and when
 * half of a mirror below has left. The current address says that the last stop was clean; the first
 * thing that a start does is to take it out. Ranges of lost blocks are those that neither the ring
 * nor the device behind it has.
 *
 * Decoding trusts nothing: a refusal names the copy and the field.
 */

import { crc32c } from '../block/crc32c.ts';
import { BandstandError, type ErrorCode } from '../block/errors.ts';
import type { LayoutValues } from '../block/layout.ts';
import { EPOCHS_MAX } from '../block/log-entry.ts';
import { UUID_NULL } from '../block/uuid.ts';
import {
  CACHE_BLOCK_BYTES,
  CACHE_HEADER,
  CACHE_SIGNATURE,
  CACHE_VERSION,
  LOST_RANGES_AT,
  LOST_RANGES_MAX,
  RECORD_BLOCKS_MAX,
  RING_START,
} from './cache-format.ts';

/** Fewer blocks make no ring: every record has to fit it some times. */
export const CACHE_BLOCKS_LEAST = RING_START + 4 * RECORD_BLOCKS_MAX;
/** Ring blocks are kept as 32-bit numbers, and a table of twice as many. */
export const CACHE_BLOCKS_MAX = 2 ** 30;
const NOWHERE = 2n ** 64n - 1n;
const SAFE = BigInt(Number.MAX_SAFE_INTEGER);

/** Blocks of the device that the cache is for. */
export interface BlockRange {
  readonly block: number;
  readonly blockCount: number;
}

export interface CacheHeader {
  readonly uuid: string;
  readonly owner: string;
  /** Header and ring. */
  readonly sizeBlocks: number;
  readonly sequence: number;
  readonly epoch: number;
  /** 0: the ring is being scrubbed; else that of the head. */
  readonly phase: number;
  /** Null: not stopped cleanly. */
  readonly currentAddress: number | null;
  readonly headSequence: number;
  readonly tailSequence: number;
  readonly tailAddress: number;
  readonly tailPhase: number;
  readonly lost: readonly BlockRange[];
  /** Records up to this one have only older copies of what is lost. */
  readonly lostSequence: number;
}

export function headerCopy(sequence: number): 0 | 1 {
  return (sequence & 1) as 0 | 1;
}

/** One block. */
export function encodeCacheHeader(header: CacheHeader): Uint8Array {
  const bytes = new Uint8Array(CACHE_BLOCK_BYTES);
  const ranges = new DataView(new ArrayBuffer(16 * header.lost.length));
  header.lost.forEach(({ block, blockCount }, index) => {
    ranges.setBigUint64(16 * index, BigInt(block), true);
    ranges.setBigUint64(16 * index + 8, BigInt(blockCount), true);
  });
  CACHE_HEADER.encode(
    {
      signature: new TextEncoder().encode(CACHE_SIGNATURE),
      version: CACHE_VERSION,
      phase: header.phase,
      uuid: header.uuid,
      owner: header.owner,
      size_blocks: header.sizeBlocks,
      header_sequence: header.sequence,
      current_address: header.currentAddress ?? NOWHERE,
      head_sequence: header.headSequence,
      tail_sequence: header.tailSequence,
      tail_address: header.tailAddress,
      epoch: header.epoch,
      tail_phase: header.tailPhase,
      lost_range_count: header.lost.length,
      lost_sequence: header.lostSequence,
      lost_ranges: new Uint8Array(ranges.buffer),
      crc: 0,
    },
    bytes,
  );
  const at = CACHE_HEADER.field('crc').offset;
  new DataView(bytes.buffer).setUint32(at, crc32c(bytes, 0, at), true);
  return bytes;
}

export function hasCacheSignature(bytes: Uint8Array): boolean {
  return new TextDecoder('latin1').decode(bytes.subarray(0, 4)) === CACHE_SIGNATURE;
}

type Values = LayoutValues<(typeof CACHE_HEADER)['fields']>;
type Counter =
  | 'head_sequence'
  | 'header_sequence'
  | 'lost_sequence'
  | 'size_blocks'
  | 'tail_address'
  | 'tail_sequence';

function refuse(where: string, field: string, why: string, code?: ErrorCode): never {
  throw new BandstandError(code ?? 'BANDSTAND_CACHE_HEADER', {
    message: `cannot use the NV cache header ${where}: ${field} ${why}`,
    hint: 'look at the other copy, and at the device',
    details: { where, field },
  });
}

function safe(values: Values, field: Counter, least: number, most: bigint, where: string): number {
  const value = values[field];
  if (value < BigInt(least) || value > most) refuse(where, field, `is ${value}`);
  return Number(value);
}

/** Throws BANDSTAND_CACHE_HEADER, which names the field, or BANDSTAND_CACHE_VERSION. */
export function decodeCacheHeader(bytes: Uint8Array, where: string): CacheHeader {
  if (!hasCacheSignature(bytes)) refuse(where, 'signature', 'is missing');
  const values = CACHE_HEADER.decode(bytes);
  if (values.version !== CACHE_VERSION) {
    const why = `is ${values.version}, this program reads ${CACHE_VERSION}`;
    refuse(where, 'version', why, 'BANDSTAND_CACHE_VERSION');
  }
  const crc = crc32c(bytes, 0, CACHE_HEADER.field('crc').offset);
  if (crc !== values.crc) refuse(where, 'crc', `is ${values.crc}, the content has ${crc}`);
  const { epoch, phase, tail_phase: tailPhase, uuid, owner } = values;
  if (uuid === UUID_NULL) refuse(where, 'uuid', 'is all zeroes');
  if (phase > 3) refuse(where, 'phase', `is ${phase}, it may be 0 to 3`);
  if (tailPhase < 1 || tailPhase > 3) {
    refuse(where, 'tail_phase', `is ${tailPhase}, it may be 1 to 3`);
  }
  if (epoch > EPOCHS_MAX) refuse(where, 'epoch', `is ${epoch}, it may be 0 to ${EPOCHS_MAX}`);
  const most = BigInt(CACHE_BLOCKS_MAX);
  const sizeBlocks = safe(values, 'size_blocks', CACHE_BLOCKS_LEAST, most, where);
  const current = values.current_address;
  if (current !== NOWHERE && (current < BigInt(RING_START) || current > BigInt(sizeBlocks))) {
    refuse(where, 'current_address', `is ${current}`);
  }
  return {
    uuid,
    owner,
    sizeBlocks,
    sequence: safe(values, 'header_sequence', 1, SAFE, where),
    epoch,
    phase,
    currentAddress: current === NOWHERE ? null : Number(current),
    headSequence: safe(values, 'head_sequence', 0, SAFE, where),
    tailSequence: safe(values, 'tail_sequence', 0, SAFE, where),
    tailAddress: safe(values, 'tail_address', RING_START, BigInt(sizeBlocks), where),
    tailPhase,
    lost: decodeLost(values, bytes, where),
    lostSequence: safe(values, 'lost_sequence', 0, SAFE, where),
  };
}

function decodeLost(values: Values, bytes: Uint8Array, where: string): readonly BlockRange[] {
  const count = values.lost_range_count;
  if (count > LOST_RANGES_MAX) refuse(where, 'lost_range_count', `is ${count}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset + LOST_RANGES_AT);
  return Array.from({ length: count }, (_, index) => {
    const block = view.getBigUint64(16 * index, true);
    const blockCount = view.getBigUint64(16 * index + 8, true);
    if (block + blockCount > SAFE || blockCount === 0n) {
      refuse(where, 'lost_ranges', `name ${blockCount} blocks at ${block}`);
    }
    return { block: Number(block), blockCount: Number(blockCount) };
  });
}
