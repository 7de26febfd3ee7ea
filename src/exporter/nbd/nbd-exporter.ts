/**
 * NbdExporter: serves a block device to NBD clients.                                  (both planes)
 *
 * Sockets live on the reactor's ring next to the device's own operations: one accept is always in
 * flight, each client has a connection slot with memory of its own, and the number of slots is
 * limited. A client beyond the limit, or one for whom there is no memory, is closed at once.
 *
 * Not here: the protocol (negotiation.ts, transmission.ts), sockets and paths (address.ts).
 */

import { assert } from '../../block/assert.ts';
import type { BlockDevice } from '../../block/block-device.ts';
import { FEATURE_WRITE_ZEROES } from '../../block/block-device.ts';
import { BandstandError } from '../../block/errors.ts';
import { Timer } from '../../block/reactor.ts';
import { ECANCELED, statusText } from '../../block/status.ts';
import type { Ring, RingHandler } from '../../reactor/ring.ts';
import type { ExportDescription, Exporter } from '../exporter.ts';
import {
  checkAddress,
  type Listener,
  listen,
  type NbdAddress,
  nbdUri,
  type SocketCalls,
} from './address.ts';
import { type ConnectionContext, NbdConnection } from './connection.ts';
import { exportInfo } from './export-info.ts';
import {
  CONNECTIONS_MAX,
  FINISH_TIMEOUT_MS,
  HANDSHAKE_TIMEOUT_MS,
  REQUESTS_MAX,
} from './limits.ts';
import { NbdOperations } from './operations.ts';
import { STRING_BYTES_MAX, TRANSMIT_READ_ONLY } from './protocol.ts';
import type { TlsHandover } from './tls-handover.ts';

const SEGMENT_BYTES = 131_072;
const WINDOW_BYTES = 131_072;
/** How long to wait after an accept that failed (out of descriptors) before the next. */
const ACCEPT_RETRY_US = 100_000;

const TOKEN_ACCEPT = 1;

export interface NbdObserver {
  connectionOpened(open: number): void;
  /** `reason`: why the client was cut off; null after a proper end. */
  connectionClosed(open: number, reason: string | null): void;
  connectionRefused(reason: string): void;
}

export interface NbdExporterOptions {
  /** The export name that clients ask for; the empty name finds it too. */
  readonly name: string;
  readonly description?: string;
  readonly address: NbdAddress;
  readonly readOnly?: boolean;
  /** Speaks TLS with clients, which then have to; none by default. */
  readonly tls?: TlsHandover | null;
  /** Allows a TCP address that is not loopback without TLS. */
  readonly insecure?: boolean;
  readonly maxConnections?: number;
  /** Requests in flight per connection. */
  readonly maxRequests?: number;
  readonly handshakeTimeoutMs?: number;
  /** How long a client may take to read its last replies. */
  readonly finishTimeoutMs?: number;
  readonly observer?: NbdObserver;
}

export interface NbdStatistics {
  readonly connections_open: number;
  readonly connections_total: number;
  readonly connections_refused: number;
  /** Clients that were cut off: broken input, lost sockets, time limits. */
  readonly connections_cut: number;
}

class AcceptRetry extends Timer {
  readonly #exporter: NbdExporter;

  constructor(exporter: NbdExporter) {
    super();
    this.#exporter = exporter;
  }

  expire(): void {
    this.#exporter.acceptNext();
  }
}

/** What exists from start to stop. */
interface Session {
  readonly ring: Ring;
  readonly sockets: SocketCalls;
  readonly listener: Listener;
  readonly listenerSlot: number;
  readonly handlerId: number;
  readonly context: ConnectionContext;
  readonly zeroBuffer: number;
  readonly zeroBytes: number;
  readonly readOnly: boolean;
}

export class NbdExporter implements Exporter, RingHandler {
  readonly #options: NbdExporterOptions;
  #started = false;
  #session: Session | null = null;
  #address: NbdAddress;
  #connections: NbdConnection[] = [];
  #idle: NbdConnection[] = [];
  #accepting = false;
  #stopping: Promise<void> | null = null;
  #drained: (() => void) | null = null;
  readonly #retry = new AcceptRetry(this);
  #total = 0;
  #refused = 0;
  #cut = 0;

  /** Throws BandstandError for a name or an address that cannot be served. */
  constructor(options: NbdExporterOptions) {
    this.#options = options;
    this.#address = options.address;
    checkText('name', options.name);
    checkText('description', options.description ?? '');
    checkAddress(options.address, (options.tls ?? null) !== null || (options.insecure ?? false));
  }

  get statistics(): NbdStatistics {
    return {
      connections_open: this.#open,
      connections_total: this.#total,
      connections_refused: this.#refused,
      connections_cut: this.#cut,
    };
  }

  get #open(): number {
    return this.#connections.length - this.#idle.length;
  }

  describe(): ExportDescription {
    return {
      kind: 'nbd',
      address: nbdUri(this.#address, this.#options.name, (this.#options.tls ?? null) !== null),
      read_only: this.#session?.readOnly ?? this.#options.readOnly ?? false,
    };
  }

  async start(ring: Ring, device: BlockDevice): Promise<void> {
    assert(!this.#started, 'an exporter is started once');
    this.#started = true;
    const { geometry } = device;
    const readOnly = this.#options.readOnly ?? false;
    const info = exportInfo(
      geometry,
      this.#options.name,
      this.#options.description ?? '',
      readOnly,
    );
    const writable = (info.transmissionFlags & TRANSMIT_READ_ONLY) === 0;
    if (writable && geometry.writeUnitBlocks > 1) throw writeUnitError(device);
    const segmentBlocks = Math.max(
      1,
      Math.min(geometry.requestBlocksMax, Math.floor(SEGMENT_BYTES / geometry.blockBytes)),
    );
    const zeroNative = !writable || (geometry.features & FEATURE_WRITE_ZEROES) !== 0;
    const zeroBytes = zeroNative ? 0 : segmentBlocks * geometry.blockBytes;
    const sockets = ring.native;
    const zeroBuffer = zeroBytes === 0 ? 0 : ring.arena.allocate(zeroBytes);
    if (zeroBytes > 0) ring.kernels.zero(zeroBuffer, zeroBytes);
    const operations = new NbdOperations(
      device,
      ring.kernels,
      zeroBuffer,
      zeroBytes / geometry.blockBytes,
    );
    const context: ConnectionContext = {
      ring,
      device,
      operations,
      info,
      tls: this.#options.tls ?? null,
      requestsMax: this.#options.maxRequests ?? REQUESTS_MAX,
      segmentBlocks,
      windowBytes: WINDOW_BYTES,
      handshakeTimeoutUs: 1000 * (this.#options.handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS),
      finishTimeoutUs: 1000 * (this.#options.finishTimeoutMs ?? FINISH_TIMEOUT_MS),
      closeSocket: (fd) => {
        sockets.fileClose(fd);
      },
      connectionClosed: (connection, reason) => this.#connectionClosed(connection, reason),
    };
    try {
      // The first slot is made here, so that an export without memory for any client fails early.
      this.#addSlot(context);
      const listener = await listen(sockets, this.#options.address);
      this.#address = listener.address;
      this.#session = {
        ring,
        sockets,
        listener,
        listenerSlot: ring.registerFile(listener.fd, true),
        handlerId: ring.registerHandler(this),
        context,
        zeroBuffer,
        zeroBytes,
        readOnly: !writable,
      };
    } catch (error) {
      this.#disposeSlots();
      if (zeroBytes > 0) ring.arena.release(zeroBuffer, zeroBytes);
      throw error;
    }
    this.acceptNext();
  }

  async stop(): Promise<void> {
    if (this.#session === null && this.#stopping === null) return;
    this.#stopping ??= this.#stop(this.#session!);
    await this.#stopping;
  }

  /** Clients connect again, and find the same export. */
  handOver(): Promise<void> {
    return this.stop();
  }

  async #stop(session: Session): Promise<void> {
    session.listener.unlink();
    session.ring.cancel(this.#retry);
    if (this.#accepting) session.ring.cancelRequest(session.handlerId, TOKEN_ACCEPT);
    for (const connection of this.#connections) connection.finish();
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
      this.#checkDrained();
    });
    session.ring.unregisterFile(session.listenerSlot);
    session.sockets.fileClose(session.listener.fd);
    session.ring.unregisterHandler(session.handlerId);
    this.#disposeSlots();
    if (session.zeroBytes > 0) session.ring.arena.release(session.zeroBuffer, session.zeroBytes);
    this.#options.tls?.end();
    this.#session = null;
  }

  #disposeSlots(): void {
    for (const connection of this.#connections) connection.dispose();
    this.#connections = [];
    this.#idle = [];
  }

  #addSlot(context: ConnectionContext): void {
    const connection = new NbdConnection(context);
    this.#connections.push(connection);
    this.#idle.push(connection);
  }

  #checkDrained(): void {
    if (this.#drained !== null && !this.#accepting && this.#open === 0) this.#drained();
  }

  /** Asks for the next client; the reactor's. */
  acceptNext(): void {
    const session = this.#session;
    if (session === null || this.#accepting || this.#stopping !== null) return;
    this.#accepting = true;
    session.ring.accept(session.listenerSlot, session.handlerId, TOKEN_ACCEPT);
  }

  /** An accept has ended. */
  ringComplete(_token: number, result: number, _flags: number): void {
    this.#accepting = false;
    const session = this.#session!;
    if (this.#stopping !== null) {
      if (result >= 0) session.sockets.fileClose(result);
      this.#checkDrained();
      return;
    }
    if (result >= 0) {
      this.#admit(session, result);
      this.acceptNext();
      return;
    }
    if (result !== -ECANCELED) this.#refuse(`cannot accept: ${statusText(result)}`);
    session.ring.schedule(this.#retry, ACCEPT_RETRY_US);
  }

  #admit(session: Session, fd: number): void {
    const refusal = this.#refusal(session);
    if (refusal !== null) {
      session.sockets.fileClose(fd);
      this.#refuse(refusal);
      return;
    }
    // A socket that cannot be tuned is slower, not wrong.
    session.sockets.socketTune(fd);
    this.#total += 1;
    const connection = this.#idle.pop()!;
    connection.open(fd);
    this.#options.observer?.connectionOpened(this.#open);
  }

  /** Makes sure that there is a free slot; otherwise says why there is none. */
  #refusal(session: Session): string | null {
    if (this.#idle.length > 0) return null;
    const limit = this.#options.maxConnections ?? CONNECTIONS_MAX;
    if (this.#connections.length >= limit) return `there are ${limit} connections already`;
    try {
      this.#addSlot(session.context);
      return null;
    } catch (error) {
      if (error instanceof BandstandError) return error.message;
      throw error;
    }
  }

  #refuse(reason: string): void {
    this.#refused += 1;
    this.#options.observer?.connectionRefused(reason);
  }

  #connectionClosed(connection: NbdConnection, reason: string | null): void {
    this.#idle.push(connection);
    if (reason !== null) this.#cut += 1;
    this.#options.observer?.connectionClosed(this.#open, reason);
    this.#checkDrained();
  }
}

function checkText(what: string, text: string): void {
  const bytes = Buffer.byteLength(text);
  if (bytes <= STRING_BYTES_MAX && !text.includes('\0')) return;
  throw new BandstandError('BANDSTAND_EXPORT_NAME_INVALID', {
    message: `cannot export under this ${what}: it has ${bytes} bytes, or contains a NUL byte`,
    hint: `use at most ${STRING_BYTES_MAX} bytes of UTF-8 text`,
    details: { what, bytes },
  });
}

function writeUnitError(device: BlockDevice): BandstandError {
  const { writeUnitBlocks, blockBytes } = device.geometry;
  return new BandstandError('BANDSTAND_STACK_READ_ONLY', {
    message: `cannot export ${device.name} for writing: it takes only whole stripes of ${writeUnitBlocks * blockBytes} bytes, and clients write single blocks`,
    hint: 'export it read-only',
    details: { device: device.name, write_unit_blocks: writeUnitBlocks },
  });
}
