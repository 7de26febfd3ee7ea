/**
 * The data-path thread of a server: reactor, stack and exporter.                    (control plane)
 *
 * Started by stack-host.ts, before it is known what for: loading its modules takes a while. With
 * the options it creates the reactor on this thread, reports the descriptor with which
 * it is woken, and then turns until told to close. Requests of the main thread are taken between
 * batches; their work runs as promises while the reactor turns. When an invariant breaks, the
 * thread reports it and ends: nothing is served with wrong data.
 */

import { once } from 'node:events';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { type Reactor, Timer } from '../block/reactor.ts';
import { statusName } from '../block/status.ts';
import type { MemberCall } from '../control/schema-members.ts';
import { loadAddon } from '../native/load.ts';
import { RingReactor } from '../reactor/ring-reactor.ts';
import { Stack } from './stack.ts';
import { DATA_PATH_THREAD } from './thread-name.ts';
import { errorToWire } from './wire-error.ts';
import type {
  NbdExportOptions,
  UblkExportOptions,
  WorkerOptions,
  WorkerReply,
  WorkerRequest,
} from './worker-messages.ts';

/**
 * Node joins this thread when the process exits, and can end it only while it runs JavaScript: a
 * thread that sleeps in the kernel for ever would keep a failed process alive for ever.
 */
class Heartbeat extends Timer {
  readonly #reactor: Reactor;
  readonly #nowAndThen: () => void;
  #beats = 0;

  constructor(reactor: Reactor, nowAndThen: () => void) {
    super();
    this.#reactor = reactor;
    this.#nowAndThen = nowAndThen;
  }

  expire(): void {
    this.#beats += 1;
    if (this.#beats % BEATS === 0) this.#nowAndThen();
    this.#reactor.schedule(this, HEARTBEAT_US);
  }
}

const HEARTBEAT_US = 1_000_000;
/** Heartbeats between two looks at the sizes of members. */
const BEATS = 10;

async function serve(port: MessagePort): Promise<void> {
  const given = once(parentPort!, 'message');
  parentPort!.postMessage('loaded');
  const [options] = (await given) as [WorkerOptions];
  const post = (reply: WorkerReply): void => port.postMessage(reply);
  let reactor: RingReactor;
  try {
    const native = loadAddon();
    const warnings: string[] = [];
    native.setProcessName(DATA_PATH_THREAD);
    native.setIoFlusher(true);
    if (native.getIoFlusher() !== 1) {
      warnings.push(
        'the data path is not marked as an I/O flusher: under memory pressure it may wait for itself',
      );
    }
    const { arenaBytes, buffer, pollUs, leavesMounts } = options;
    if (leavesMounts) {
      const result = native.privateMounts();
      if (result < 0) {
        warnings.push(`the data path cannot leave the mount namespace: ${statusName(result)}`);
      }
    }
    reactor = RingReactor.create({
      native,
      arenaBytes,
      pollUs,
      hugePages: true,
      ...(buffer === null ? {} : { surviving: buffer }),
    });
    post({ kind: 'ready', wakeFd: reactor.wakeFd, warnings });
  } catch (error) {
    post({ kind: 'fatal', error: errorToWire(error) });
    return;
  }
  const stack = new Stack(reactor, options.plan, (event) => post({ kind: 'event', event }));
  let handedOver = false;
  reactor.attachPort(port, async (message) => {
    const request = message as WorkerRequest;
    try {
      const result = await answer(stack, request);
      post({ kind: 'result', id: request.id, result });
      if (request.method === 'close' || request.method === 'handOver') reactor.stop();
      if (request.method === 'handOver') handedOver = true;
    } catch (error) {
      post({ kind: 'error', id: request.id, error: errorToWire(error) });
    }
  });
  const heartbeat = new Heartbeat(reactor, () => stack.refreshSizes());
  heartbeat.expire();
  try {
    await reactor.run();
    reactor.cancel(heartbeat);
    reactor.detachPort(port);
    // What the driver has not given back by now it never does: it is for the next server.
    await reactor.close(handedOver ? 0 : undefined);
  } catch (error) {
    post({ kind: 'fatal', error: errorToWire(error) });
  }
  port.close();
}

async function answer(stack: Stack, request: WorkerRequest): Promise<unknown> {
  switch (request.method) {
    case 'open':
      return await stack.open();
    case 'exportNbd':
      return await stack.exportNbd(request.params as NbdExportOptions);
    case 'exportUblk':
      return await stack.exportUblk(request.params as UblkExportOptions);
    case 'unexport':
      await stack.unexport(request.params as string);
      return null;
    case 'geometry':
      return stack.geometry;
    case 'status':
      return stack.status();
    case 'close':
      await stack.close();
      return null;
    case 'handOver':
      return await stack.handOver();
    case 'change':
      return await stack.control.change(request.params as MemberCall);
  }
}

await serve(workerData as MessagePort);
