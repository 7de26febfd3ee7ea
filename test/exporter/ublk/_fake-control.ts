/**
 * An addon whose ring is a ublk driver: it reads the 128-byte entries that a ControlRing fills and
 * answers them from a function, at once, or never (until cancelled, or not even then).
 */

import type { NativeAddon } from '../../../src/native/addon.ts';

export interface SeenCommand {
  readonly op: number;
  readonly deviceId: number;
  readonly queueId: number;
  readonly data: number;
  /** The buffer, to read and to write; empty when the command has none. */
  readonly payload: Uint8Array;
}

/** A result, `wait` (ends with -EINTR when cancelled) or `hang` (never ends). */
export type Handler = (command: SeenCommand) => number | 'wait' | 'hang';

const ENTRIES = 8;
const CQ_ENTRIES = 64;
const ENTRY_BYTES = 128;
const OP_ASYNC_CANCEL = 14;
const OP_URING_CMD = 46;
const EINTR = 4;

export class FakeControl {
  readonly native: NativeAddon;
  readonly commands: SeenCommand[] = [];
  readonly openResults: number[] = [];
  readonly mappings = new Map<number, Uint8Array>();
  openFiles = 0;
  openRings = 0;
  ringErrno = 0;
  readonly #handler: Handler;
  readonly #sqes = new ArrayBuffer(ENTRIES * ENTRY_BYTES);
  readonly #cqes = new ArrayBuffer(CQ_ENTRIES * 16);
  readonly #waiting = new Set<number>();
  #sqHead = 0;
  #cqHead = 0;
  #cqTail = 0;
  #nextAddress = 2 ** 40;

  constructor(handler: Handler) {
    this.#handler = handler;
    this.native = {
      fileOpen: () => {
        const result = this.openResults.shift() ?? 9;
        if (result >= 0) this.openFiles += 1;
        return result;
      },
      fileClose: () => {
        this.openFiles -= 1;
        return 0;
      },
      ringCreate: (_entries: number, _cqEntries: number, flags: number) => {
        if (this.ringErrno !== 0) {
          throw Object.assign(new Error('refused'), { errno: this.ringErrno });
        }
        if (flags !== 1 << 10) throw new Error('ublk wants 128-byte entries');
        this.openRings += 1;
        return {
          handle: 1,
          fd: 10,
          sqEntries: ENTRIES,
          cqEntries: CQ_ENTRIES,
          sqeBytes: ENTRY_BYTES,
          sqes: this.#sqes,
          cqes: this.#cqes,
          features: 0,
          setupFlags: flags,
        };
      },
      ringClose: () => {
        this.openRings -= 1;
      },
      ringEnter: (_handle: number, toSubmit: number, _min: number, consumed: number) => {
        this.#cqHead += consumed;
        for (let count = 0; count < toSubmit; count += 1) this.#take();
        return this.#cqTail - this.#cqHead;
      },
      memoryMap: (bytes: number) => {
        const address = this.#nextAddress;
        this.#nextAddress += 2 ** 20;
        const memory = new ArrayBuffer(bytes);
        this.mappings.set(address, new Uint8Array(memory));
        return { memory, address, hugePages: false };
      },
      memoryUnmap: (memory: ArrayBuffer) => {
        for (const [address, bytes] of this.mappings) {
          if (bytes.buffer === memory) this.mappings.delete(address);
        }
      },
    } as unknown as NativeAddon;
  }

  #take(): void {
    const at = (this.#sqHead & (ENTRIES - 1)) * ENTRY_BYTES;
    this.#sqHead += 1;
    const view = new DataView(this.#sqes, at, ENTRY_BYTES);
    const opcode = view.getUint8(0);
    const userData = view.getUint32(32, true);
    if (opcode === OP_ASYNC_CANCEL) {
      const target = view.getUint32(16, true);
      if (this.#waiting.delete(target)) this.#complete(target, -EINTR);
      this.#complete(userData, 0);
      return;
    }
    if (opcode !== OP_URING_CMD) throw new Error(`unexpected opcode ${opcode}`);
    if (view.getInt32(4, true) !== 9) throw new Error('commands go to the control device');
    const length = view.getUint16(54, true);
    const address = Number(view.getBigUint64(56, true));
    const memory = this.mappings.get(address);
    if (length > 0 && memory === undefined) throw new Error('bad buffer address');
    const command = {
      op: view.getUint32(8, true),
      deviceId: view.getUint32(48, true),
      queueId: view.getUint16(52, true),
      data: Number(view.getBigUint64(64, true)),
      payload: memory?.subarray(0, length) ?? new Uint8Array(0),
    };
    this.commands.push({ ...command, payload: command.payload.slice() });
    const result = this.#handler(command);
    if (result === 'wait') this.#waiting.add(userData);
    else if (result !== 'hang') this.#complete(userData, result);
  }

  #complete(userData: number, result: number): void {
    const view = new DataView(this.#cqes, (this.#cqTail & (CQ_ENTRIES - 1)) * 16, 16);
    view.setUint32(0, userData, true);
    view.setUint32(4, 0, true);
    view.setInt32(8, result, true);
    this.#cqTail += 1;
  }
}
