/**
 * StackExports: what serves a stack to its clients, each known by its address.     (control plane)
 *
 * All of them serve the same device: what was written through one is read through any other.
 */

import type { BlockDevice } from '../block/block-device.ts';
import type { ExportStatus } from '../control/schema.ts';
import type { Exporter } from '../exporter/exporter.ts';
import type { Ring } from '../reactor/ring.ts';

interface ActiveExport {
  readonly exporter: Exporter;
  readonly status: ExportStatus;
}

export class StackExports {
  /** By address. */
  readonly #active = new Map<string, ActiveExport>();

  /** Resolves when clients can be served. Throws BandstandError; then nothing is left behind. */
  async add(ring: Ring, device: BlockDevice, exporter: Exporter): Promise<ExportStatus> {
    const { blockCount, blockBytes } = device.geometry;
    await exporter.start(ring, device);
    const status = { ...exporter.describe(), size_bytes: blockCount * blockBytes };
    this.#active.set(status.address, { exporter, status });
    return status;
  }

  /** Answers what is in flight, and closes. One that is not there is removed already. */
  async remove(address: string): Promise<void> {
    const active = this.#active.get(address);
    this.#active.delete(address);
    await active?.exporter.stop();
  }

  async removeAll(): Promise<void> {
    for (const address of [...this.#active.keys()]) await this.remove(address);
  }

  /**
   * Leaves the clients of all to the next server. Throws when that takes too long; then nothing has
   * changed: only a ublk device can refuse, there is one at most, and it is asked first.
   */
  async handOver(): Promise<void> {
    const ublkFirst = [...this.#active.values()].sort(
      (a, b) => Number(b.status.kind === 'ublk') - Number(a.status.kind === 'ublk'),
    );
    for (const { exporter } of ublkFirst) await exporter.handOver();
    this.#active.clear();
  }

  get statuses(): readonly ExportStatus[] {
    return [...this.#active.values()].map(({ status }) => status);
  }

  /** That clients of every export see; null without one. A grown stack is larger than this. */
  get sizeBytes(): number | null {
    const sizes = this.statuses.map(({ size_bytes }) => size_bytes);
    return sizes.length === 0 ? null : Math.min(...sizes);
  }
}
