/**
 * From what a server asks for to an exporter that is not started yet.               (control plane)
 */

import { BandstandError } from '../block/errors.ts';
import type { NbdAddress } from '../exporter/nbd/address.ts';
import { Complaints } from '../exporter/nbd/complaints.ts';
import { NbdExporter } from '../exporter/nbd/nbd-exporter.ts';
import { handoverThrough } from '../exporter/nbd/tls-thread.ts';
import { UblkExporter } from '../exporter/ublk/ublk-exporter.ts';
import type { NbdExportOptions, UblkExportOptions } from './worker-messages.ts';

/** `refused` hears why a client was cut off or turned away, at most once a minute. */
export function nbdExporter(
  options: NbdExportOptions,
  nowMs: () => number,
  refused: (reason: string) => void,
): NbdExporter {
  const complaints = new Complaints(refused, nowMs);
  return new NbdExporter({
    name: options.exportName,
    description: options.description,
    address: nbdAddress(options.listen),
    readOnly: options.readOnly,
    insecure: options.insecure,
    tls: options.tlsPort === null ? null : handoverThrough(options.tlsPort),
    observer: {
      connectionOpened: () => {},
      connectionClosed: (_open, reason) => {
        if (reason !== null) complaints.add(reason);
      },
      connectionRefused: (reason) => complaints.add(reason),
    },
  });
}

/** `warn` takes what the kernel reports, as sentences. */
export function ublkExporter(
  options: UblkExportOptions,
  warn: (message: string) => void,
): UblkExporter {
  return new UblkExporter({
    id: options.deviceId,
    queues: options.queues,
    depth: options.depth,
    maxIoBytes: options.bufferBytes,
    attributes: options.attributes,
    observer: {
      deviceStopped: () => warn('the kernel has stopped the ublk device'),
      queueFailed: (error) => warn(error.message),
      requestsTimedOut: (count) => warn(`${count} requests were not done in time`),
    },
  });
}

/** The address has been checked by the command (cli/listen-address.ts). */
function nbdAddress(listen: string): NbdAddress {
  if (listen.startsWith('unix:')) return { unix: listen.slice('unix:'.length) };
  const tcp = /^tcp:(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(listen);
  if (tcp === null) {
    throw new BandstandError('BANDSTAND_EXPORT_ADDRESS_INVALID', {
      message: `cannot listen on ${listen}: it is no address`,
      hint: 'write unix:PATH or tcp:ADDRESS:PORT',
      details: { address: listen },
    });
  }
  const host = tcp[1] ?? tcp[2]!;
  return { host: host === 'localhost' ? '127.0.0.1' : host, port: Number(tcp[3]) };
}
