/**
 * FilterDevice: what every device over one other device shares.                     (control plane)
 *
 * Opens and closes the lower device, takes over its geometry, and passes its events on as its own.
 * The lower device belongs to the filter: whoever opens the filter does not open the lower one.
 */

import { assert } from '../block/assert.ts';
import type {
  BlockDevice,
  DeviceDescription,
  DeviceObserver,
  Geometry,
} from '../block/block-device.ts';
import type { BlockIo } from '../block/block-io.ts';
import type { Reactor } from '../block/reactor.ts';

const CLOSED: Geometry = {
  blockBytes: 4096,
  blockCount: 0,
  writeUnitBlocks: 1,
  optimalBoundaryBlocks: 0,
  requestBlocksMax: 1,
  physicalBlockBytes: 4096,
  rotational: false,
  volatileCache: true,
  features: 0,
  trimGranularityBlocks: 1,
};

export abstract class FilterDevice implements BlockDevice, DeviceObserver {
  readonly name: string;
  #lower: BlockDevice;
  geometry: Geometry = CLOSED;
  observer: DeviceObserver | null = null;
  protected reactor: Reactor | null = null;

  constructor(lower: BlockDevice, name = lower.name) {
    this.#lower = lower;
    this.name = name;
  }

  get lower(): BlockDevice {
    return this.#lower;
  }

  /** It stands for this device from now on, which is open. Nothing is in flight. */
  protected take(lower: BlockDevice): void {
    if (lower === this.#lower) return;
    // Another one may have taken its place already.
    if (this.#lower.observer === this) this.#lower.observer = null;
    lower.observer = this;
    this.#lower = lower;
    this.geometry = this.geometryOver(lower.geometry);
  }

  async open(reactor: Reactor): Promise<void> {
    assert(this.reactor === null, 'a device is opened once');
    this.lower.observer = this;
    await this.lower.open(reactor);
    try {
      this.geometry = this.geometryOver(this.lower.geometry);
    } catch (error) {
      await this.lower.close();
      throw error;
    }
    this.reactor = reactor;
  }

  async close(): Promise<void> {
    const reactor = this.reactor;
    if (reactor === null) return;
    this.reactor = null;
    await this.drain(reactor);
    await this.lower.close();
    this.lower.observer = null;
  }

  /** What fails beside the lower device, which does without it, is told of as itself. */
  deviceFailed(device: BlockDevice, status: number): void {
    this.observer?.deviceFailed(device === this.#lower ? this : device, status);
  }

  deviceResized(_device: BlockDevice): void {
    this.geometry = this.geometryOver(this.lower.geometry);
    this.observer?.deviceResized(this);
  }

  deviceOverdue(_device: BlockDevice): boolean {
    return this.observer?.deviceOverdue(this) ?? false;
  }

  abstract submit(io: BlockIo): void;
  abstract describe(): DeviceDescription;

  /** The filter's geometry. Throws BandstandError when the lower device does not suit it. */
  protected geometryOver(lower: Geometry): Geometry {
    return lower;
  }

  /** Waits for what the filter itself holds; the lower device is still open. */
  protected abstract drain(reactor: Reactor): Promise<void>;
}
