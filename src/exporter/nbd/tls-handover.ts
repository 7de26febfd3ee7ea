/**
 * TlsHandover: how a connection gives its client to whoever speaks TLS.             (control plane)
 *
 * The data path knows no more of TLS than this. Descriptors are numbers of the whole process, so a
 * message with two of them is all that has to cross to another thread.
 */

export interface TlsHandover {
  /**
   * The client on `clientFd` begins with TLS now. What it says goes to `plainFd`, and what comes
   * from there goes to it; the end of one is the end of the other. Both belong to the receiver.
   */
  secure(clientFd: number, plainFd: number): void;
  /** No more clients will come. */
  end(): void;
}

/** What goes through the port between the two threads. */
export type TlsMessage =
  | { readonly kind: 'secure'; readonly clientFd: number; readonly plainFd: number }
  | { readonly kind: 'end' };
