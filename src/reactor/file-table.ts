/**
 * FileTable: the ring's table of registered files.                                  (control plane)
 *
 * A registered file saves the kernel a reference count per operation. But kernels before 6.13 let
 * go of a file that left the table only when every operation on any registered file or buffer that
 * was begun before has completed. One read of an event counter that waits for hours would keep a
 * removed disk busy, a closed connection open and a ublk device undeletable for as long. So a file
 * whose operations may wait is not put into the table: its slot is PLAIN_SLOT + descriptor. The
 * same goes for every file where the table cannot be registered (an old kernel, a low limit on open
 * files); users cannot tell the difference.
 */

import { assert } from '../block/assert.ts';
import { BandstandError } from '../block/errors.ts';
import { statusText } from '../block/status.ts';
import type { NativeAddon } from '../native/addon.ts';

/** Slots from here on stand for the descriptor `slot - PLAIN_SLOT`. */
export const PLAIN_SLOT = 2 ** 24;

export class FileTable {
  /** False where the kernel refused the table. */
  readonly registered: boolean;
  readonly #native: NativeAddon;
  readonly #handle: number;
  readonly #free: number[] = [];
  readonly #count: number;

  constructor(native: NativeAddon, handle: number, count: number) {
    this.#native = native;
    this.#handle = handle;
    this.#count = count;
    this.registered = native.ringRegisterFileTable(handle, count) === 0;
    for (let slot = count - 1; slot >= 0; slot -= 1) this.#free.push(slot);
  }

  register(fd: number, mayWait: boolean): number {
    if (!this.registered || mayWait) return PLAIN_SLOT + fd;
    const slot = this.#free.pop();
    if (slot === undefined) throw this.#refused(`all ${this.#count} slots are taken`);
    const result = this.#native.ringUpdateFile(this.#handle, slot, fd);
    if (result === 0) return slot;
    this.#free.push(slot);
    throw this.#refused(statusText(result));
  }

  unregister(slot: number): void {
    if (slot >= PLAIN_SLOT) return;
    const result = this.#native.ringUpdateFile(this.#handle, slot, -1);
    assert(result === 0, 'a registered file can be unregistered');
    this.#free.push(slot);
  }

  #refused(why: string): BandstandError {
    return new BandstandError('BANDSTAND_URING_FAILED', {
      message: `cannot register a file with the io_uring of this process: ${why}`,
      hint: 'use fewer devices and connections in one process',
      details: { slots: this.#count },
    });
  }
}
