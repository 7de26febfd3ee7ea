/**
 * LossGate: no answer before the loss is on record.                                   (data plane)
 *
 * When a member leaves service, the others have something that it lacks from the next completed
 * write on. If that write were acknowledged, and power failed before the others' superblocks say
 * that the member is out, it could come back as current, and the write would be lost. So from the
 * moment of the ejection every success of an operation that changes something, or makes something
 * durable, is parked here until the loss is recorded; then all go out. What fails is answered at
 * once, and so are reads.
 *
 * When the loss cannot be recorded anywhere, nothing that changes something succeeds any more:
 * nobody could rely on it. Reads go on.
 */

import { assert } from '../block/assert.ts';
import { type BlockIo, OP_READ } from '../block/block-io.ts';
import { BlockIoQueue } from '../block/block-io-pool.ts';
import { OK } from '../block/status.ts';

export class LossGate {
  readonly #parked = new BlockIoQueue();
  #closed = false;
  /** Not OK: what changes something fails with it, for good. */
  #refusal = OK;

  get parked(): number {
    return this.#parked.length;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** A loss has to be recorded. */
  close(): void {
    this.#closed = true;
  }

  // data path

  /** Answers the operation, now or when the gate opens. */
  answer(io: BlockIo, status: number): void {
    io.status = status;
    if (status === OK && io.op !== OP_READ) {
      if (this.#closed) {
        this.#parked.push(io);
        return;
      }
      io.status = this.#refusal;
    }
    io.completer.complete(io);
  }

  // end data path

  /** The loss is recorded (OK), or never will be: then what was parked has failed. */
  open(status: number): void {
    assert(this.#closed, 'a gate that opens was closed');
    this.#closed = false;
    this.#refusal = status;
    for (let left = this.#parked.length; left > 0; left -= 1) {
      const io = this.#parked.shift()!;
      io.status = status;
      io.completer.complete(io);
    }
  }
}
