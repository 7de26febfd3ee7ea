/**
 * The files that an export gets its certificates or keys from.                      (control plane)
 *
 * The server reads them itself, so that no secret goes through a control socket, once for each
 * export. Whatever is wrong with one is found here, with its name, and not when the first client
 * comes. What a key is, is never repeated in a message.
 *
 * Keys that both sides have beforehand are in lines of `NAME:KEY`, the key in hexadecimal, which is
 * what psktool of GnuTLS writes, and what clients of libnbd and qemu read.
 */

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { BandstandError } from '../block/errors.ts';
import type { TlsFiles } from '../control/schema.ts';
import { serverOptions, type TlsSettings } from '../exporter/nbd/tls-settings.ts';

const FILE_BYTES_MAX = 2 ** 20;
const PSK_BYTES_MIN = 16;
const PSK_BYTES_MAX = 64;
/** Of a name: RFC 4279 lets it be longer, and nobody needs that. */
const NAME_BYTES_MAX = 128;
const OTHERS_MAY_READ = 0o004;
const PEM_HINT = 'name a file in PEM format';

export interface ReadTls {
  readonly settings: TlsSettings;
  /** What the user should know, as sentences. */
  readonly notes: readonly string[];
}

/** `nowMs`: to tell what has expired. Throws BANDSTAND_EXPORT_TLS_INVALID. */
export function readTls(files: TlsFiles, nowMs: number): ReadTls {
  return files.kind === 'psk' ? readKeys(files.keys) : readCertificates(files, nowMs);
}

function readCertificates(
  files: Extract<TlsFiles, { kind: 'certificate' }>,
  nowMs: number,
): ReadTls {
  const certificate = readText('certificate', files.certificate);
  const key = readText('key', files.key);
  const authorityPath = files.client_authority;
  const clientAuthority = authorityPath === null ? null : readText('authority', authorityPath);
  const parsed = parseCertificate('certificate', files.certificate, certificate);
  if (!parsed.checkPrivateKey(parseKey(files.key, key))) {
    throw invalid('key', files.key, `it is not that of the certificate ${files.certificate}`, {
      hint: 'name the two files that belong together',
    });
  }
  if (authorityPath !== null) parseCertificate('authority', authorityPath, clientAuthority!);
  const settings: TlsSettings = { kind: 'certificate', certificate, key, clientAuthority };
  try {
    createSecureContext(serverOptions(settings));
  } catch (error) {
    throw invalid('certificate', files.certificate, (error as Error).message, {
      hint: 'look at it: openssl x509 -text -noout -in FILE',
    });
  }
  const notes = secrecyNotes('key', files.key);
  if (Date.parse(parsed.validTo) < nowMs) {
    notes.push(`the certificate ${files.certificate} has expired: ${parsed.validTo}`);
  }
  return { settings, notes };
}

function readKeys(path: string): ReadTls {
  const keys = new Map<string, Uint8Array>();
  for (const [index, line] of readText('file of keys', path).split(/\r?\n/).entries()) {
    if (line === '') continue;
    const where = `line ${index + 1} is wrong`;
    const parts = /^([^:#][^:]*):((?:[0-9a-fA-F]{2})+)$/.exec(line);
    const bytes = parts === null ? 0 : parts[2]!.length / 2;
    if (parts === null || Buffer.byteLength(parts[1]!) > NAME_BYTES_MAX) {
      throw invalid('file of keys', path, where, {
        hint: 'write lines of NAME:KEY with the key in hexadecimal, as psktool does',
      });
    }
    if (bytes < PSK_BYTES_MIN || bytes > PSK_BYTES_MAX) {
      throw invalid('file of keys', path, `${where}: the key has ${bytes} bytes`, {
        hint: `use keys of ${PSK_BYTES_MIN} to ${PSK_BYTES_MAX} bytes`,
      });
    }
    if (keys.has(parts[1]!)) {
      throw invalid('file of keys', path, `${where}: '${parts[1]}' has a key already`, {
        hint: 'give every client one key',
      });
    }
    keys.set(parts[1]!, Buffer.from(parts[2]!, 'hex'));
  }
  if (keys.size === 0) {
    throw invalid('file of keys', path, 'there is none in it', {
      hint: 'make one: psktool -u NAME -p FILE',
    });
  }
  return { settings: { kind: 'psk', keys }, notes: secrecyNotes('file of keys', path) };
}

function secrecyNotes(what: string, path: string): string[] {
  const open = (statSync(path).mode & OTHERS_MAY_READ) !== 0;
  return open ? [`everyone on this machine may read the ${what} ${path}`] : [];
}

function readText(what: string, path: string): string {
  try {
    const { size } = statSync(path);
    if (size <= FILE_BYTES_MAX) return readFileSync(path, 'utf8');
    throw invalid(what, path, `it has ${size} bytes`, { hint: PEM_HINT });
  } catch (error) {
    if (error instanceof BandstandError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    const words = code === 'ENOENT' ? 'there is no such file' : code;
    throw invalid(what, path, words, { hint: 'name a file that the server may read' });
  }
}

function parseCertificate(what: string, path: string, text: string): X509Certificate {
  try {
    return new X509Certificate(text);
  } catch {
    throw invalid(what, path, 'it holds no certificate', { hint: PEM_HINT });
  }
}

function parseKey(path: string, text: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch {
    throw /^-----BEGIN ENCRYPTED |^Proc-Type: 4,ENCRYPTED/m.test(text)
      ? invalid('key', path, 'it needs a passphrase', {
          hint: 'take it off: openssl pkey -in FILE -out OTHER',
        })
      : invalid('key', path, 'it holds no private key', { hint: PEM_HINT });
  }
}

function invalid(
  what: string,
  path: string,
  why: string,
  { hint }: { readonly hint: string },
): BandstandError {
  return new BandstandError('BANDSTAND_EXPORT_TLS_INVALID', {
    message: `cannot use the ${what} ${path}: ${why}`,
    hint,
    details: { path, why },
  });
}
