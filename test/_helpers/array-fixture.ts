/**
 * An open RaidArray over RamDevices on a simulated reactor, and what tests do with one.
 */

import type { Geometry } from '../../src/block/block-device.ts';
import { OP_READ, OP_WRITE, type Op } from '../../src/block/block-io.ts';
import { submitStatus } from '../../src/block/control-io.ts';
import { OK } from '../../src/block/status.ts';
import type { ArraySpec } from '../../src/raid/array-spec.ts';
import { RaidArray, type RaidArrayOptions } from '../../src/raid/raid-array.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';
import { type Layout, referenceSize } from './raid-reference.ts';
import { RamDevice } from './ram-device.ts';

export interface FixtureOptions extends Layout {
  readonly blockBytes?: number;
  readonly dataOffset?: number;
  readonly missing?: readonly number[];
  readonly delayUsMax?: number;
  readonly geometry?: Partial<Geometry> | ((slot: number) => Partial<Geometry>);
  readonly seed?: number;
  readonly array?: RaidArrayOptions;
}

export interface Fixture {
  readonly reactor: SimulatedReactor;
  readonly devices: RamDevice[];
  readonly array: RaidArray;
  /** Runs one operation on bytes outside the arena; returns its status. */
  run(
    op: Op,
    block: number,
    blockCount: number,
    bytes?: Uint8Array,
    flags?: number,
  ): Promise<number>;
  read(block: number, blockCount: number): Promise<Uint8Array>;
  write(block: number, bytes: Uint8Array, flags?: number): Promise<void>;
  close(): Promise<void>;
}

function dataSize({ level, strip, sizes }: Layout, slot: number): number {
  const size = level === 'concat' ? sizes[slot]! : Math.min(...sizes);
  return level === 'raid1' ? size : size - (size % strip);
}

export async function openArray(options: FixtureOptions): Promise<Fixture> {
  const { level, strip, sizes } = options;
  const blockBytes = options.blockBytes ?? 512;
  const dataOffset = options.dataOffset ?? 0;
  const reactor = new SimulatedReactor({ seed: options.seed ?? 1 });
  const devices = sizes.map((size, slot) => {
    const { geometry } = options;
    return new RamDevice(`ram${slot}`, {
      blockCount: dataOffset + size,
      blockBytes,
      delayUsMax: options.delayUsMax ?? 0,
      geometry: typeof geometry === 'function' ? geometry(slot) : (geometry ?? {}),
    });
  });
  const spec: ArraySpec = {
    name: 'tank',
    uuid: null,
    level,
    blockBytes,
    stripBlocks: level === 'raid1' ? 0 : strip,
    blockCount: referenceSize(options),
    members: devices.map((device, slot) => ({
      uuid: null,
      device: options.missing?.includes(slot) ? null : device,
      dataOffset,
      dataSize: dataSize(options, slot),
    })),
  };
  const array = new RaidArray(spec, options.array);
  await reactor.drive(array.open(reactor));
  const start = async (
    op: Op,
    block: number,
    blockCount: number,
    bytes: Uint8Array | null,
    flags: number,
  ): Promise<number> => {
    const { arena } = reactor;
    const length = Math.max(blockBytes, blockCount * blockBytes);
    const buffer = op === OP_READ || op === OP_WRITE ? arena.allocate(length) : 0;
    if (op === OP_WRITE && bytes !== null) arena.u8.set(bytes, buffer);
    const status = await submitStatus(array, op, block, blockCount, buffer, flags);
    if (op === OP_READ && bytes !== null) bytes.set(arena.u8.subarray(buffer, buffer + length));
    if (op === OP_READ || op === OP_WRITE) arena.release(buffer, length);
    return status;
  };
  const run: Fixture['run'] = (op, block, blockCount, bytes, flags = 0) =>
    start(op, block, blockCount, bytes ?? null, flags);
  return {
    reactor,
    devices,
    array,
    run,
    async read(block, blockCount) {
      const bytes = new Uint8Array(blockCount * blockBytes);
      const step = array.geometry.requestBlocksMax;
      for (let done = 0; done < blockCount; done += step) {
        const count = Math.min(step, blockCount - done);
        const part = bytes.subarray(done * blockBytes, (done + count) * blockBytes);
        const status = await reactor.drive(run(OP_READ, block + done, count, part));
        if (status !== OK) throw new Error(`read failed with ${status}`);
      }
      return bytes;
    },
    async write(block, bytes, flags = 0) {
      const count = bytes.length / blockBytes;
      const status = await reactor.drive(run(OP_WRITE, block, count, bytes, flags));
      if (status !== OK) throw new Error(`write failed with ${status}`);
    },
    close: () => reactor.drive(array.close()),
  };
}

/** A small seeded generator, so that the tests do not share the reactor's. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1;
  }

  next(): number {
    let value = this.#state;
    value ^= value << 13;
    value ^= value >>> 17;
    value ^= value << 5;
    this.#state = value >>> 0;
    return this.#state;
  }

  below(limit: number): number {
    return this.next() % limit;
  }

  bytes(count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    for (let index = 0; index < count; index += 1) bytes[index] = this.next() & 255;
    return bytes;
  }
}
