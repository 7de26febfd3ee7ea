/**
 * How large the arena of a server is.                                               (control plane)
 *
 * Decided before a member is opened, from what is remembered of the stack. What is not known here
 * may have an FTL, with units as large as there are. What does not fit is an error at the start;
 * a checkpoint that found no room later would end all writing, so there is enough for one besides
 * what relocation holds. All of it is resident from the start, so nothing is set aside for what
 * cannot happen at once: a start reads units and the ring with memory that clients have later.
 */

import type { ExportRequest } from '../control/schema.ts';
import type { RememberedStack } from '../stack/state-store.ts';
import { wantsUblk } from './match-export.ts';
import { DEPTH_DEFAULT } from './server-exports.ts';

/** Buffers for NBD clients (5.5 MiB each), labels and the array's own work. */
export const ARENA_BYTES_MIN = 56 * 2 ** 20;
/** What is needed besides the request buffers of a ublk device. */
const ARENA_SPARE_BYTES = 24 * 2 ** 20;
const ARENA_BYTES_MAX = 2 ** 30;
const UBLK_BUFFER_BYTES = 256 * 1024;
/** Units that are smaller than this are made of several stripes. */
const FTL_UNIT_BYTES_LEAST = 256 * 1024;
const FTL_UNIT_BYTES_MAX = 16 * 2 ** 20;
/** Four that are relocated, one of the map, one of the superblock's pages, two of a check. */
const FTL_UNITS = 8;
/** What an FTL has besides units. */
const FTL_SPARE_BYTES = 2 * 2 ** 20;
/**
 * Records on their way to an NV cache (6 MiB), what is drained of it (4 MiB), and the rebuild of a
 * mirror under it (8 MiB).
 */
const CACHE_BYTES = 20 * 2 ** 20;
/** A write buffer that dies with the server. */
const FTL_SLOTS = 32;

export interface MemoryNeeds {
  readonly remembered: RememberedStack | null;
  /** That the server begins with. */
  readonly requests: readonly Pick<ExportRequest, 'via' | 'nbd' | 'queues' | 'depth'>[];
  /** The write buffer of an FTL is not in the arena's own memory. */
  readonly bufferSurvives: boolean;
}

export function arenaBytesFor(needs: MemoryNeeds): number {
  const { remembered, requests } = needs;
  const ftl = ftlBytes(needs);
  const ublk = requests.find(wantsUblk);
  if (ublk === undefined) return Math.min(ARENA_BYTES_MAX, ARENA_BYTES_MIN + ftl);
  // A ublk device has one buffer for each request in flight, of at least one write unit: a stripe,
  // unless an FTL takes single blocks.
  const unit = remembered?.ftl === false ? stripeBytes(remembered) : 0;
  const buffers = (ublk.queues ?? 1) * (ublk.depth ?? DEPTH_DEFAULT);
  const bytes = buffers * Math.max(UBLK_BUFFER_BYTES, unit) + ARENA_SPARE_BYTES + ftl;
  return Math.min(ARENA_BYTES_MAX, Math.max(ARENA_BYTES_MIN, bytes));
}

function ftlBytes({ remembered, bufferSurvives }: MemoryNeeds): number {
  if (remembered?.ftl === false) return 0;
  const unit =
    remembered === null
      ? FTL_UNIT_BYTES_MAX
      : Math.max(FTL_UNIT_BYTES_LEAST, stripeBytes(remembered));
  const units = FTL_UNITS + (bufferSurvives ? 0 : FTL_SLOTS);
  // A cache may be attached later.
  return units * unit + FTL_SPARE_BYTES + CACHE_BYTES;
}

/** Data of a stripe of a level that takes whole ones; 0 elsewhere. */
function stripeBytes({ level, stripBytes, members }: RememberedStack): number {
  return level === 'raid5f' ? stripBytes * (members.length - 1) : 0;
}
