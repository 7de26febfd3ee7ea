/**
 * The thread that speaks TLS for an export.                                         (control plane)
 *
 * Started by tls-thread.ts. The data path hands clients over through a port; what goes wrong with
 * them is told to the main thread. It ends when the data path has handed over its last client and
 * all of them are gone.
 */

import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { loadAddon } from '../../native/load.ts';
import { Complaints } from './complaints.ts';
import type { TlsMessage } from './tls-handover.ts';
import type { TlsSettings } from './tls-settings.ts';
import { type TlsLimits, TlsTerminator } from './tls-terminator.ts';

export interface TlsWorkerData {
  readonly port: MessagePort;
  readonly settings: TlsSettings;
  readonly limits: TlsLimits;
}

export type TlsReport =
  | { readonly kind: 'ready' }
  | { readonly kind: 'refused'; readonly reason: string };

const { port, settings, limits } = workerData as TlsWorkerData;
const report = (message: TlsReport): void => parentPort!.postMessage(message);

// A file system on the exported device may be where memory is freed to.
loadAddon().setIoFlusher(true);

const complaints = new Complaints(
  (reason) => report({ kind: 'refused', reason }),
  () => performance.now(),
);
const terminator = new TlsTerminator(settings, limits, {
  clientRefused: (reason) => complaints.add(reason),
});
terminator.ended.then(() => port.close());
port.on('message', (message: TlsMessage) => {
  if (message.kind === 'end') terminator.end();
  else if (message.kind === 'left') terminator.left(message.client);
  else terminator.admit(message.client, message.clientFd, message.plainFd);
});
report({ kind: 'ready' });
