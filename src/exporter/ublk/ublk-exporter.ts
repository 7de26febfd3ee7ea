/**
 * UblkExporter: serves a BlockDevice as /dev/ublkbN.                               (control plane)
 *
 * The half that lives in the server process. The device has been added by the command's process
 * (control.ts), which starts it when `start` here has resolved and stops it before or during
 * `stop`. In between, every request goes through the queues (ublk-queue.ts) on the reactor's ring;
 * one reactor may own several queues.
 *
 * `stop` does not stop the kernel's device: it waits until the driver has retired every tag, which
 * STOP_DEV makes it do after the last request was answered, then lets go of /dev/ublkcN. DEL_DEV
 * waits for that.
 */

import { readFileSync } from 'node:fs';
import type { BlockDevice } from '../../block/block-device.ts';
import { BandstandError } from '../../block/errors.ts';
import { Timer } from '../../block/reactor.ts';
import {
  EACCES,
  EBUSY,
  ENODEV,
  ENOENT,
  ENXIO,
  statusName,
  statusText,
} from '../../block/status.ts';
import type { NativeMapping } from '../../native/addon.ts';
import type { Ring } from '../../reactor/ring.ts';
import type { ExportDescription, Exporter } from '../exporter.ts';
import {
  ATTR_READ_ONLY,
  blockDevicePath,
  charDevicePath,
  descriptorBytes,
  descriptorOffset,
} from './uapi.ts';
import { UblkQueue, type UblkQueueOwner } from './ublk-queue.ts';

const O_RDWR = 2;
/** The node of a device appears a moment after ADD_DEV. */
const OPEN_TIMEOUT_US = 5_000_000;
const OPEN_RETRY_US = 5_000;
/** Meanwhile the users of the device wait. */
const HAND_OVER_TIMEOUT_US = 10_000_000;
const HAND_OVER_LOOK_US = 1000;
const DEADLINE_MS_DEFAULT = 120_000;
/**
 * Every fetched tag occupies the ring's completion queue; this much leaves room for the
 * operations of the devices below.
 */
const TAGS_MAX = 2048;
const AT_PAGESZ = 6n;

export interface UblkExporterOptions {
  /** What ADD_DEV granted. */
  readonly id: number;
  readonly queues: number;
  readonly depth: number;
  readonly maxIoBytes: number;
  /** ATTR_* bits that the device was given, for the description. */
  readonly attributes?: number;
  /** Limit of one request; 0: none. */
  readonly deadlineMs?: number;
  readonly observer?: UblkObserver;
  /** Tests: another character device. */
  readonly path?: string;
}

/** Told from reactor turns about what nobody asked for. */
export interface UblkObserver {
  /** The kernel has stopped the device; nothing will be served any more. */
  deviceStopped(): void;
  /** The driver refused a command; the export cannot go on and the server should end. */
  queueFailed(error: BandstandError): void;
  /** So many requests were answered with ETIMEDOUT. */
  requestsTimedOut(count: number): void;
}

class Delay extends Timer {
  readonly done: Promise<void>;
  #resolve: () => void = () => {};

  constructor() {
    super();
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  expire(): void {
    this.#resolve();
  }
}

export class UblkExporter implements Exporter, UblkQueueOwner {
  readonly #options: UblkExporterOptions;
  readonly #path: string;
  readonly #queues: UblkQueue[] = [];
  readonly #mappings: NativeMapping[] = [];
  #ring: Ring | null = null;
  #fd = -1;
  #slot = -1;
  #failure: BandstandError | null = null;
  #retired: () => void = () => {};
  #stopping: Promise<void> | null = null;

  constructor(options: UblkExporterOptions) {
    this.#options = options;
    this.#path = options.path ?? charDevicePath(options.id);
  }

  /**
   * Opens the device and fetches every tag. Throws BANDSTAND_UBLK_NO_DEVICE, BANDSTAND_UBLK_BUSY
   * (another server has it), BANDSTAND_UBLK_PERMISSION, BANDSTAND_UBLK_FAILED (the driver refuses
   * to be fetched from), BANDSTAND_UBLK_REFUSED (too many tags) or BANDSTAND_ARENA_FULL.
   */
  async start(ring: Ring, device: BlockDevice): Promise<void> {
    const { queues, depth } = this.#options;
    if (queues * depth > TAGS_MAX) {
      throw new BandstandError('BANDSTAND_UBLK_REFUSED', {
        message: `cannot serve ${blockDevicePath(this.#options.id)}: ${queues} queues of ${depth} requests are more than ${TAGS_MAX} requests`,
        hint: 'use a smaller --depth or fewer --queues',
        details: { queues, depth, requests_max: TAGS_MAX },
      });
    }
    this.#ring = ring;
    try {
      this.#fd = await this.#open(ring);
      this.#slot = ring.registerFile(this.#fd, true);
      for (let queue = 0; queue < queues; queue += 1) this.#addQueue(ring, device, queue);
      for (const queue of this.#queues) queue.fetchAll();
      // The entries reach the kernel at the end of this turn; a refusal comes back in the next.
      await pause(ring, 0);
      await pause(ring, 0);
      if (this.#failure !== null) throw this.#failure;
    } catch (error) {
      if (this.#queues.every((queue) => queue.idle)) this.#release();
      throw error;
    }
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#drain();
    return this.#stopping;
  }

  async handOver(): Promise<void> {
    const ring = this.#ring;
    if (ring === null) return;
    for (const queue of this.#queues) queue.hold();
    const deadlineUs = ring.nowUs() + HAND_OVER_TIMEOUT_US;
    while (!this.#queues.every((queue) => queue.quiet)) {
      if (ring.nowUs() > deadlineUs) {
        for (const queue of this.#queues) queue.resume();
        throw new BandstandError('BANDSTAND_SERVER_TIMEOUT', {
          message: `cannot hand over ${blockDevicePath(this.#options.id)}: requests in flight were not finished within ${HAND_OVER_TIMEOUT_US / 1e6} s`,
          hint: 'it is served as before; look at the members and at the kernel log (dmesg)',
          details: { id: this.#options.id, timeout_us: HAND_OVER_TIMEOUT_US },
        });
      }
      await pause(ring, HAND_OVER_LOOK_US);
    }
  }

  describe(): ExportDescription {
    return {
      kind: 'ublk',
      address: blockDevicePath(this.#options.id),
      read_only: ((this.#options.attributes ?? 0) & ATTR_READ_ONLY) !== 0,
    };
  }

  queueRetired(): void {
    if (!this.#queues.every((queue) => queue.idle)) return;
    this.#retired();
    this.#options.observer?.deviceStopped();
  }

  queueFailed(errno: number): void {
    if (this.#failure !== null) return;
    this.#failure = new BandstandError('BANDSTAND_UBLK_FAILED', {
      message: `cannot go on serving ${blockDevicePath(this.#options.id)}: the driver refused a command: ${statusText(errno)} (${statusName(errno)})`,
      hint: 'look at the kernel log (dmesg); remove the device and export again',
      details: { id: this.#options.id, errno },
    });
    this.#options.observer?.queueFailed(this.#failure);
  }

  requestsTimedOut(count: number): void {
    this.#options.observer?.requestsTimedOut(count);
  }

  async #open(ring: Ring): Promise<number> {
    const deadlineUs = ring.nowUs() + OPEN_TIMEOUT_US;
    for (;;) {
      const fd = ring.native.fileOpen(this.#path, O_RDWR, 0);
      if (fd >= 0) return fd;
      const missing = fd === -ENOENT || fd === -ENODEV || fd === -ENXIO;
      if (!missing || ring.nowUs() > deadlineUs) throw this.#openError(-fd, missing);
      await pause(ring, OPEN_RETRY_US);
    }
  }

  #openError(errno: number, missing: boolean): BandstandError {
    const why = errno === EBUSY ? 'another server has it open' : statusText(errno);
    const disk = blockDevicePath(this.#options.id);
    const reason = `opening ${this.#path}: ${why} (${statusName(errno)})`;
    const options = {
      message: `cannot serve ${disk}: ${reason}`,
      details: { id: this.#options.id, path: this.#path, errno },
    };
    if (missing) {
      const hint = 'check that /dev is a devtmpfs, or run udev';
      return new BandstandError('BANDSTAND_UBLK_NO_DEVICE', { ...options, hint });
    }
    if (errno === EBUSY) {
      const hint = 'stop the other server first';
      return new BandstandError('BANDSTAND_UBLK_BUSY', { ...options, hint });
    }
    const code = errno === EACCES ? 'BANDSTAND_UBLK_PERMISSION' : 'BANDSTAND_UBLK_FAILED';
    return new BandstandError(code, { ...options, hint: 'run the server as root' });
  }

  #addQueue(ring: Ring, device: BlockDevice, queue: number): void {
    const { depth, maxIoBytes, deadlineMs } = this.#options;
    const bytes = descriptorBytes(depth, pageBytes());
    const offset = descriptorOffset(queue, pageBytes());
    const mapping = ring.native.memoryMapFile(this.#fd, offset, bytes, false);
    this.#mappings.push(mapping);
    this.#queues.push(
      new UblkQueue(this, ring, device, {
        queue,
        depth,
        bufferBytes: maxIoBytes,
        deadlineUs: (deadlineMs ?? DEADLINE_MS_DEFAULT) * 1000,
        descriptors: mapping.memory,
        slot: this.#slot,
      }),
    );
  }

  async #drain(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#retired = resolve;
      if (this.#queues.every((queue) => queue.idle)) resolve();
    });
    this.#release();
  }

  #release(): void {
    const ring = this.#ring;
    if (ring === null) return;
    this.#ring = null;
    for (const queue of this.#queues) queue.dispose();
    for (const { memory } of this.#mappings) ring.native.memoryUnmap(memory);
    if (this.#slot >= 0) ring.unregisterFile(this.#slot);
    if (this.#fd >= 0) ring.native.fileClose(this.#fd);
    this.#queues.length = 0;
    this.#mappings.length = 0;
  }
}

function pause(ring: Ring, delayUs: number): Promise<void> {
  const delay = new Delay();
  ring.schedule(delay, delayUs);
  return delay.done;
}

let pageBytesKnown = 0;

/** The kernel's page size, from the auxiliary vector that it gave this process. */
function pageBytes(): number {
  if (pageBytesKnown > 0) return pageBytesKnown;
  const vector = readFileSync('/proc/self/auxv');
  for (let at = 0; at + 16 <= vector.length; at += 16) {
    if (vector.readBigUInt64LE(at) === AT_PAGESZ) {
      pageBytesKnown = Number(vector.readBigUInt64LE(at + 8));
    }
  }
  if (pageBytesKnown === 0) pageBytesKnown = 4096;
  return pageBytesKnown;
}
