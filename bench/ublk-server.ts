/**
 * The server half of bench/ublk.ts: one device on one reactor, served by the real UblkExporter.
 *
 * `node --import=tsx bench/ublk-server.ts '{"id":0,"queues":1,…}'`. Prints `ready` when every tag
 * is fetched, serves until the kernel stops the device, then prints what it has seen as one line
 * of JSON. Which thread serves is of no importance here: the whole process is the reactor.
 */

import { writeSync } from 'node:fs';
import type { BlockDevice, DeviceObserver, Geometry } from '../src/block/block-device.ts';
import { type BlockIo, FLAG_FUA, FLAG_NOUNMAP, opName } from '../src/block/block-io.ts';
import type { Reactor } from '../src/block/reactor.ts';
import { MemoryDevice } from '../src/device/memory-device.ts';
import { NullDevice } from '../src/device/null-device.ts';
import { UblkExporter } from '../src/exporter/ublk/ublk-exporter.ts';
import { loadAddon } from '../src/native/load.ts';
import { RingReactor } from '../src/reactor/ring-reactor.ts';

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

async function serve(options: ServerOptions): Promise<void> {
  const native = loadAddon();
  const bufferBytes = options.queues * options.depth * options.maxIoBytes;
  const reactor = RingReactor.create({
    native,
    arenaBytes: bufferBytes + 4 * 2 ** 20,
    pollUs: options.pollUs,
  });
  const device = makeDevice(options);
  await reactor.drive(device.open(reactor));
  const exporter = new UblkExporter({
    id: options.id,
    queues: options.queues,
    depth: options.depth,
    maxIoBytes: options.maxIoBytes,
    deadlineMs: options.deadlineMs,
    observer: {
      deviceStopped: () => reactor.stop(),
      queueFailed: (error) => {
        throw error;
      },
      requestsTimedOut: (count) => writeSync(2, `${count} requests timed out\n`),
    },
  });
  await reactor.drive(exporter.start(reactor, device));
  writeSync(1, 'ready\n');
  await reactor.run();
  await reactor.drive(exporter.stop());
  await reactor.drive(device.close());
  const seen = device instanceof RecordingDevice ? device.seen : {};
  const cpuUs = native.threadCpuUs();
  writeSync(1, `${JSON.stringify({ seen, cpu_us: cpuUs, ...reactor.stats })}\n`);
  await reactor.close();
}

const [argument] = process.argv.slice(2);
if (import.meta.filename === process.argv[1] && argument !== undefined) {
  await serve(JSON.parse(argument) as ServerOptions);
}
