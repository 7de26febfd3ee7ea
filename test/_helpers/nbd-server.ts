/**
 * An NBD export over real sockets, served by a RingReactor in the test's own process.
 *
 * The reactor is held, so that it shares the thread with the test: programs can be run against it,
 * and NbdClient can talk to it.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { BlockDevice } from '../../src/block/block-device.ts';
import { NbdExporter, type NbdExporterOptions } from '../../src/exporter/nbd/nbd-exporter.ts';
import type { RingReactor } from '../../src/reactor/ring-reactor.ts';
import { openRingReactor } from './ring-reactor.ts';

export interface NbdServer {
  readonly reactor: RingReactor;
  readonly exporter: NbdExporter;
  /** For programs: an NBD URI. */
  readonly uri: string;
  /** For NbdClient: the socket's path. */
  readonly socket: string;
  /** A folder of this server's own, removed by `stop`. */
  readonly folder: string;
  /** Why clients were cut off. */
  readonly complaints: readonly string[];
  stop(): Promise<void>;
}

export async function serveNbd(
  device: BlockDevice,
  options: Partial<NbdExporterOptions> = {},
): Promise<NbdServer> {
  const reactor = openRingReactor({ arenaBytes: 64 * 2 ** 20 });
  const folder = mkdtempSync(path.join(tmpdir(), 'bandstand-nbd-'));
  const socket = path.join(folder, 'nbd.sock');
  const complaints: string[] = [];
  const exporter = new NbdExporter({
    name: 'disk',
    address: { unix: socket },
    observer: {
      connectionOpened: () => {},
      connectionClosed: (_open, reason) => {
        if (reason !== null) complaints.push(reason);
      },
      connectionRefused: (reason) => complaints.push(reason),
    },
    ...options,
  });
  reactor.hold();
  const running = reactor.run();
  const end = async (): Promise<void> => {
    await reactor.drive(device.close());
    reactor.stop();
    reactor.release();
    await running;
    await reactor.close();
    rmSync(folder, { recursive: true });
  };
  await reactor.drive(device.open(reactor));
  try {
    await reactor.drive(exporter.start(reactor, device));
  } catch (error) {
    await end();
    throw error;
  }
  return {
    reactor,
    exporter,
    uri: exporter.describe().address,
    socket,
    folder,
    complaints,
    stop: async () => {
      await reactor.drive(exporter.stop());
      await end();
    },
  };
}
