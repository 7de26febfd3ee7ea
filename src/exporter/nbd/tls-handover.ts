/**
 * TlsHandover: how a connection gives its client to whoever speaks TLS.             (control plane)
 *
 * The data path knows no more of TLS than this. Descriptors are numbers of the whole process, so a
 * message with two of them is all that has to cross to another thread. That the data path has
 * closed its end is said in words, too: whoever waits for a client to take its replies reads
 * nothing, and so does not see an end.
 */

export interface TlsHandover {
  /**
   * The client on `clientFd` begins with TLS now. What it says goes to `plainFd`, and what comes
   * from there goes to it; the end of one is the end of the other. Both belong to the receiver.
   * Returns a number by which the client is known.
   */
  secure(clientFd: number, plainFd: number): number;
  /** The other end of the pair is closed: the client has a while to take what is left. */
  left(client: number): void;
  /** No more clients will come. */
  end(): void;
}

/** What goes through the port between the two threads. */
export type TlsMessage =
  | {
      readonly kind: 'secure';
      readonly client: number;
      readonly clientFd: number;
      readonly plainFd: number;
    }
  | { readonly kind: 'left'; readonly client: number }
  | { readonly kind: 'end' };
