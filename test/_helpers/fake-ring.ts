/**
 * FakeRing: the sockets of a ring without a kernel, for tests with hostile clients.
 *
 * A SimulatedReactor (virtual time, one seed) with accept, receive, send and shutdown between the
 * exporter and FakePeers in the test's hands. Deterministic. It can break every transfer into
 * random pieces, and a peer decides how much it takes, so that every partial receive, short send
 * and full socket happens. File operations are not here: use a RamDevice.
 *
 * It is strict: one receive and one send per socket at a time, no use of closed descriptors, and
 * `leaks()` says what was left behind.
 */

import { Duplex } from 'node:stream';
import { assert } from '../../src/block/assert.ts';
import { Timer } from '../../src/block/reactor.ts';
import { EADDRINUSE, EAGAIN, ECANCELED, ECONNRESET, EPIPE } from '../../src/block/status.ts';
import type { NativeAddon } from '../../src/native/addon.ts';
import type { Ring, RingHandler } from '../../src/reactor/ring.ts';
import {
  SimulatedReactor,
  type SimulatedReactorOptions,
} from '../../src/reactor/simulated-reactor.ts';

export interface FakeRingOptions extends SimulatedReactorOptions {
  /** Break receives and sends into random pieces. */
  readonly fragment?: boolean;
}

type OperationKind = 'accept' | 'receive' | 'send' | 'message' | 'shutdown';

interface Operation {
  readonly kind: OperationKind;
  readonly fd: number;
  readonly at: number;
  readonly bytes: number;
  readonly handlerId: number;
  readonly token: number;
  canceled: boolean;
}

const CAPACITY_DEFAULT = 212_992;

/** A timer that only makes time pass. */
class Mark extends Timer {
  expire(): void {}
}

/** Bytes in the order of arrival. */
class ByteQueue {
  length = 0;
  #parts: Buffer[] = [];

  /** Keeps the bytes themselves: whoever gives them lets them be, as with any stream. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#parts.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    this.length += bytes.length;
  }

  take(bytes: number): Buffer {
    const count = Math.min(bytes, this.length);
    // Nobody else has the part: it can be given away as it is.
    const first = this.#parts[0];
    if (first !== undefined && first.length === count) {
      this.#parts.shift();
      this.length -= count;
      return first;
    }
    const taken = Buffer.allocUnsafe(count);
    this.takeInto(taken, 0, count);
    return taken;
  }

  /** Moves `bytes`, which have to be there, to `at` in `target`. */
  takeInto(target: Uint8Array, at: number, bytes: number): void {
    assert(bytes <= this.length, 'what is taken has arrived');
    this.length -= bytes;
    let filled = 0;
    while (filled < bytes) {
      const part = this.#parts[0]!;
      const count = Math.min(part.length, bytes - filled);
      target.set(count === part.length ? part : part.subarray(0, count), at + filled);
      if (count === part.length) this.#parts.shift();
      else this.#parts[0] = part.subarray(count);
      filled += count;
    }
  }
}

/** The client's end of a fake connection. */
export class FakePeer {
  /** What the server has sent and the test has not taken. */
  readonly received = new ByteQueue();
  /** How many bytes `received` may hold before the server's sends have to wait. */
  capacity = CAPACITY_DEFAULT;
  /** The server has closed or shut down the connection. */
  serverClosed = false;
  onReceive: (() => void) | null = null;
  /** For the ring: bytes on the way to the server. */
  readonly toServer = new ByteQueue();
  ended = false;
  broken = false;
  /** A receive has ended with the error; the next finds the end of the stream, as on Linux. */
  failureTold = false;

  write(bytes: Uint8Array): void {
    this.toServer.push(bytes);
  }

  /** End of stream in the client's direction; it can still read. */
  end(): void {
    this.ended = true;
  }

  /** The connection is gone: the server's operations fail. */
  reset(): void {
    this.broken = true;
  }

  take(bytes: number = this.received.length): Buffer {
    return this.received.take(bytes);
  }

  /** The same end as a stream, for NbdClient. */
  stream(): Duplex {
    const stream = new Duplex({
      read: () => {},
      write: (bytes: Buffer, _encoding, done) => {
        this.write(bytes);
        done();
      },
      final: (done) => {
        this.end();
        done();
      },
      destroy: (_error, done) => {
        this.reset();
        done(null);
      },
    });
    this.onReceive = () => {
      if (this.received.length > 0) stream.push(this.take());
      if (this.serverClosed && !this.broken) stream.destroy();
    };
    return stream;
  }
}

export class FakeRing extends SimulatedReactor implements Ring {
  readonly native: NativeAddon;
  /** The paths and ports that are listened on. */
  readonly listening = new Map<number, string>();
  readonly #fragment: boolean;
  readonly #handlers = new Map<number, RingHandler>();
  readonly #files = new Map<number, number>();
  readonly #peers = new Map<number, FakePeer>();
  /** The ends of pairs that nobody has adopted. */
  readonly #pairs = new Map<number, FakePeer>();
  #waiting: FakePeer[] = [];
  #operations: Operation[] = [];
  #next = 100;
  /** Failure of the next accepts, as -errno. */
  acceptFailures: number[] = [];

  constructor(options: FakeRingOptions = {}) {
    super(options);
    this.#fragment = options.fragment ?? false;
    const calls: Partial<NativeAddon> = {
      socketListenUnix: (path) => this.#listen(path),
      socketListenTcp: (host, port) => this.#listen(`${host}:${port}`),
      socketPort: () => 10_809,
      socketTune: () => 0,
      socketPair: () => this.#pair(),
      socketReceiveNow: (fd, address, bytes) => this.#receiveNow(fd, address, bytes),
      fileClose: (fd) => this.#close(fd),
    };
    this.native = calls as NativeAddon;
  }

  /** A client knocks; it is accepted when the exporter asks. */
  connect(): FakePeer {
    const peer = new FakePeer();
    this.#waiting.push(peer);
    return peer;
  }

  /**
   * Takes one end of a pair of sockets out of the exporter's hands: what it says is at the other
   * end. So a test is the terminator of a client that begins with TLS.
   */
  adopt(fd: number): FakePeer {
    const peer = this.#pairs.get(fd);
    assert(peer !== undefined, 'a socket of a pair is given away once');
    this.#pairs.delete(fd);
    return peer;
  }

  /** The same for an accepted socket. */
  adoptClient(fd: number): FakePeer {
    const peer = this.#peer(fd);
    this.#peers.delete(fd);
    return peer;
  }

  /** Everything that is still held: descriptors, slots, handlers, operations in flight. */
  leaks(): string[] {
    return [
      ...[...this.listening.values()].map((address) => `listener ${address}`),
      ...[...this.#peers.keys()].map((fd) => `socket ${fd}`),
      ...[...this.#pairs.keys()].map((fd) => `end ${fd} of a pair`),
      ...[...this.#files.keys()].map((slot) => `file slot ${slot}`),
      ...[...this.#handlers.keys()].map((id) => `handler ${id}`),
      ...this.#operations.map((operation) => `${operation.kind} in flight`),
    ];
  }

  override get busy(): boolean {
    return super.busy || this.#operations.some((operation) => this.#ready(operation));
  }

  override turn(): number {
    let ran = 0;
    for (const operation of [...this.#operations]) {
      if (!this.#ready(operation)) continue;
      this.#operations.splice(this.#operations.indexOf(operation), 1);
      const result = operation.canceled ? -ECANCELED : this.#carryOut(operation);
      const handler = this.#handlers.get(operation.handlerId);
      assert(handler !== undefined, 'a completion has a registered handler');
      handler.ringComplete(operation.token, result, 0);
      ran += 1;
    }
    return ran + super.turn();
  }

  /** Turns until nothing moves without time passing; true when something did. */
  settle(turnsMax = 100_000): boolean {
    let turns = 0;
    while (this.busy) {
      this.turn();
      turns += 1;
      assert(turns < turnsMax, 'the reactor comes to rest');
    }
    return turns > 0;
  }

  /** Settles, with time passing up to `us` from now. */
  pass(us: number): void {
    const endUs = this.nowUs() + us;
    this.settle();
    this.schedule(new Mark(), us);
    while (this.nowUs() < endUs && this.advance()) this.settle();
  }

  registerHandler(handler: RingHandler): number {
    this.#next += 1;
    this.#handlers.set(this.#next, handler);
    return this.#next;
  }

  unregisterHandler(handlerId: number): void {
    assert(this.#handlers.delete(handlerId), 'a handler is unregistered once');
    assert(
      this.#operations.every((operation) => operation.handlerId !== handlerId),
      'a handler is unregistered when nothing of it is in flight',
    );
  }

  registerFile(fd: number): number {
    this.#next += 1;
    this.#files.set(this.#next, fd);
    return this.#next;
  }

  unregisterFile(slot: number): void {
    const fd = this.#files.get(slot);
    assert(this.#files.delete(slot), 'a file is unregistered once');
    assert(
      this.#operations.every((operation) => operation.fd !== fd),
      'a file is unregistered when nothing of it is in flight',
    );
  }

  accept(slot: number, handlerId: number, token: number): void {
    this.#add('accept', slot, 0, 0, handlerId, token);
  }

  receive(
    slot: number,
    at: number,
    bytes: number,
    _messageFlags: number,
    handlerId: number,
    token: number,
  ): void {
    assert(bytes > 0 && at + bytes <= this.arena.bytes, 'a receive has room');
    this.#add('receive', slot, at, bytes, handlerId, token);
  }

  send(
    slot: number,
    at: number,
    bytes: number,
    _messageFlags: number,
    handlerId: number,
    token: number,
  ): void {
    assert(bytes > 0, 'a send has bytes');
    this.#add('send', slot, at, bytes, handlerId, token);
  }

  sendMessage(
    slot: number,
    messageAt: number,
    _messageFlags: number,
    handlerId: number,
    token: number,
  ): void {
    this.#add('message', slot, messageAt, 0, handlerId, token);
  }

  shutdown(slot: number, _how: number, handlerId: number, token: number): void {
    this.#add('shutdown', slot, 0, 0, handlerId, token);
  }

  cancelRequest(handlerId: number, token: number): void {
    for (const operation of this.#operations) {
      if (operation.handlerId === handlerId && operation.token === token) operation.canceled = true;
    }
  }

  readAt(): void {
    throw new Error('a FakeRing has no files');
  }

  writeAt(): void {
    throw new Error('a FakeRing has no files');
  }

  syncData(): void {
    throw new Error('a FakeRing has no files');
  }

  allocateRange(): void {
    throw new Error('a FakeRing has no files');
  }

  discardRange(): void {
    throw new Error('a FakeRing has no files');
  }

  poll(): void {
    throw new Error('a FakeRing does not poll');
  }

  command(): void {
    throw new Error('a FakeRing has no drivers');
  }

  #listen(address: string): number {
    if ([...this.listening.values()].includes(address)) return -EADDRINUSE;
    this.#next += 1;
    this.listening.set(this.#next, address);
    return this.#next;
  }

  #close(fd: number): number {
    assert(![...this.#files.values()].includes(fd), 'a file leaves the table before it is closed');
    if (this.listening.delete(fd)) return 0;
    const peer = this.#peers.get(fd);
    assert(peer !== undefined, 'an open file is closed, once');
    this.#peers.delete(fd);
    peer.serverClosed = true;
    peer.onReceive?.();
    return 0;
  }

  #receiveNow(fd: number, address: number, bytes: number): number {
    const at = address - this.arena.address;
    assert(bytes > 0 && at >= 0 && at + bytes <= this.arena.bytes, 'a receive has room');
    assert(
      this.#operations.every((operation) => operation.fd !== fd || operation.kind !== 'receive'),
      'nothing is received at once while a receive is in flight',
    );
    const peer = this.#peer(fd);
    const arrived = peer.broken || peer.serverClosed || peer.ended || peer.toServer.length > 0;
    return arrived ? this.#receive(peer, at, bytes) : -EAGAIN;
  }

  #receive(peer: FakePeer, at: number, bytes: number): number {
    if (peer.serverClosed) return 0;
    if (peer.broken) {
      const told = peer.failureTold;
      peer.failureTold = true;
      return told ? 0 : -ECONNRESET;
    }
    const taken = this.#piece(Math.min(bytes, peer.toServer.length));
    peer.toServer.takeInto(this.arena.u8, at, taken);
    return taken;
  }

  #add(
    kind: OperationKind,
    slot: number,
    at: number,
    bytes: number,
    handlerId: number,
    token: number,
  ): void {
    const fd = this.#files.get(slot);
    assert(fd !== undefined, 'an operation names a registered file');
    const sends = kind === 'send' || kind === 'message';
    assert(
      this.#operations.every(
        (other) =>
          other.fd !== fd ||
          !(other.kind === kind || (sends && (other.kind === 'send' || other.kind === 'message'))),
      ),
      'one receive and one send are in flight at most',
    );
    this.#operations.push({ kind, fd, at, bytes, handlerId, token, canceled: false });
  }

  #ready(operation: Operation): boolean {
    if (operation.canceled) return true;
    if (operation.kind === 'accept') {
      return this.#waiting.length > 0 || this.acceptFailures.length > 0;
    }
    const peer = this.#peer(operation.fd);
    if (operation.kind === 'shutdown' || peer.broken || peer.serverClosed) return true;
    if (operation.kind === 'receive') return peer.toServer.length > 0 || peer.ended;
    return peer.received.length < peer.capacity;
  }

  #peer(fd: number): FakePeer {
    const peer = this.#peers.get(fd);
    assert(peer !== undefined, 'an operation names an open socket');
    return peer;
  }

  #carryOut(operation: Operation): number {
    if (operation.kind === 'accept') return this.#accepted();
    const peer = this.#peer(operation.fd);
    if (operation.kind === 'shutdown') {
      peer.serverClosed = true;
      peer.onReceive?.();
      return 0;
    }
    if (operation.kind === 'receive') return this.#receive(peer, operation.at, operation.bytes);
    if (peer.broken || peer.serverClosed) return -EPIPE;
    const parts =
      operation.kind === 'send'
        ? [this.arena.u8.subarray(operation.at, operation.at + operation.bytes)]
        : this.#vectors(operation.at);
    const total = parts.reduce((sum, part) => sum + part.length, 0);
    assert(total > 0, 'a message has bytes');
    const bytes = this.#piece(Math.min(total, peer.capacity - peer.received.length));
    peer.received.push(Buffer.concat(parts, bytes));
    peer.onReceive?.();
    return bytes;
  }

  #pair(): [number, number] {
    const peer = new FakePeer();
    this.#next += 2;
    this.#peers.set(this.#next - 1, peer);
    this.#pairs.set(this.#next, peer);
    return [this.#next - 1, this.#next];
  }

  #accepted(): number {
    const failure = this.acceptFailures.shift();
    if (failure !== undefined) return failure;
    this.#next += 1;
    this.#peers.set(this.#next, this.#waiting.shift()!);
    return this.#next;
  }

  #piece(bytes: number): number {
    return this.#fragment && bytes > 1 ? 1 + (this.random() % bytes) : bytes;
  }

  /** The vectors of a struct msghdr; addresses are positions, because the arena's address is 0. */
  #vectors(messageAt: number): Uint8Array[] {
    const at = Number(this.arena.view.getBigUint64(messageAt + 16, true)) - this.arena.address;
    const count = Number(this.arena.view.getBigUint64(messageAt + 24, true));
    assert(count > 0 && count <= 1024, 'a message has 1 to 1024 vectors');
    return Array.from({ length: count }, (_, index) => {
      const vector = at + 16 * index;
      const from = Number(this.arena.view.getBigUint64(vector, true)) - this.arena.address;
      const bytes = Number(this.arena.view.getBigUint64(vector + 8, true));
      assert(
        from >= 0 && bytes > 0 && from + bytes <= this.arena.bytes,
        'a vector is in the arena',
      );
      return this.arena.u8.subarray(from, from + bytes);
    });
  }
}
