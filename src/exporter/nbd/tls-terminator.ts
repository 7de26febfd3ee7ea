/**
 * TlsTerminator: speaks TLS with clients, and plain bytes with the data path.       (control plane)
 *
 * Each client is a pair of sockets: the client's own, on which Node's TLS runs, and one end of a
 * pair whose other end the data path has. What is decrypted goes from one to the other and back,
 * and neither is read faster than the other takes it, so a client that takes nothing holds what two
 * sockets hold. It runs on a thread of its own (tls-worker.ts), or in a test's.
 *
 * Limits: a handshake has the time of the whole NBD handshake; a client has a while to take what
 * is left for it when the data path has closed its end; and there is a number of clients, the
 * leaving ones included, beyond which new ones are turned away.
 *
 * Not here: what the bytes mean.
 */

import { Socket } from 'node:net';
import { createServer, type TLSSocket, type TlsOptions } from 'node:tls';
import type { TlsHandover } from './tls-handover.ts';
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

export class TlsTerminator implements TlsHandover {
  readonly #options: TlsOptions;
  readonly #limits: TlsLimits;
  readonly #observer: TlsObserver;
  readonly #clients = new Set<TlsClient>();
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

  secure(clientFd: number, plainFd: number): void {
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
      gone: () => this.#gone(entry),
    });
    this.#clients.add(entry);
    entry.begin(this.#options);
  }

  /** Those amid their handshake are cut off; the others take what is left for them. */
  end(): void {
    this.#ending = true;
    for (const client of [...this.#clients]) client.dropUnlessSecure();
    if (this.#clients.size === 0) this.#allGone();
  }

  #gone(client: TlsClient): void {
    this.#clients.delete(client);
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
  #finishing: NodeJS.Timeout | null = null;
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

  dropUnlessSecure(): void {
    if (this.#secure === null) this.#drop();
  }

  #established(secure: TLSSocket): void {
    this.#secure = secure;
    const plain = this.#plain;
    secure.on('error', () => {});
    secure.once('close', () => this.#drop());
    plain.once('end', () => this.#finish());
    plain.once('close', () => this.#finish());
    secure.pipe(plain);
    plain.pipe(secure);
  }

  /** The data path has said its last word, which the client has a while to hear. */
  #finish(): void {
    if (this.#gone || this.#finishing !== null) return;
    this.#finishing = setTimeout(() => this.#drop(), this.#finishTimeoutMs);
    this.#secure!.end();
  }

  #drop(): void {
    if (this.#gone) return;
    this.#gone = true;
    if (this.#finishing !== null) clearTimeout(this.#finishing);
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
