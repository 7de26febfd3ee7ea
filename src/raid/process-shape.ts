/**
 * ProcessShape: how much a process moves at once, and how much memory that takes.     (data plane)
 *
 * A mirror's chunk is one slice. A parity level's chunk is whole strips, because a write of the
 * user locks a whole stripe anyway; a strip that is larger than a slice is worked through in
 * several. All chunks together take at most BUFFERS_BYTES_MAX: wide arrays first get smaller
 * slices, then fewer chunks, then yet smaller slices, because small transfers cost more than a
 * shallow window does.
 */

import type { ProcessHost, ProcessKind, ProcessTuning } from './process-host.ts';

const BUFFERS_BYTES_MAX = 8 * 2 ** 20;
/** Slices are not made smaller than this as long as there is depth to give up. */
const SLICE_BYTES_GOOD = 64 * 1024;
/** Reading and writing still overlap. */
const DEPTH_LEAST = 2;
const PAGE_BYTES = 4096;

export interface ProcessShape {
  readonly depth: number;
  /** Slices of memory that a chunk needs. */
  readonly buffers: number;
  readonly sliceBlocks: number;
  /** Where chunks end: multiples of it. */
  readonly chunkBlocks: number;
}

/** One slice, or all sources (in one of which they are added up), or all members and their sum. */
function buffersNeeded(host: ProcessHost, kind: ProcessKind): number {
  const members = host.members.length;
  if (kind === 'rebuild') return host.redundancy === 'mirror' ? 1 : members - 1;
  return host.redundancy === 'mirror' ? members : members + 1;
}

/** Down to whole blocks, and whole pages where it is a page at least. */
function roundDown(bytes: number, blockBytes: number): number {
  const unit = bytes >= PAGE_BYTES ? Math.max(PAGE_BYTES, blockBytes) : blockBytes;
  return Math.max(blockBytes, Math.floor(bytes / unit) * unit);
}

export function processShape(
  host: ProcessHost,
  kind: ProcessKind,
  tuning: ProcessTuning,
): ProcessShape {
  const { blockBytes, stripBlocks } = host;
  const buffers = buffersNeeded(host, kind);
  const most = Math.min(tuning.chunkBytes, host.memberBlocksMax * blockBytes);
  const wanted = roundDown(most, blockBytes);
  const good = Math.min(wanted, SLICE_BYTES_GOOD);
  const room = Math.floor(BUFFERS_BYTES_MAX / buffers);
  const depthMost = Math.max(1, tuning.depth);
  const depth = Math.min(depthMost, Math.max(DEPTH_LEAST, Math.floor(room / good)));
  const slice = roundDown(Math.min(wanted, Math.floor(room / depth)), blockBytes) / blockBytes;
  if (stripBlocks === 0) return { depth, buffers, sliceBlocks: slice, chunkBlocks: slice };
  if (stripBlocks > slice) return { depth, buffers, sliceBlocks: slice, chunkBlocks: stripBlocks };
  const strips = Math.floor(slice / stripBlocks) * stripBlocks;
  return { depth, buffers, sliceBlocks: strips, chunkBlocks: strips };
}
