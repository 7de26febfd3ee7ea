/**
 * DiskFault: something that goes wrong with one chosen operation of a simulated disk.
 *
 *   fail      the operation fails with EIO; a write may have happened in part or whole
 *   hang      it completes, after a very long time
 *   lost      a write that is acknowledged and never happens
 *   misplaced a write that lands at another block of the data area
 *   flipped   a read or write whose payload has one bit changed
 *
 * The last three are silent: no level can notice them in a read, so they belong into scenarios of
 * check and repair only.
 */

import { type BlockIo, OP_FLUSH, OP_READ } from '../../src/block/block-io.ts';

export type FaultKind = 'fail' | 'hang' | 'lost' | 'misplaced' | 'flipped';
export type FaultOp = 'read' | 'write' | 'flush';

export interface DiskFault {
  readonly kind: FaultKind;
  readonly op: FaultOp;
  /** Operations of that kind that pass before it strikes. */
  skip: number;
  /** Only operations in the data area, not on metadata. */
  readonly dataOnly: boolean;
}

export function faultOp(io: BlockIo): FaultOp {
  if (io.op === OP_READ) return 'read';
  return io.op === OP_FLUSH ? 'flush' : 'write';
}

/** Takes the fault that strikes this operation out of `faults`, or gives null. */
export function strike(faults: DiskFault[], io: BlockIo, firstDataBlock: number): DiskFault | null {
  const op = faultOp(io);
  for (const [index, fault] of faults.entries()) {
    if (fault.op !== op) continue;
    if (fault.dataOnly && op !== 'flush' && io.block < firstDataBlock) continue;
    if (fault.skip > 0) {
      fault.skip -= 1;
      continue;
    }
    faults.splice(index, 1);
    return fault;
  }
  return null;
}
