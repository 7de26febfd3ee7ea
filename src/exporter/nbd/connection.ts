/**
 * NbdConnection: one client, from accept to close.                                    (data plane)
 *
 * A slot that is used again and again: its memory (receive window, requests, buffers) is reserved
 * when the slot is made, and belongs to nobody else, so a client can only exhaust its own share.
 * At most one receive and one send are in flight. States:
 *
 *   handshake → transmission → finishing → closed        a proper end: DISC, end of stream, stop()
 *        └──────────┴────────────┴─────→ cut → closed    broken input, lost socket, time limit
 *
 * A client that is told to begin with TLS changes hands: its socket goes to the terminator, and the
 * connection goes on, amid the handshake, over a pair of sockets whose other end the terminator
 * has. Nothing else here knows of it, and a client without TLS costs what it has always cost
 * (docs/decisions/0028). The handshake sends or receives, never both: so nothing is received while
 * the socket changes hands, and what came before TLS is never taken for something that came in it.
 *
 * Finishing takes nothing more, waits for what is in flight and answers it, for a limited time.
 * Cutting answers nothing; it shuts the socket down, which ends the receive and the send. Either
 * way the slot is closed only when the device has given every buffer back and the kernel has
 * completed every operation on the socket.
 */

import type { BlockDevice } from '../../block/block-device.ts';
import { Timer, TurnHook } from '../../block/reactor.ts';
import { EAGAIN, EINTR, statusText } from '../../block/status.ts';
import type { Ring, RingHandler } from '../../reactor/ring.ts';
import type { NbdExportInfo } from './export-info.ts';
import { NEGOTIATION_OUTPUT_BYTES_MAX, Negotiation } from './negotiation.ts';
import type { NbdOperations } from './operations.ts';
import { ReceiveWindow } from './receive-window.ts';
import { RequestRules } from './request-rules.ts';
import type { TlsHandover } from './tls-handover.ts';
import { Transmission, type TransmissionOwner } from './transmission.ts';

const STATE_CLOSED = 0;
const STATE_HANDSHAKE = 1;
const STATE_TRANSMISSION = 2;
const STATE_FINISHING = 3;
const STATE_CUT = 4;

const TOKEN_RECEIVE = 1;
const TOKEN_SEND = 2;
const TOKEN_SHUTDOWN = 3;

const SHUTDOWN_BOTH = 2;
/** A payload is waited for in the kernel until it is complete, not piece by piece. */
const MSG_WAITALL = 0x100;
/**
 * Headers and payloads that are fetched behind a payload in one turn. Two of each are what a Unix
 * socket holds of 128 KiB writes while its client refills it; more keeps other connections waiting
 * and is not faster (bench/nbd.js).
 */
const FETCHES_MAX = 4;

/** What every connection of an exporter shares. */
export interface ConnectionContext {
  readonly ring: Ring;
  readonly device: BlockDevice;
  readonly operations: NbdOperations;
  readonly info: NbdExportInfo;
  /** Who speaks TLS with clients, which then have to; null: there is none. */
  readonly tls: TlsHandover | null;
  readonly requestsMax: number;
  readonly segmentBlocks: number;
  readonly windowBytes: number;
  readonly handshakeTimeoutUs: number;
  readonly finishTimeoutUs: number;
  /** Closes a socket that the ring no longer uses. */
  closeSocket(fd: number): void;
  /** The slot is free. `reason`: why the client was cut off, null after a proper end. */
  connectionClosed(connection: NbdConnection, reason: string | null): void;
}

class Deadline extends Timer {
  readonly #connection: NbdConnection;

  constructor(connection: NbdConnection) {
    super();
    this.#connection = connection;
  }

  expire(): void {
    this.#connection.deadlineExpired();
  }
}

export class NbdConnection extends TurnHook implements RingHandler, TransmissionOwner {
  readonly #context: ConnectionContext;
  readonly #ring: Ring;
  readonly #window: ReceiveWindow;
  readonly #transmission: Transmission;
  readonly #deadline: Deadline;
  readonly #handlerId: number;
  /** Answers of the handshake are sent from here. */
  readonly #answerAt: number;
  #answerFrom = 0;
  #answerLeft = 0;
  #state = STATE_CLOSED;
  #fd = -1;
  /** By which the terminator knows the client; -1 when it does not. */
  #tlsClient = -1;
  #slot = -1;
  #receiving = false;
  /** A send of the handshake is in flight (the transmission keeps its own count). */
  #answering = false;
  #shuttingDown = false;
  #negotiation: Negotiation | null = null;
  #reason: string | null = null;

  /** Throws BANDSTAND_ARENA_FULL; then nothing is reserved. */
  constructor(context: ConnectionContext) {
    super();
    this.#context = context;
    this.#ring = context.ring;
    const { arena } = context.ring;
    this.#window = new ReceiveWindow(arena, context.windowBytes);
    try {
      this.#answerAt = arena.allocate(NEGOTIATION_OUTPUT_BYTES_MAX);
    } catch (error) {
      this.#window.dispose();
      throw error;
    }
    try {
      this.#transmission = this.#makeTransmission();
    } catch (error) {
      arena.release(this.#answerAt, NEGOTIATION_OUTPUT_BYTES_MAX);
      this.#window.dispose();
      throw error;
    }
    this.#deadline = new Deadline(this);
    this.#handlerId = context.ring.registerHandler(this);
  }

  #makeTransmission(): Transmission {
    const { ring, device, operations, info, requestsMax, segmentBlocks } = this.#context;
    const { blockBytes } = device.geometry;
    const rules = new RequestRules(
      device,
      info.transmissionFlags,
      operations.zeroNative,
      segmentBlocks * blockBytes - blockBytes,
    );
    return new Transmission(
      ring,
      this.#window,
      operations,
      rules,
      this,
      requestsMax,
      segmentBlocks,
    );
  }

  get closed(): boolean {
    return this.#state === STATE_CLOSED;
  }

  /** Serves the client on `fd`, which belongs to the connection from now on. */
  open(fd: number): void {
    this.#fd = fd;
    this.#slot = this.#ring.registerFile(fd, true);
    this.#window.clear();
    this.#transmission.restart();
    this.#reason = null;
    this.#negotiation = new Negotiation(this.#context.info, this.#context.tls !== null);
    this.#state = STATE_HANDSHAKE;
    this.#ring.schedule(this.#deadline, this.#context.handshakeTimeoutUs);
    this.#answer();
  }

  /** Answers what is in flight, then closes. */
  finish(): void {
    if (this.#state === STATE_HANDSHAKE) {
      this.cut('the export is being stopped');
      return;
    }
    if (this.#state !== STATE_TRANSMISSION) return;
    this.#state = STATE_FINISHING;
    this.#transmission.stop();
    if (this.#receiving) this.#ring.cancelRequest(this.#handlerId, TOKEN_RECEIVE);
    this.#ring.schedule(this.#deadline, this.#context.finishTimeoutUs);
    this.#ring.atTurnEnd(this);
  }

  /** Ends the connection without another byte. */
  cut(reason: string | null): void {
    if (this.#state === STATE_CUT || this.#state === STATE_CLOSED) return;
    this.#state = STATE_CUT;
    this.#reason = reason;
    this.#ring.cancel(this.#deadline);
    this.#transmission.abort();
    this.#shuttingDown = true;
    this.#ring.shutdown(this.#slot, SHUTDOWN_BOTH, this.#handlerId, TOKEN_SHUTDOWN);
    this.#ring.atTurnEnd(this);
  }

  /** Gives the memory back; the slot has to be closed. */
  dispose(): void {
    this.#ring.unregisterHandler(this.#handlerId);
    this.#transmission.dispose();
    this.#ring.arena.release(this.#answerAt, NEGOTIATION_OUTPUT_BYTES_MAX);
    this.#window.dispose();
  }

  deadlineExpired(): void {
    this.cut(
      this.#state === STATE_HANDSHAKE
        ? 'the handshake took too long'
        : 'the client did not take its last replies in time',
    );
  }

  // --- handshake ---------------------------------------------------------------------------------

  /** Sends what the negotiation has to say, if it has something. */
  #answer(): void {
    const output = this.#negotiation!.takeOutput();
    if (output.length === 0) return;
    this.#ring.arena.u8.set(output, this.#answerAt);
    this.#answerFrom = this.#answerAt;
    this.#answerLeft = output.length;
    this.#sendAnswer();
  }

  #sendAnswer(): void {
    this.#answering = true;
    this.#ring.send(this.#slot, this.#answerFrom, this.#answerLeft, 0, this.#handlerId, TOKEN_SEND);
  }

  #answerSent(bytes: number): void {
    this.#answering = false;
    this.#answerFrom += bytes;
    this.#answerLeft -= bytes;
    if (this.#answerLeft > 0) this.#sendAnswer();
    else this.#negotiate();
  }

  /** Takes options until one is answered, the input ends, or the handshake is over. */
  #negotiate(): void {
    const negotiation = this.#negotiation!;
    const window = this.#window;
    while (!this.#answering) {
      if (negotiation.state === 'closed') {
        this.cut(negotiation.failure);
        return;
      }
      if (negotiation.state === 'transmission') {
        this.#enterTransmission(negotiation);
        return;
      }
      if (negotiation.state === 'starttls') {
        this.#changeHands(negotiation);
        return;
      }
      const input = this.#ring.arena.u8.subarray(window.head, window.tail);
      const consumed = negotiation.consume(input);
      if (consumed === 0) break;
      window.head += consumed;
      this.#answer();
    }
    if (!this.#answering) this.#receive();
  }

  /** The client's socket goes to the terminator; from now on this one talks with that. */
  #changeHands(negotiation: Negotiation): void {
    if (this.#window.available > 0) {
      this.cut('the client did not wait for the answer to STARTTLS');
      return;
    }
    const { native } = this.#ring;
    let pair: [number, number];
    try {
      pair = native.socketPair();
    } catch (error) {
      this.cut(`cannot make a pair of sockets: ${(error as Error).message}`);
      return;
    }
    const [own, others] = pair;
    // Replies and requests come in batches: both ends get room for one.
    native.socketTune(own);
    native.socketTune(others);
    this.#ring.unregisterFile(this.#slot);
    this.#tlsClient = this.#context.tls!.secure(this.#fd, others);
    this.#fd = own;
    this.#slot = this.#ring.registerFile(own, true);
    negotiation.secured();
    this.#receive();
  }

  #enterTransmission(negotiation: Negotiation): void {
    const rules = this.#transmission.rules;
    rules.structuredReplies = negotiation.structuredReplies;
    rules.allocationContext = negotiation.allocationContext;
    rules.blockSizesKnown = negotiation.blockSizesKnown;
    this.#negotiation = null;
    this.#ring.cancel(this.#deadline);
    this.#state = STATE_TRANSMISSION;
    this.#transmission.takeRequests();
    this.#ring.atTurnEnd(this);
  }

  // --- transmission ------------------------------------------------------------------------------
  // data path

  ringComplete(token: number, result: number, _flags: number): void {
    if (token === TOKEN_RECEIVE) this.#received(result);
    else if (token === TOKEN_SEND) this.#sent(result);
    else this.#shuttingDown = false;
    if (this.#state !== STATE_HANDSHAKE && this.#state !== STATE_CLOSED) {
      this.#ring.atTurnEnd(this);
    }
  }

  transmissionChanged(): void {
    this.#ring.atTurnEnd(this);
  }

  transmissionFailed(reason: string): void {
    this.cut(reason);
  }

  /** Once per turn: takes what there is room for again, sends what waits, asks for more. */
  endOfTurn(): void {
    const transmission = this.#transmission;
    if (this.#state === STATE_TRANSMISSION || this.#state === STATE_FINISHING) {
      if (transmission.starved) transmission.takeRequests();
    }
    if (this.#state === STATE_TRANSMISSION && transmission.disconnected) this.finish();
    if (this.#state === STATE_TRANSMISSION || this.#state === STATE_FINISHING) {
      transmission.sender.flush(this.#slot, this.#handlerId, TOKEN_SEND);
    }
    if (this.#state === STATE_TRANSMISSION) this.#receive();
    else if (this.#state !== STATE_CLOSED) this.#closeIfDone();
  }

  #receive(): void {
    if (this.#receiving) return;
    let at: number;
    let bytes: number;
    let flags = 0;
    if (this.#state === STATE_TRANSMISSION) {
      bytes = this.#transmission.receiveBytes();
      at = this.#transmission.receiveAt;
      if (this.#transmission.receivesInPlace) flags = MSG_WAITALL;
    } else {
      bytes = this.#window.makeRoom();
      at = this.#window.tail;
    }
    if (bytes === 0) return;
    this.#receiving = true;
    this.#ring.receive(this.#slot, at, bytes, flags, this.#handlerId, TOKEN_RECEIVE);
  }

  #received(result: number): void {
    this.#receiving = false;
    if (this.#state === STATE_CUT || this.#state === STATE_FINISHING) return;
    if (result <= 0) {
      this.#inputEnded(result);
    } else if (this.#state === STATE_TRANSMISSION) {
      const inPlace = this.#transmission.receivesInPlace;
      this.#transmission.received(result);
      if (inPlace) this.#fetch();
      this.#transmission.beginFilled();
      if (this.#state === STATE_TRANSMISSION) this.#receive();
    } else {
      this.#window.tail += result;
      if (!this.#answering) this.#negotiate();
    }
  }

  /**
   * Takes out of the socket what has arrived behind a payload, before the device gets the payload:
   * a client that waits for room in its socket is woken now, and fills it while the device works.
   * That saves a turn for each piece, and most of the times that both sides wait for each other.
   */
  #fetch(): void {
    const transmission = this.#transmission;
    const { arena, native } = this.#ring;
    for (let count = 0; count < FETCHES_MAX; count += 1) {
      if (this.#state !== STATE_TRANSMISSION) return;
      const bytes = transmission.receiveBytes();
      if (bytes === 0) return;
      const address = arena.address + transmission.receiveAt;
      const result = native.socketReceiveNow(this.#fd, address, bytes);
      // The end of the stream is told again; an error only once.
      if (result < 0 && result !== -EAGAIN && result !== -EINTR) this.#inputEnded(result);
      if (result <= 0) return;
      transmission.received(result);
      if (result < bytes) return;
    }
  }

  /** The client has closed its side, or the socket is broken. */
  #inputEnded(result: number): void {
    if (result < 0) this.cut(`cannot receive: ${statusText(result)}`);
    else if (this.#state === STATE_HANDSHAKE) this.cut('the client left during the handshake');
    else this.finish();
  }

  #sent(result: number): void {
    const answering = this.#answering;
    if (this.#state === STATE_CUT) {
      this.#answering = false;
      if (!answering) this.#transmission.sender.sendFailed();
      return;
    }
    if (result <= 0) {
      this.#answering = false;
      if (!answering) this.#transmission.sender.sendFailed();
      // A client that says ABORT need not stay for the answer.
      const farewell = this.#negotiation?.state === 'closed' && this.#negotiation.failure === null;
      this.cut(farewell ? null : `cannot send: ${statusText(result)}`);
    } else if (answering) {
      this.#answerSent(result);
    } else {
      this.#transmission.sender.sent(result, this.#slot, this.#handlerId, TOKEN_SEND);
    }
  }

  // end data path

  #closeIfDone(): void {
    if (this.#receiving || this.#answering || this.#shuttingDown) return;
    if (!this.#transmission.idle) return;
    this.#state = STATE_CLOSED;
    this.#ring.cancel(this.#deadline);
    this.#ring.unregisterFile(this.#slot);
    this.#context.closeSocket(this.#fd);
    if (this.#tlsClient !== -1) this.#context.tls!.left(this.#tlsClient);
    this.#tlsClient = -1;
    this.#slot = -1;
    this.#fd = -1;
    this.#negotiation = null;
    this.#context.connectionClosed(this, this.#reason);
  }
}
