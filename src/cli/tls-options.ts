/**
 * Options of `export` that say who may reach an NBD server, and how.                (control plane)
 *
 * Over TCP from other machines there is TLS, or the user has said that there need be none.
 */

import { resolve } from 'node:path';
import type { TlsFiles } from '../control/schema.ts';
import { type Arguments, usageError } from './arguments.ts';
import type { OptionSpec } from './command.ts';
import { isLoopback, type ListenAddress } from './listen-address.ts';

export const TLS_OPTIONS: readonly OptionSpec[] = [
  { name: 'tls-cert', kind: 'text', value: 'FILE', summary: 'NBD with TLS: the certificate' },
  { name: 'tls-key', kind: 'text', value: 'FILE', joined: true, summary: 'its private key' },
  { name: 'tls-ca', kind: 'text', value: 'FILE', summary: 'clients need one of this authority' },
  {
    name: 'tls-psk',
    kind: 'text',
    value: 'FILE',
    joined: true,
    summary: 'TLS by NAME:KEY of clients',
  },
  { name: 'insecure', kind: 'flag', summary: 'serve other machines without TLS' },
];

export interface NbdAccess {
  readonly tls: TlsFiles | null;
  readonly insecure: boolean;
}

/** `listen`: null for the default socket. Throws BANDSTAND_USAGE. */
export function nbdAccess(args: Arguments, listen: ListenAddress | null): NbdAccess {
  const tls = tlsFiles(args);
  const insecure = args.flag('insecure');
  if (insecure && tls !== null) {
    throw usageError('cannot use --insecure with TLS: it says that there is none', 'leave it out');
  }
  const abroad = listen?.kind === 'tcp' && !isLoopback(listen.host);
  if (insecure && !abroad) {
    throw usageError(
      'cannot use --insecure here: only clients of this machine reach the server',
      'leave it out, or listen at tcp:HOST:PORT with an address that others reach',
    );
  }
  if (abroad && tls === null && !insecure) {
    throw usageError(
      `cannot listen at ${listen.host}: everyone who can reach it could read and write the device`,
      'add --tls-cert and --tls-key, or --tls-psk; or insist with --insecure',
    );
  }
  return { tls, insecure };
}

function tlsFiles(args: Arguments): TlsFiles | null {
  const certificate = args.text('tls-cert');
  const key = args.text('tls-key');
  const authority = args.text('tls-ca');
  const keys = args.text('tls-psk');
  if (keys !== null) {
    const other = ['tls-cert', 'tls-key', 'tls-ca'].find((name) => args.text(name) !== null);
    if (other === undefined) return { kind: 'psk', keys: resolve(keys) };
    throw usageError(
      `cannot use --tls-psk with --${other}: clients are known by keys or by certificates`,
      'choose one of them',
    );
  }
  if (certificate === null && key === null && authority === null) return null;
  if (certificate === null || key === null) {
    const lacking = certificate === null ? 'tls-cert' : 'tls-key';
    throw usageError(
      `cannot use TLS without --${lacking}: a server has a certificate and its key`,
      'name both files, or use --tls-psk',
    );
  }
  return {
    kind: 'certificate',
    certificate: resolve(certificate),
    key: resolve(key),
    client_authority: authority === null ? null : resolve(authority),
  };
}
