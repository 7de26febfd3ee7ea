/** What is wrong with a file of TLS is said with its name, before anybody connects. */

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { ExecutionContext } from 'ava';
import test from 'ava';
import { BandstandError } from '../../src/block/errors.ts';
import type { TlsFiles } from '../../src/control/schema.ts';
import { readTls } from '../../src/stack/tls-files.ts';
import { makeCertificates, makeKeys } from '../_helpers/certificates.ts';
import { requires } from '../_helpers/requires.ts';

const KEY = 'a1'.repeat(32);

function folderOf(t: ExecutionContext): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'bandstand-tls-files-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

function fails(t: ExecutionContext, files: TlsFiles, message: RegExp, secret = KEY): void {
  const error = t.throws(() => readTls(files, 0), { instanceOf: BandstandError, message });
  t.is(error?.code, 'BANDSTAND_EXPORT_TLS_INVALID');
  t.truthy(error?.hint);
  t.false(JSON.stringify([error?.message, error?.hint, error?.details]).includes(secret));
}

test('keys known beforehand are read by name', (t) => {
  const folder = folderOf(t);
  const alice = Buffer.alloc(32, 1);
  const bob = Buffer.alloc(16, 2);
  const keys = makeKeys(path.join(folder, 'keys'), { alice, 'bob the builder': bob });
  const { settings, notes } = readTls({ kind: 'psk', keys }, 0);
  t.deepEqual(settings, {
    kind: 'psk',
    keys: new Map([
      ['alice', alice],
      ['bob the builder', bob],
    ]),
  });
  t.deepEqual(notes, []);
  chmodSync(keys, 0o644);
  t.deepEqual(readTls({ kind: 'psk', keys }, 0).notes, [
    `everyone on this machine may read the file of keys ${keys}`,
  ]);
});

test('a wrong line is named by its number, and never shown', (t) => {
  const keys = path.join(folderOf(t), 'keys');
  for (const [text, why] of [
    ['', /there is none in it$/],
    [`alice:${KEY}\nbob`, /line 2 is wrong$/],
    [`alice ${KEY}`, /line 1 is wrong$/],
    [`:${KEY}`, /line 1 is wrong$/],
    [`#616c:${KEY}`, /line 1 is wrong$/],
    [`alice:${KEY}0`, /line 1 is wrong$/],
    [`alice:${KEY} `, /line 1 is wrong$/],
    [`${'a'.repeat(129)}:${KEY}`, /line 1 is wrong$/],
    ['alice:a1a1', /line 1 is wrong: the key has 2 bytes$/],
    [`alice:${KEY}${KEY}a1`, /line 1 is wrong: the key has 65 bytes$/],
    [`alice:${KEY}\n\nalice:${KEY}\n`, /line 3 is wrong: 'alice' has a key already$/],
  ] as const) {
    writeFileSync(keys, text);
    fails(t, { kind: 'psk', keys }, why);
  }
  fails(t, { kind: 'psk', keys: `${keys}.not` }, /: there is no such file$/);
  fails(t, { kind: 'psk', keys: path.dirname(keys) }, /: EISDIR$/);
  writeFileSync(keys, Buffer.alloc(2 ** 20 + 1));
  fails(t, { kind: 'psk', keys }, /: it has 1048577 bytes$/);
});

requires('openssl')('certificates are read, and belong together', (t) => {
  const folder = folderOf(t);
  const { server, serverKey, authority, client } = makeCertificates(folder);
  const files = { kind: 'certificate', certificate: server, key: serverKey } as const;
  const open = readTls({ ...files, client_authority: null }, 0);
  t.like(open.settings, { kind: 'certificate', clientAuthority: null });
  t.deepEqual(open.notes, []);
  const asking = readTls({ ...files, client_authority: authority }, 0).settings;
  t.true(asking.kind === 'certificate' && asking.clientAuthority!.startsWith('-----BEGIN CERT'));
  const late = readTls({ ...files, client_authority: null }, Date.UTC(3000, 0));
  t.is(late.notes.length, 1);
  t.regex(late.notes[0]!, /^the certificate .* has expired: /);

  const other = path.join(client, 'client-key.pem');
  const none = path.join(folder, 'none');
  const rubbish = path.join(folder, 'rubbish');
  writeFileSync(rubbish, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
  const locked = path.join(folder, 'locked');
  const lock = ['-aes256', '-passout', 'pass:secret'];
  execFileSync('openssl', ['pkey', '-in', serverKey, '-out', locked, ...lock], { stdio: 'pipe' });
  for (const [change, why] of [
    [{ certificate: none }, /^cannot use the certificate .*none: there is no such file$/],
    [{ certificate: rubbish }, /^cannot use the certificate .*: it holds no certificate$/],
    [{ certificate: serverKey }, /: it holds no certificate$/],
    [{ key: none }, /^cannot use the key .*none: there is no such file$/],
    [{ key: server }, /^cannot use the key .*: it holds no private key$/],
    [{ key: other }, /^cannot use the key .*: it is not that of the certificate .*server-cert/],
    [{ key: locked }, /^cannot use the key .*: it needs a passphrase$/],
    [{ client_authority: none }, /^cannot use the authority .*none: there is no such file$/],
    [{ client_authority: rubbish }, /^cannot use the authority .*: it holds no certificate$/],
  ] as const) {
    fails(t, { ...files, client_authority: null, ...change }, why, 'BEGIN PRIVATE');
  }
});
