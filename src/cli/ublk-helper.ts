/**
 * The process that sends ublk control commands for a server.                        (control plane)
 *
 * START_DEV and STOP_DEV wait for I/O that the server has to answer, so the server must not send
 * them itself: on kernels before 6.18.4 a server that dies in its own START_DEV cannot be killed.
 * This short-lived process takes commands over its IPC channel, one at a time, and ends when the
 * channel closes.
 */

import type { Geometry } from '../block/block-device.ts';
import type { WireError } from '../control/schema.ts';
import { UblkControl } from '../exporter/ublk/control.ts';
import { bufferBytesFor, ublkParamsFor } from '../exporter/ublk/control-params.ts';
import { loadAddon } from '../native/load.ts';
import { errorToWire } from '../stack/wire-error.ts';
import type { UblkRecord } from './ublk-record.ts';
import { beginRecovery } from './ublk-recovery.ts';

export interface UblkAddRequest {
  readonly geometry: Geometry;
  readonly id: number | null;
  readonly queues: number;
  readonly depth: number;
  readonly readOnly: boolean;
}

export interface UblkAddReply {
  readonly id: number;
  readonly queues: number;
  readonly depth: number;
  readonly bufferBytes: number;
  readonly attributes: number;
  readonly missing: readonly string[];
}

export type UblkHelperRequest =
  | { readonly op: 'open'; readonly timeoutMs: number }
  | { readonly op: 'add'; readonly request: UblkAddRequest }
  | {
      readonly op: 'begin-recovery';
      readonly record: UblkRecord;
      readonly geometry: Geometry;
      readonly readOnly: boolean;
    }
  | { readonly op: 'end-recovery'; readonly id: number; readonly pid: number }
  | { readonly op: 'start'; readonly id: number; readonly pid: number }
  | { readonly op: 'stop'; readonly id: number }
  | { readonly op: 'delete'; readonly id: number };

export type UblkHelperReply = { readonly result: unknown } | { readonly error: WireError };

let control: UblkControl | null = null;

function opened(): UblkControl {
  if (control === null) throw new Error('open comes before other commands');
  return control;
}

async function add(request: UblkAddRequest): Promise<UblkAddReply> {
  const { geometry, id, queues, depth, readOnly } = request;
  const maxIoBytes = bufferBytesFor(geometry);
  const added = await opened().add({ id, queues, depth, maxIoBytes });
  try {
    const params = ublkParamsFor(geometry, { bufferBytes: added.maxIoBytes, readOnly });
    await opened().setParams(added.id, params);
    return {
      id: added.id,
      queues: added.queues,
      depth: added.depth,
      bufferBytes: added.maxIoBytes,
      attributes: params.attributes,
      missing: added.missing,
    };
  } catch (error) {
    await opened().delete(added.id);
    throw error;
  }
}

async function execute(request: UblkHelperRequest): Promise<unknown> {
  switch (request.op) {
    case 'open':
      control = await UblkControl.open({ native: loadAddon(), timeoutMs: request.timeoutMs });
      return null;
    case 'add':
      return await add(request.request);
    case 'begin-recovery':
      return await beginRecovery(opened(), request.record, request.geometry, request.readOnly);
    case 'end-recovery':
      return await opened().endRecovery(request.id, request.pid);
    case 'start':
      return await opened().start(request.id, request.pid);
    case 'stop':
      return await opened().stop(request.id);
    case 'delete':
      return await opened().delete(request.id);
  }
}

let queue = Promise.resolve();
process.on('message', (message) => {
  queue = queue.then(async () => {
    let reply: UblkHelperReply;
    try {
      reply = { result: (await execute(message as UblkHelperRequest)) ?? null };
    } catch (error) {
      reply = { error: errorToWire(error) };
    }
    process.send?.(reply);
  });
});
process.on('disconnect', () => {
  void queue.then(() => control?.close());
});
// The server handles the signals of a terminal or a service manager; this process ends its work.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1'] as const)
  process.on(signal, () => {});
