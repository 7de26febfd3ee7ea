/**
 * FileTable: the ring's table of registered files.                                   (control plane)
 *
 * A registered file saves the kernel a reference count per operation. Where the table cannot be
 * registered (an old kernel, a low limit on open files) a slot is the descriptor itself and entries
 * do not carry the fixed-file flag; users cannot tell the difference.
 */

import { assert } from '../block/assert.ts';
import { BandstandError } from '../block/errors.ts';
import { statusText } from '../block/status.ts';
import type { NativeAddon } from '../native/addon.ts';
import { SQE_FIXED_FILE } from './uring.ts';

export class FileTable {
  /** SQE_FIXED_FILE in the place of word 0, or 0. */
  readonly entryFlag: number;
  readonly #native: NativeAddon;
  readonly #handle: number;
  readonly #free: number[] = [];
  readonly #count: number;

  constructor(native: NativeAddon, handle: number, count: number) {
    this.#native = native;
    this.#handle = handle;
    this.#count = count;
    this.entryFlag = native.ringRegisterFileTable(handle, count) === 0 ? SQE_FIXED_FILE : 0;
    for (let slot = count - 1; slot >= 0; slot -= 1) this.#free.push(slot);
  }

  get registered(): boolean {
    return this.entryFlag !== 0;
  }

  register(fd: number): number {
    if (!this.registered) return fd;
    const slot = this.#free.pop();
    if (slot === undefined) throw this.#refused(`all ${this.#count} slots are taken`);
    const result = this.#native.ringUpdateFile(this.#handle, slot, fd);
    if (result === 0) return slot;
    this.#free.push(slot);
    throw this.#refused(statusText(result));
  }

  unregister(slot: number): void {
    if (!this.registered) return;
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
