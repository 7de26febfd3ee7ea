/**
 * Exporter: a front end that serves one BlockDevice until it is stopped.              (both planes)
 *
 * The exporter is where untrusted input meets the stack: it checks every operation with `checkIo`
 * before it submits it, and maps statuses to its protocol in one table.
 */

import type { BlockDevice } from '../block/block-device.ts';
import type { Ring } from '../reactor/ring.ts';

export interface ExportDescription {
  readonly kind: 'ublk' | 'nbd';
  /** `/dev/ublkb0`, or an NBD URI. */
  readonly address: string;
  readonly read_only: boolean;
}

export interface Exporter {
  /** Resolves when clients can be served. Throws BandstandError; then nothing is left behind. */
  start(ring: Ring, device: BlockDevice): Promise<void>;
  /** Stops taking new operations, answers those in flight, closes. A second call is a no-op. */
  stop(): Promise<void>;
  /**
   * Answers what is in flight, and leaves all the rest to another server of the same device. Throws
   * BANDSTAND_SERVER_TIMEOUT when that takes too long; then it goes on serving.
   */
  handOver(): Promise<void>;
  describe(): ExportDescription;
}
