/**
 * TlsTerminator: speaks TLS with clients, and plain bytes with the data path.       (control plane)
 *
 * Each client is a pair of sockets: the client's own, on which Node's TLS runs, and one end of a
 * pair whose other end the data path has. What is decrypted goes from one to the other and back,
 * and neither is read faster than the other takes it, so a client that takes nothing holds what two
 * sockets hold. It runs on a thread of its own (tls-worker.ts), or in a test's.
 *
 * Limits: a handshake has the time of the whole NBD handshake, also where its client has closed its
 * side before it was done, which Node does not tell; a client has a while to take what
 * is left for it when the data path has closed its end; and there is a number of clients, the
 * leaving ones included, beyond which new ones are turned away.
 *
 * Not here: what the bytes mean.
 */

import { Socket } from 'node:net';
import { createServer, type TLSSocket, type TlsOptions } from 'node:tls';
import { serverOptions, type TlsSettings } from './tls-settings.ts';

export interface TlsLimits {
  readonly handshakeTimeoutMs: number;
  /** How long a client may take to read what is left for it. */
  readonly finishTimeoutMs: number;
  readonly clientsMax: number;
}

export interface TlsObserver {
  /** Why a client was turned away, for people. */
  clientRefused(reason: string): void;
}

export class TlsTerminator {
  readonly #options: TlsOptions;
  readonly #limits: TlsLimits;
  readonly #observer: TlsObserver;
  readonly #clients = new Map<number, TlsClient>();
  /** Resolves when nobody is left after `end`. */
  readonly ended: Promise<void>;
  #ending = false;
  #allGone: () => void = () => {};

  constructor(settings: TlsSettings, limits: TlsLimits, observer: TlsObserver) {
    this.#limits = limits;
    this.#observer = observer;
    this.#options = {
      ...serverOptions(settings),
      handshakeTimeout: limits.handshakeTimeoutMs,
    };
    this.ended = new Promise((resolve) => {
      this.#allGone = resolve;
    });
  }

  get clients(): number {
    return this.#clients.size;
  }

  /** `number`: by which it is known, and no other ever was; the rest as in TlsHandover. */
  admit(number: number, clientFd: number, plainFd: number): void {
    // A client may say goodbye, close its side, and wait for its last replies.
    const client = new Socket({ fd: clientFd, allowHalfOpen: true });
    const plain = new Socket({ fd: plainFd, allowHalfOpen: true });
    if (this.#clients.size >= this.#limits.clientsMax) {
      client.destroy();
      plain.destroy();
      this.#observer.clientRefused(`${this.#clients.size} clients speak TLS already`);
      return;
    }
    const entry = new TlsClient(client, plain, this.#limits.finishTimeoutMs, {
      refused: (reason) => this.#observer.clientRefused(reason),
      gone: () => this.#gone(number),
    });
    this.#clients.set(number, entry);
    entry.begin(this.#options);
  }

  /** The data path has closed its end of the client's pair. */
  left(number: number): void {
    this.#clients.get(number)?.left();
  }

  /** No more will come; the data path has left all of them. */
  end(): void {
    this.#ending = true;
    if (this.#clients.size === 0) this.#allGone();
  }

  #gone(number: number): void {
    this.#clients.delete(number);
    if (this.#ending && this.#clients.size === 0) this.#allGone();
  }
}

interface TlsClientOwner {
  refused(reason: string): void;
  /** Both sockets are closed; told once. */
  gone(): void;
}

class TlsClient {
  readonly #client: Socket;
  readonly #plain: Socket;
  readonly #finishTimeoutMs: number;
  readonly #owner: TlsClientOwner;
  #secure: TLSSocket | null = null;
  #leaving: NodeJS.Timeout | null = null;
  #gone = false;

  constructor(client: Socket, plain: Socket, finishTimeoutMs: number, owner: TlsClientOwner) {
    this.#client = client;
    this.#plain = plain;
    this.#finishTimeoutMs = finishTimeoutMs;
    this.#owner = owner;
    // Whatever happens to a socket ends in its close, which is where it is handled.
    client.on('error', () => {});
    plain.on('error', () => {});
  }

  /**
   * A TLS server of its own for each client: only so does Node say which client it was that has
   * got through, or failed, without its internals. It costs some milliseconds of this thread, and
   * no client can make use of what another one has negotiated.
   */
  begin(options: TlsOptions): void {
    const server = createServer(options);
    server.on('secureConnection', (secure) => this.#established(secure));
    server.on('tlsClientError', (error, socket) => {
      this.#owner.refused(`TLS with a client failed: ${reasonOf(error, socket)}`);
      this.#drop();
    });
    this.#client.once('close', () => this.#drop());
    server.emit('connection', this.#client);
  }

  /** The data path has said its last word, which the client has a while to hear. */
  left(): void {
    if (this.#gone || this.#leaving !== null) return;
    if (this.#secure === null) this.#drop();
    else this.#leaving = setTimeout(() => this.#drop(), this.#finishTimeoutMs);
  }

  #established(secure: TLSSocket): void {
    this.#secure = secure;
    const plain = this.#plain;
    secure.on('error', () => {});
    secure.once('close', () => this.#drop());
    // Also where the data path has cut the pair, so that there was no end.
    plain.once('close', () => secure.end());
    secure.pipe(plain);
    plain.pipe(secure);
  }

  #drop(): void {
    if (this.#gone) return;
    this.#gone = true;
    if (this.#leaving !== null) clearTimeout(this.#leaving);
    this.#secure?.destroy();
    this.#client.destroy();
    this.#plain.destroy();
    this.#owner.gone();
  }
}

/** A certificate that is not accepted shows as a lost socket; what was wrong is with the socket. */
function reasonOf(error: Error, socket: TLSSocket): string {
  const { authorizationError } = socket as { readonly authorizationError?: unknown };
  if (authorizationError !== undefined && authorizationError !== null) {
    return `its certificate is not accepted (${String(authorizationError)})`;
  }
  const { code, reason } = error as { readonly code?: string; readonly reason?: string };
  const words = reason ?? error.message;
  return code === undefined ? words : `${words} (${code})`;
}
