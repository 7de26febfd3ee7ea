/**
 * One operation of the simulated user, with what the model noted when it was submitted.
 */

import { BlockIo, type Completer, FLAG_FUA, OP_FLUSH, opName } from '../../src/block/block-io.ts';
import type { ReadTicket, Value } from './model.ts';

export interface UserIoOwner {
  userIoDone(io: UserIo): void;
}

export class UserIo extends BlockIo {
  readonly number: number;
  /** Set for writes, write-zeroes and trims. */
  value: Value | null = null;
  /** Set for reads. */
  ticket: ReadTicket | null = null;
  /** Of a flush. */
  flushStamp = 0;
  /** Bytes reserved in the arena. */
  bufferBytes = 0;
  /** How many faults had struck when it was submitted. */
  strikes = 0;
  /** How often something in an NV cache could not be read by then. */
  hurts = 0;
  /** Of a read: some of its blocks could not be read as it was submitted. */
  wasLost = false;
  done = false;

  constructor(number: number, owner: UserIoOwner) {
    super();
    this.number = number;
    const completer: Completer = { complete: () => owner.userIoDone(this) };
    this.completer = completer;
  }

  get mutates(): boolean {
    return this.value !== null;
  }

  overlaps(block: number, blockCount: number): boolean {
    return this.block < block + blockCount && block < this.block + this.blockCount;
  }
}

export function ioText({ op, flags, block, blockCount }: BlockIo): string {
  const where = op === OP_FLUSH ? '' : ` ${block}+${blockCount}`;
  return `${opName(op)}${where}${(flags & FLAG_FUA) !== 0 ? ' fua' : ''}`;
}
