/**
 * The thinnest user of an io_uring: fills entries word by word and takes completions one by one.
 *
 * Tests of the addon drive it instead of the reactor, so that they see what the addon itself does.
 */

import type { NativeAddon, NativeRing } from '../../src/native/addon.ts';

export interface Completion {
  readonly userData: number;
  readonly result: number;
  readonly flags: number;
}

export class RawRing {
  readonly addon: NativeAddon;
  readonly ring: NativeRing;
  readonly sqes: Uint32Array;
  readonly cqes: Int32Array;
  readonly state: Uint32Array;
  #tail = 0;
  #head = 0;
  #toSubmit = 0;
  #consumed = 0;

  constructor(addon: NativeAddon, entries = 8, cqEntries = 0, flags = 0) {
    this.addon = addon;
    this.ring = addon.ringCreate(entries, cqEntries, flags);
    this.sqes = new Uint32Array(this.ring.sqes);
    this.cqes = new Int32Array(this.ring.cqes);
    this.state = new Uint32Array(this.ring.state);
  }

  /** Fills the next entry. `address` and `offset` are exact Numbers. */
  push(
    opcode: number,
    fields: {
      fd?: number;
      offset?: number;
      address?: number;
      length?: number;
      operationFlags?: number;
      entryFlags?: number;
      userData?: number;
      bufferIndex?: number;
    } = {},
  ): void {
    const words = this.ring.sqeBytes / 4;
    const at = (this.#tail & (this.ring.sqEntries - 1)) * words;
    const { offset = 0, address = 0 } = fields;
    this.sqes.fill(0, at, at + words);
    this.sqes[at] = opcode | ((fields.entryFlags ?? 0) << 8);
    this.sqes[at + 1] = (fields.fd ?? -1) >>> 0;
    this.sqes[at + 2] = offset % 2 ** 32;
    this.sqes[at + 3] = Math.floor(offset / 2 ** 32);
    this.sqes[at + 4] = address % 2 ** 32;
    this.sqes[at + 5] = Math.floor(address / 2 ** 32);
    this.sqes[at + 6] = fields.length ?? 0;
    this.sqes[at + 7] = fields.operationFlags ?? 0;
    this.sqes[at + 8] = fields.userData ?? 0;
    this.sqes[at + 10] = fields.bufferIndex ?? 0;
    this.#tail += 1;
    this.#toSubmit += 1;
  }

  enter(minComplete: number, timeoutUs = -1): number {
    const toSubmit = this.#toSubmit;
    const consumed = this.#consumed;
    this.#toSubmit = 0;
    this.#consumed = 0;
    return this.addon.ringEnter(this.ring.handle, toSubmit, minComplete, consumed, timeoutUs);
  }

  take(): Completion {
    const at = (this.#head & (this.ring.cqEntries - 1)) * 4;
    this.#head += 1;
    this.#consumed += 1;
    return {
      userData: this.cqes[at]! >>> 0,
      result: this.cqes[at + 2]!,
      flags: this.cqes[at + 3]! >>> 0,
    };
  }

  /** Submits what was pushed and takes exactly `count` completions. */
  finish(count: number): Completion[] {
    const taken: Completion[] = [];
    let ready = this.enter(count);
    while (taken.length < count) {
      if (ready < 0) throw new Error(`ringEnter: ${this.addon.errnoName(ready)}`);
      for (; ready > 0 && taken.length < count; ready -= 1) taken.push(this.take());
      if (taken.length < count) ready = this.enter(count - taken.length);
    }
    return taken;
  }

  close(): void {
    this.addon.ringClose(this.ring.handle);
  }
}
