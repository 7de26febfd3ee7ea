/**
 * BlockIo: one outstanding operation on a block device.                               (data plane)
 *
 * The one idea: an operation is a pooled object of one fixed shape that is handed down the stack
 * and handed back by a method call on its `completer`. Nothing is allocated per operation, and a
 * payload is a byte position in the reactor's arena, never a view or a copy.
 *
 * Who may write what
 *   - the submitter fills op, flags, block, blockCount, buffer, completer (and parent, cookie,
 *     pending: scratch words of the submitter; a device must not touch them);
 *   - the device that holds the operation owns `status` and `next` until it completes;
 *   - after `completer.complete(io)` everything belongs to the submitter again.
 */

export const OP_READ = 0;
export const OP_WRITE = 1;
/** Makes every write that completed before it was submitted durable. blockCount is 0. */
export const OP_FLUSH = 2;
/** Content becomes undefined until written again (a hint). No payload. */
export const OP_TRIM = 3;
/** Blocks read as zeroes afterwards (a guarantee). No payload. */
export const OP_WRITE_ZEROES = 4;
export type Op = 0 | 1 | 2 | 3 | 4;

/** The operation is durable before it completes (write, trim, write-zeroes). */
export const FLAG_FUA = 1;
/** OP_WRITE_ZEROES must keep the blocks allocated. */
export const FLAG_NOUNMAP = 2;
/** Rebuild, resync, check, relocation: yields to the foreground. */
export const FLAG_BACKGROUND = 4;

const OP_NAMES = ['read', 'write', 'flush', 'trim', 'write-zeroes'] as const;

export function opName(op: Op): (typeof OP_NAMES)[number] {
  return OP_NAMES[op];
}

/** Receives completions. Called exactly once per submitted operation, from a reactor turn. */
export interface Completer {
  complete(io: BlockIo): void;
}

const UNOWNED: Completer = {
  complete(): void {
    throw new Error('a completed operation has a completer');
  },
};

export class BlockIo {
  op: Op = OP_READ;
  flags = 0;
  /** First block, in the device's own block size: a safe integer. Unused by OP_FLUSH. */
  block = 0;
  blockCount = 0;
  /** Payload: byte position in the reactor's arena, aligned to the block size or better. */
  buffer = 0;
  /** 0 or a positive errno; valid from `complete` on. */
  status = 0;
  completer: Completer = UNOWNED;
  /** The operation that this one was split from; the submitter's use. */
  parent: BlockIo | null = null;
  /** Children outstanding; the submitter's use. */
  pending = 0;
  /** Scratch word of the submitter, for example a member slot or a tag. */
  cookie = 0;
  /** Second scratch word of the submitter, for example a start time in microseconds. */
  stamp = 0;
  /** Intrusive link: free list, wait queue, completion queue. The current holder's use. */
  next: BlockIo | null = null;
}
