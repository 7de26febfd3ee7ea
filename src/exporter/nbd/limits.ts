/**
 * What an NBD export lets its clients have.                                         (control plane)
 *
 * Each limit is one client's own: whoever reaches it waits or is cut off, and nobody else notices.
 * The manual page of export, and SECURITY.md, promise these numbers.
 */

/** Clients that are served at once; the next one is closed at once. */
export const CONNECTIONS_MAX = 16;
/** Requests in flight of one client; the next one stays in its socket. */
export const REQUESTS_MAX = 128;
/** From the first byte to the first request, TLS included. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
/** What a client may take to read its last replies when the export ends, or it has said goodbye. */
export const FINISH_TIMEOUT_MS = 5_000;
