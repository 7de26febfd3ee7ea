/**
 * TlsSettings: by what an export and its clients know each other.                   (control plane)
 *
 * Plain data, so that it can be given to another thread. Either certificates (X.509), where the
 * clients are asked for theirs if there is an authority to check them with, or keys that both sides
 * have beforehand (PSK, RFC 4279 and RFC 8446), each under the name of a client.
 */

import type { TlsOptions } from 'node:tls';

export type TlsSettings =
  | {
      readonly kind: 'certificate';
      /** PEM: the server's certificate, and those between it and an authority. */
      readonly certificate: string;
      /** PEM, without a passphrase. */
      readonly key: string;
      /** PEM: whoever has a certificate of these is let in; null: everyone is. */
      readonly clientAuthority: string | null;
    }
  | { readonly kind: 'psk'; readonly keys: ReadonlyMap<string, Uint8Array> };

/** What the protocol asks for at least. */
const VERSION_MIN = 'TLSv1.2';
/**
 * With keys known beforehand: TLS 1.3 with SHA-256, which is what such a key is bound to where
 * nobody says otherwise (RFC 8446, 4.2.11), then TLS 1.2 with a key exchange of its own, so that a
 * key that leaks later opens nothing that was said before.
 */
const PSK_CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-PSK-CHACHA20-POLY1305',
  'DHE-PSK-AES256-GCM-SHA384',
  'DHE-PSK-AES128-GCM-SHA256',
].join(':');

/** What Node's TLS is told. Nothing is decided here that the user has not said. */
export function serverOptions(settings: TlsSettings): TlsOptions {
  if (settings.kind === 'psk') {
    const { keys } = settings;
    return {
      minVersion: VERSION_MIN,
      ciphers: PSK_CIPHERS,
      dhparam: 'auto',
      ca: [],
      pskCallback: (_socket, identity) => (keys.get(identity) as Buffer | undefined) ?? null,
    };
  }
  const { certificate, key, clientAuthority } = settings;
  const asks = clientAuthority !== null;
  return {
    minVersion: VERSION_MIN,
    cert: certificate,
    key,
    // Never the authorities of the web: a list of none has nobody in it.
    ca: clientAuthority ?? [],
    requestCert: asks,
    rejectUnauthorized: asks,
  };
}
