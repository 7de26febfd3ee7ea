/**
 * The answer to BLOCK_STATUS: which bytes of a range hold data.                       (data plane)
 *
 *   | context id 4 | extent 8 each: length in bytes, flags |
 *
 * A device that knows what was never written, or was trimmed, is asked for runs of blocks that are
 * alike; of any other one extent of data is always a true answer. An answer may end before the
 * range does, and the client asks for the rest: so no request looks at more than SCAN_BLOCKS_MAX
 * blocks, which takes some tenths of a millisecond.
 *
 * https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md, "Metadata querying"
 */

import type { BlockDevice } from '../../block/block-device.ts';
import type { NbdRequest } from './nbd-request.ts';
import { ALLOCATION_CONTEXT_ID, CMD_FLAG_REQ_ONE, STATE_HOLE, STATE_ZERO } from './protocol.ts';

const SCAN_BLOCKS_MAX = 65_536;
const EXTENTS_MAX = 500;
const CONTEXT_BYTES = 4;
const EXTENT_BYTES = 8;
/** Of a buffer for an answer. */
export const BLOCK_STATUS_BYTES = CONTEXT_BYTES + EXTENTS_MAX * EXTENT_BYTES;

// data path

/** Writes the answer at `at`; gives its bytes. The request has a length, and lies in the device. */
export function writeBlockStatus(
  device: BlockDevice,
  request: NbdRequest,
  view: DataView,
  at: number,
): number {
  const { blockBytes } = device.geometry;
  const { offset, length } = request;
  const extentsMax = (request.flags & CMD_FLAG_REQ_ONE) !== 0 ? 1 : EXTENTS_MAX;
  const firstBlock = Math.floor(offset / blockBytes);
  const endBlock = Math.ceil((offset + length) / blockBytes);
  const lastBlock = Math.min(endBlock, firstBlock + SCAN_BLOCKS_MAX);
  view.setUint32(at, ALLOCATION_CONTEXT_ID);
  let bytes = CONTEXT_BYTES;
  let block = firstBlock;
  let done = 0;
  for (let extents = 0; extents < extentsMax && block < lastBlock; extents += 1) {
    const run = device.allocationAt!(block, lastBlock - block);
    block += Math.abs(run);
    const end = Math.min(block * blockBytes - offset, length);
    view.setUint32(at + bytes, end - done);
    view.setUint32(at + bytes + 4, run > 0 ? 0 : STATE_HOLE + STATE_ZERO);
    bytes += EXTENT_BYTES;
    done = end;
  }
  return bytes;
}
// end data path
