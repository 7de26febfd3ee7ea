/**
 * Sets up what a RingReactor stands on: one io_uring and one arena.                 (control plane)
 *
 * Newer kernels offer more: every set-up flag that the kernel refuses is given up in steps, and a
 * kernel or memory limit that refuses to register the arena gets plain reads and writes, which cost
 * more per operation and do the same.
 */

import { ARENA_BYTES_MAX, Arena } from '../block/arena.ts';
import { BandstandError } from '../block/errors.ts';
import { EINVAL } from '../block/status.ts';
import type { NativeAddon, NativeRing } from '../native/addon.ts';
import type { SurvivingFile } from './surviving-file.ts';
import {
  IORING_SETUP_CLAMP,
  IORING_SETUP_COOP_TASKRUN,
  IORING_SETUP_CQSIZE,
  IORING_SETUP_DEFER_TASKRUN,
  IORING_SETUP_SINGLE_ISSUER,
  IORING_SETUP_SUBMIT_ALL,
  IORING_SETUP_TASKRUN_FLAG,
} from './uring.ts';
import { uringError } from './uring-error.ts';

const FLAGS_ALWAYS = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
const FLAGS_5_19 =
  FLAGS_ALWAYS | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
/** Completions are processed only when this thread asks: no interrupts, full batches. */
const FLAGS_6_1 = FLAGS_5_19 | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
const FLAGS_BEST_FIRST = [FLAGS_6_1, FLAGS_5_19, FLAGS_ALWAYS] as const;

/** A registered buffer is at most 1 GiB. */
const BUFFER_BYTES_MAX = 2 ** 30;
const HUGE_PAGE = 2 ** 21;

export interface RingMemory {
  readonly arena: Arena;
  /** True when reads and writes may use registered buffers. */
  readonly registered: boolean;
  readonly hugePages: boolean;
  readonly memory: ArrayBuffer;
  /** Placed over the end of the arena. */
  readonly surviving: SurvivingFile | null;
}

/** Throws BANDSTAND_URING_UNAVAILABLE with the cause when this process cannot have a ring. */
export function createRing(native: NativeAddon, entries: number, cqEntries: number): NativeRing {
  let refusal: unknown;
  for (const flags of FLAGS_BEST_FIRST) {
    try {
      return native.ringCreate(entries, cqEntries, flags);
    } catch (error) {
      refusal = error;
      if (errnoOf(error) !== EINVAL) break;
    }
  }
  throw uringError(errnoOf(refusal), refusal);
}

/**
 * Maps an arena of `bytes`, and `surviving` after it if there is one; registers it with the ring,
 * when that is allowed.
 */
export function createArena(
  native: NativeAddon,
  handle: number,
  bytes: number,
  hugePages: boolean,
  surviving: SurvivingFile | null = null,
): RingMemory {
  // Memory from the huge page pool can only be replaced at the ends of its pages.
  const at = surviving === null ? bytes : Math.ceil(bytes / HUGE_PAGE) * HUGE_PAGE;
  const allBytes = at + (surviving?.bytes ?? 0);
  if (allBytes > ARENA_BYTES_MAX) throw tooLarge(allBytes);
  // From the pool or not at all: with transparent huge pages, sequential writes of 128 KiB to a
  // file in memory run at three quarters of the speed that ordinary pages give (bench/run.js).
  const mapping = native.memoryMap(allBytes, hugePages, false);
  try {
    const arena = new Arena(mapping.memory, mapping.address);
    if (surviving !== null) surviving.placeIn(arena, mapping.memory, at);
    return {
      arena,
      registered: register(native, handle, mapping.address, allBytes) === 0,
      hugePages: mapping.hugePages,
      memory: mapping.memory,
      surviving,
    };
  } catch (error) {
    native.memoryUnmap(mapping.memory);
    throw error;
  }
}

/** 0 or a negative errno. */
function register(native: NativeAddon, handle: number, address: number, bytes: number): number {
  const count = Math.ceil(bytes / BUFFER_BYTES_MAX);
  const addresses = new Float64Array(count);
  const lengths = new Float64Array(count);
  for (let index = 0; index < count; index += 1) {
    addresses[index] = address + index * BUFFER_BYTES_MAX;
    lengths[index] = Math.min(BUFFER_BYTES_MAX, bytes - index * BUFFER_BYTES_MAX);
  }
  return native.ringRegisterBuffers(handle, addresses, lengths);
}

function tooLarge(bytes: number): BandstandError {
  return new BandstandError('BANDSTAND_ARENA_FULL', {
    message: `cannot have ${bytes} bytes of buffer memory: the limit is ${ARENA_BYTES_MAX}`,
    hint: 'use a smaller --depth or fewer --queues',
    details: { bytes, bytes_max: ARENA_BYTES_MAX },
  });
}

function errnoOf(error: unknown): number {
  const errno = (error as { errno?: unknown } | null)?.errno;
  return typeof errno === 'number' ? Math.abs(errno) : 0;
}
