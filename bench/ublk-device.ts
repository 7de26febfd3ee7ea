/**
 * The device that bench/ublk.ts serves: memory or null, optionally with a record of what came.
 */

import type { BlockDevice, DeviceObserver, Geometry } from '../src/block/block-device.ts';
import { type BlockIo, FLAG_FUA, FLAG_NOUNMAP, opName } from '../src/block/block-io.ts';
import type { Reactor } from '../src/block/reactor.ts';
import { MemoryDevice } from '../src/device/memory-device.ts';
import { NullDevice } from '../src/device/null-device.ts';

export interface ServerOptions {
  readonly id: number;
  readonly queues: number;
  readonly depth: number;
  readonly maxIoBytes: number;
  readonly device: 'mem' | 'null';
  readonly sizeBytes: number;
  readonly blockBytes: number;
  /** Announce a volatile cache, and count the operations by kind. */
  readonly record: boolean;
  readonly deadlineMs: number;
  readonly pollUs: number;
}

/** Passes everything on, and says afterwards what came. Completions do not go through it. */
export class RecordingDevice implements BlockDevice {
  readonly name: string;
  readonly geometry: Geometry;
  observer: DeviceObserver | null = null;
  readonly seen: Record<string, number> = {};
  readonly #lower: BlockDevice;

  constructor(lower: BlockDevice) {
    this.#lower = lower;
    this.name = lower.name;
    this.geometry = { ...lower.geometry, volatileCache: true };
  }

  open(reactor: Reactor): Promise<void> {
    return this.#lower.open(reactor);
  }

  close(): Promise<void> {
    return this.#lower.close();
  }

  submit(io: BlockIo): void {
    const fua = (io.flags & FLAG_FUA) === 0 ? '' : '+fua';
    const nounmap = (io.flags & FLAG_NOUNMAP) === 0 ? '' : '+nounmap';
    const key = `${opName(io.op)}${fua}${nounmap}`;
    this.seen[key] = (this.seen[key] ?? 0) + 1;
    this.#lower.submit(io);
  }

  describe(): ReturnType<BlockDevice['describe']> {
    return this.#lower.describe();
  }
}

export function makeDevice(
  options: Pick<ServerOptions, 'device' | 'sizeBytes' | 'blockBytes' | 'record'>,
): BlockDevice {
  const { sizeBytes, blockBytes } = options;
  const leaf =
    options.device === 'mem'
      ? new MemoryDevice('mem', { sizeBytes, blockBytes })
      : new NullDevice('null', { sizeBytes, blockBytes });
  return options.record ? new RecordingDevice(leaf) : leaf;
}
