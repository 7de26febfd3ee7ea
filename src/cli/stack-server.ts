/**
 * StackServer: the main thread of a server process.                                 (control plane)
 *
 * Owns the worker with the data path, the control sockets and the exports; turns what the worker
 * reports into log lines. Changes (export, unexport, stop) are done one after another, whoever asks
 * for them: the control socket, a signal, or the start of the process.
 */

import type { Logger } from 'pino';
import { BandstandError } from '../block/errors.ts';
import {
  decodeExportRequest,
  type ExportReply,
  type ExportRequest,
  type Method,
  PROTOCOL_VERSION,
  type StatusDocument,
  unknownParam,
} from '../control/schema.ts';
import { decodeEventsRequest, type EventsReply } from '../control/schema-events.ts';
import type { HandOverReply } from '../control/schema-hand-over.ts';
import { isMemberMethod, type MemberMethod } from '../control/schema-members.ts';
import { decodeUnexportRequest, type UnexportReply } from '../control/schema-unexport.ts';
import { ControlServer } from '../control/server.ts';
import type { NativeAddon } from '../native/addon.ts';
import { stackPaths } from '../stack/directories.ts';
import { presentMembers, rememberMembers, stableDevicePath } from '../stack/remember-members.ts';
import { StackHost } from '../stack/stack-host.ts';
import { type RememberedStack, StateStore } from '../stack/state-store.ts';
import type { StackEvent, StackOpened, WorkerOptions } from '../stack/worker-messages.ts';
import { EventLog, type NewEvent } from './event-log.ts';
import { changeMembers } from './member-requests.ts';
import { paramsError } from './params-error.ts';
import { ServerExports, type ServerExportsObserver } from './server-exports.ts';
import type { ServerParts } from './server-parts.ts';
import { eventOf, plainEvent } from './stack-events.ts';

const STATUS_TIMEOUT_MS = 5000;

export interface StackServerOptions {
  readonly native: NativeAddon;
  readonly logger: Logger;
  readonly runDir: string;
  readonly stateDir: string;
  readonly worker: WorkerOptions;
  readonly parts: ServerParts;
  readonly version: string;
  /** Nobody but the stack's own users waits for this process. */
  readonly isDetached: boolean;
  /** Each line of progress, for STATUS= of the service manager. */
  onProgress(line: string): void;
  /** The data path has ended by itself. */
  onFailure(error: BandstandError): void;
  /** It begins to stop, whoever asked for it. */
  onStopping(): void;
  /** A client asked to stop and has its answer. */
  onStop(): void;
}

export class StackServer {
  readonly #options: StackServerOptions;
  readonly #name: string;
  readonly #startedAt = new Date().toISOString();
  #host: StackHost | null = null;
  #opened: StackOpened | null = null;
  #control: ControlServer | null = null;
  readonly #exports: ServerExports;
  readonly #events: EventLog;
  #remembered: RememberedStack | null;
  #queue: Promise<unknown> = Promise.resolve();
  #stopping = false;
  /** What the start has failed with; undefined while it has not. */
  #startFailure: unknown;

  constructor(options: StackServerOptions) {
    this.#options = options;
    this.#name = options.worker.plan.name;
    this.#events = new EventLog(this.#name);
    this.#remembered = options.worker.plan.remembered;
    const { runDir, logger, parts } = options;
    const observer = this.#told;
    this.#exports = new ServerExports({
      name: this.#name,
      runDir,
      logger,
      observer,
      helper: parts.helper,
    });
  }

  /**
   * Listens on the control sockets, and assembles the stack. Meanwhile status and events are
   * answered; what changes something waits for the end of the start.
   */
  async start(): Promise<StackOpened> {
    const { native, worker, parts, logger } = this.#options;
    const observer = {
      stackEvent: (event: StackEvent) => this.#hear(event),
      stackFailed: (error: BandstandError) => {
        this.#tell(plainEvent('stack-failed', 'error', error.message));
        this.#options.onFailure(error);
      },
    };
    const host = await StackHost.start(native, worker, observer, parts.thread);
    this.#host = host;
    for (const warning of host.warnings) logger.warn(warning);
    try {
      const opening = this.#serialised(() => host.call('open', null));
      // It is looked at below, also where listening fails first.
      opening.catch(() => {});
      await this.#listen();
      const opened = await opening;
      this.#opened = opened;
      this.#tell(plainEvent('stack-started', 'info', `started, ${opened.health}`));
      for (const note of opened.notes) this.#tell(plainEvent('warning', 'warning', note));
      if (opened.remembered !== null) this.#remember(opened.remembered);
      return opened;
    } catch (error) {
      // What failed has closed what it had opened; the thread itself is well.
      this.#startFailure = error;
      this.#host = null;
      await host.close().catch(() => {});
      throw error;
    }
  }

  async #listen(): Promise<void> {
    const { controlSocket, statusSocket } = stackPaths(this.#options.runDir, this.#name);
    const paths = { control: controlSocket, status: statusSocket };
    const control = new ControlServer(paths, (method, params) => this.#handle(method, params));
    await control.start();
    this.#control = control;
  }

  /** Makes the stack a block device or an NBD server, besides what it is already. */
  export(request: ExportRequest): Promise<ExportReply> {
    return this.#serialised(() => this.#addExport(request));
  }

  /** Removes the exports, flushes, closes the members. A second call waits for the first. */
  stop(): Promise<void> {
    this.#stopping = true;
    return this.#serialised(async () => {
      const host = this.#host;
      if (host === null) return;
      this.#options.onStopping();
      await this.#exports.remove(host, null);
      this.#options.onProgress('closing the members');
      this.#host = null;
      await host.close();
      this.#tell(plainEvent('stack-stopped', 'info', 'stopped cleanly'));
    });
  }

  /** Closes the control sockets, after the last answer. */
  async disconnect(): Promise<void> {
    this.#events.close();
    // After a start that has failed it looks as it did before.
    await this.#control?.stop(this.#opened === null);
  }

  async status(): Promise<StatusDocument> {
    const host = this.#host;
    if (host === null) throw this.#stoppingError();
    const part = await withTimeout(host.call('status', null), STATUS_TIMEOUT_MS, this.#name);
    const server = {
      pid: process.pid,
      version: this.#options.version,
      started_at: this.#startedAt,
    };
    return { ...part, server, exports: this.#exports.statuses };
  }

  async #handle(method: Method, params: Readonly<Record<string, unknown>>): Promise<unknown> {
    const unknown = unknownParam(method, params);
    if (unknown !== null) {
      throw paramsError(`do ${method} with ${this.#name}`, `there is no param '${unknown}'`);
    }
    if (method === 'ping') {
      const { version } = this.#options;
      return { pid: process.pid, version, protocol: PROTOCOL_VERSION };
    }
    if (method === 'status') return await this.status();
    if (method === 'events') return await this.#readEvents(params);
    if (this.#stopping && method !== 'stop') throw this.#stoppingError();
    if (method === 'export') {
      const request = decodeExportRequest(params);
      if ('why' in request) throw paramsError(`export ${this.#name}`, request.why);
      return await this.export(request.value);
    }
    if (isMemberMethod(method)) {
      return await this.#serialised(() => this.#changeMembers(method, params));
    }
    if (method === 'unexport') {
      const request = decodeUnexportRequest(params);
      if ('why' in request) throw paramsError(`unexport ${this.#name}`, request.why);
      return await this.#serialised(() => this.#unexport(request.value.address));
    }
    const result = method === 'hand-over' ? await this.handOver() : await this.#stopped();
    // After the answer is on its way.
    setImmediate(() => this.#options.onStop());
    return result;
  }

  async #stopped(): Promise<{ readonly stopped: true }> {
    await this.stop();
    return { stopped: true };
  }

  /**
   * Closes the stack, and leaves the clients of its exports to the server that comes next. Throws
   * what keeps it from that; then it goes on serving.
   */
  handOver(): Promise<HandOverReply> {
    return this.#serialised(async () => {
      const { requests } = this.#exports;
      if (this.#host === null) throw this.#stoppingError();
      if (requests.length === 0) throw this.#refuseHandOver('it is not exported');
      if (!this.#options.isDetached) {
        throw this.#refuseHandOver('its server belongs to the program that has started it');
      }
      this.#options.onProgress('handing over to another server');
      const failed = await this.#host.handOver();
      await this.#exports.handedOver();
      this.#host = null;
      this.#stopping = true;
      this.#tell(plainEvent('handed-over', 'info', 'handed over to another server'));
      return { requests, stack_read_only: this.#options.worker.plan.readOnly, failed };
    });
  }

  #refuseHandOver(why: string): BandstandError {
    return new BandstandError('BANDSTAND_HAND_OVER_REFUSED', {
      message: `cannot replace the server of ${this.#name}: ${why}`,
      hint: `end it and start another: bandstand stop ${this.#name}, then bandstand export ${this.#name}`,
      details: { name: this.#name },
    });
  }

  async #readEvents(params: Readonly<Record<string, unknown>>): Promise<EventsReply> {
    const request = decodeEventsRequest(params);
    if ('value' in request) return await this.#events.read(request.value);
    throw paramsError(`show the events of ${this.#name}`, request.why);
  }

  async #changeMembers(
    method: MemberMethod,
    params: Readonly<Record<string, unknown>>,
  ): Promise<unknown> {
    if (this.#host === null) throw this.#stoppingError();
    const exports = this.#exports.statuses;
    return await changeMembers({ name: this.#name, host: this.#host, exports }, method, params);
  }

  async #addExport(request: ExportRequest): Promise<ExportReply> {
    if (this.#startFailure !== undefined) throw this.#startFailure;
    if (this.#host === null || this.#opened === null) throw this.#stoppingError();
    if (this.#options.worker.plan.readOnly && !request.read_only) throw this.#readOnlyError();
    const reply = await this.#exports.add(this.#host, request);
    return reply.started ? { ...reply, notes: [...reply.notes, ...this.#opened.notes] } : reply;
  }

  /** `address`: see ServerExports.remove. */
  async #unexport(address: string | null): Promise<UnexportReply> {
    if (this.#host === null) throw this.#stoppingError();
    const addresses = await this.#exports.remove(this.#host, address);
    return { removed: addresses.length > 0, addresses };
  }

  readonly #told: ServerExportsObserver = {
    exported: ({ kind, address, read_only }) =>
      this.#tell(
        plainEvent('exported', 'info', `exported as ${address}`, { via: kind, read_only }),
      ),
    removing: (address) => this.#options.onProgress(`removing the export ${address}`),
    removed: (address) =>
      this.#tell(plainEvent('export-removed', 'info', `the export ${address} is removed`)),
    clientRefused: (reason) => this.#hear({ event: 'client-refused', reason }),
    tlsFailed: (listen, reason) => this.#tlsFailed(listen, reason),
  };

  /** Better no export than one that looks as if it worked. */
  #tlsFailed(listen: string, reason: string): void {
    this.#tell({
      ...plainEvent('tls-failed', 'error', 'the thread that speaks TLS has ended'),
      reason,
      action: `export it again: bandstand export ${this.#name}`,
    });
    this.#serialised(() => this.#unexport(listen)).catch((error: unknown) => {
      this.#options.logger.error(error instanceof Error ? error.message : String(error));
    });
  }

  /** For the next export; that this one works does not depend on it. */
  #remember(remembered: RememberedStack): void {
    const { stateDir, logger } = this.#options;
    if (JSON.stringify(remembered) === JSON.stringify(this.#remembered)) return;
    try {
      new StateStore(stateDir).save(remembered);
      this.#remembered = remembered;
    } catch (error) {
      logger.warn(error instanceof Error ? error.message : String(error));
    }
  }

  #serialised<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => {});
    return result;
  }

  #readOnlyError(): BandstandError {
    return new BandstandError('BANDSTAND_STACK_READ_ONLY', {
      message: `cannot export ${this.#name} for writing: it was started with --read-only`,
      hint: `stop it first: bandstand stop ${this.#name}`,
      details: { name: this.#name },
    });
  }

  #stoppingError(): BandstandError {
    return new BandstandError('BANDSTAND_SERVER_FAILED', {
      message: `cannot use ${this.#name}: its server is stopping`,
      hint: 'wait a moment and look again: bandstand status',
      details: { name: this.#name },
    });
  }

  #hear(event: StackEvent): void {
    const { logger, onProgress } = this.#options;
    if (event.event === 'step-started') {
      onProgress(event.step);
      logger.debug({ step: event.step }, event.event);
    } else if (event.event === 'step-ended') {
      const { step, error } = event;
      logger[error === null ? 'info' : 'warn']({ step, error }, event.event);
    } else if (event.event === 'ftl-restored') {
      const { bytesRead, clean, unitsPlayed } = event;
      logger.info({ clean, units_played: unitsPlayed, bytes_read: bytesRead }, event.event);
    } else if (event.event === 'client-refused') {
      logger.warn({ reason: event.reason }, 'a client was turned away');
    } else if (event.event === 'members-changed') {
      const before = this.#remembered;
      if (before !== null) this.#remember(rememberMembers(before, event.status, stableDevicePath));
    } else if (event.event === 'cache-members-changed') {
      const before = this.#remembered;
      const cache = before?.cache ?? null;
      if (before === null || cache === null) return;
      const present = presentMembers(cache, event.status, stableDevicePath);
      this.#remember({ ...before, cache: { ...cache, ...present } });
    } else {
      const before = this.#remembered;
      if (event.event === 'cache-changed' && before !== null) {
        this.#remember({ ...before, cache: event.cache });
      }
      const told = eventOf(event, this.#name);
      if (told !== null) this.#tell(told);
    }
  }

  /** To those who ask for events, and to the log. */
  #tell(event: NewEvent): void {
    this.#events.add(event);
    const { kind, severity, message, details, ...fields } = event;
    const level = ({ info: 'info', warning: 'warn', error: 'error' } as const)[severity];
    this.#options.logger[level]({ kind, ...fields, ...details }, message);
  }
}

function withTimeout<T>(work: Promise<T>, timeoutMs: number, name: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(
        new BandstandError('BANDSTAND_SERVER_TIMEOUT', {
          message: `cannot read the status of ${name}: its data path did not answer within ${timeoutMs} ms`,
          hint: 'look at the log of the server and at the kernel log (dmesg)',
          details: { name, timeout_ms: timeoutMs },
        }),
      );
    }, timeoutMs);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
