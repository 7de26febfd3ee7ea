/**
 * Certificates for tests of TLS, made by openssl when they are needed: an authority, a server of
 * it, a client of it, and a client of somebody else.
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export interface CertificateFiles {
  readonly authority: string;
  readonly server: string;
  readonly serverKey: string;
  /** Folders as libnbd wants them (tls-certificates=): the authority, and a client's if any. */
  readonly anonymous: string;
  readonly client: string;
  readonly stranger: string;
}

const DAYS = '36500';

function openssl(...args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: 'pipe', timeout: 30_000 });
}

function makeKey(file: string): void {
  openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', file);
}

function makeAuthority(folder: string, name: string): { certificate: string; key: string } {
  const key = path.join(folder, `${name}-key.pem`);
  const certificate = path.join(folder, `${name}.pem`);
  makeKey(key);
  const subject = ['-subj', `/CN=${name}`, '-days', DAYS];
  const usage = ['-addext', 'keyUsage=critical,keyCertSign,cRLSign'];
  openssl('req', '-x509', '-new', '-key', key, '-out', certificate, ...subject, ...usage);
  return { certificate, key };
}

/** Signs a certificate for `localhost` and 127.0.0.1; gives its path and that of its key. */
function sign(
  authority: { certificate: string; key: string },
  folder: string,
  name: string,
): { certificate: string; key: string } {
  const key = path.join(folder, `${name}-key.pem`);
  const certificate = path.join(folder, `${name}-cert.pem`);
  const request = path.join(folder, `${name}.csr`);
  const extensions = path.join(folder, `${name}.ext`);
  makeKey(key);
  writeFileSync(extensions, 'subjectAltName=DNS:localhost,IP:127.0.0.1\n');
  openssl('req', '-new', '-key', key, '-subj', `/CN=${name}`, '-out', request);
  const by = ['-CA', authority.certificate, '-CAkey', authority.key, '-CAcreateserial'];
  const what = ['-in', request, '-out', certificate, '-extfile', extensions, '-days', DAYS];
  openssl('x509', '-req', ...what, ...by);
  return { certificate, key };
}

export function makeCertificates(folder: string): CertificateFiles {
  const authority = makeAuthority(folder, 'authority');
  const server = sign(authority, folder, 'server');
  const folders = ['anonymous', 'client', 'stranger'].map((name) => path.join(folder, name));
  for (const place of folders) {
    mkdirSync(place);
    writeFileSync(path.join(place, 'ca-cert.pem'), readFileSync(authority.certificate));
  }
  const [anonymous, client, stranger] = folders as [string, string, string];
  sign(authority, client, 'client');
  sign(makeAuthority(folder, 'stranger-authority'), stranger, 'client');
  return {
    authority: authority.certificate,
    server: server.certificate,
    serverKey: server.key,
    anonymous,
    client,
    stranger,
  };
}

/** A file of keys, and the same for clients. */
export function makeKeys(file: string, keys: Readonly<Record<string, Uint8Array>>): string {
  const lines = Object.entries(keys).map(
    ([name, key]) => `${name}:${Buffer.from(key).toString('hex')}\n`,
  );
  writeFileSync(file, lines.join(''), { mode: 0o600 });
  return file;
}
