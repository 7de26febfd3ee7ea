/**
 * TLS with the clients that people use, and with Node's own, over real sockets. The terminator runs
 * in the test's thread; test/system/nbd-tls.ts has it on its own.
 */

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import ava, { type ExecutionContext } from 'ava';
import { MemoryDevice } from '../../../src/device/memory-device.ts';
import * as nbd from '../../../src/exporter/nbd/protocol.ts';
import type { TlsHandover } from '../../../src/exporter/nbd/tls-handover.ts';
import type { TlsSettings } from '../../../src/exporter/nbd/tls-settings.ts';
import { type TlsLimits, TlsTerminator } from '../../../src/exporter/nbd/tls-terminator.ts';
import { type CertificateFiles, makeCertificates, makeKeys } from '../../_helpers/certificates.ts';
import { NbdClient } from '../../_helpers/nbd-client.ts';
import { pattern } from '../../_helpers/nbd-fixture.ts';
import { type NbdServer, serveNbd } from '../../_helpers/nbd-server.ts';
import { missing, requires } from '../../_helpers/requires.ts';
import { eventually } from '../../_helpers/running-stack.ts';

const MIB = 2 ** 20;
const SIZE_BYTES = 2 * MIB;
/** Long: a machine that is busy otherwise must not decide anything. */
const LIMITS = { handshakeTimeoutMs: 30_000, finishTimeoutMs: 30_000, clientsMax: 4 };
const ALICE = Buffer.alloc(32, 0x5a);

const folder = mkdtempSync(path.join(tmpdir(), 'bandstand-tls-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
let made: CertificateFiles | null = null;

function certificates(): CertificateFiles {
  made ??= makeCertificates(folder);
  return made;
}

function x509(clientAuthority: boolean): TlsSettings {
  const { server, serverKey, authority } = certificates();
  return {
    kind: 'certificate',
    certificate: readFileSync(server, 'utf8'),
    key: readFileSync(serverKey, 'utf8'),
    clientAuthority: clientAuthority ? readFileSync(authority, 'utf8') : null,
  };
}

const PSK: TlsSettings = { kind: 'psk', keys: new Map([['alice', ALICE]]) };

interface World {
  readonly server: NbdServer;
  readonly terminator: TlsTerminator;
  readonly port: number;
  /** Why the terminator has turned clients away. */
  readonly refusals: string[];
}

async function withTls(
  t: ExecutionContext,
  settings: TlsSettings,
  body: (world: World) => Promise<void>,
  limits: TlsLimits = LIMITS,
): Promise<void> {
  const refusals: string[] = [];
  const terminator = new TlsTerminator(settings, limits, {
    clientRefused: (reason) => refusals.push(reason),
  });
  const device = new MemoryDevice('mem', { sizeBytes: SIZE_BYTES, blockBytes: 4096 });
  const address = { host: '127.0.0.1', port: 0 };
  let clients = 0;
  const tls: TlsHandover = {
    secure: (clientFd, plainFd) => {
      clients += 1;
      terminator.admit(clients, clientFd, plainFd);
      return clients;
    },
    left: (client) => terminator.left(client),
    end: () => terminator.end(),
  };
  const { finishTimeoutMs } = limits;
  const server = await serveNbd(device, { address, tls, finishTimeoutMs });
  t.regex(server.uri, /^nbds:\/\/127\.0\.0\.1:\d+\/disk$/);
  const port = Number(new URL(server.uri).port);
  await body({ server, terminator, port, refusals });
  await server.stop();
  await terminator.ended;
  t.is(terminator.clients, 0);
}

async function run(program: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(program, args, { timeout: 60_000 });
  return stdout;
}

/** Node's TLS after STARTTLS. */
async function connectTls(port: number, options: ConnectionOptions): Promise<TLSSocket> {
  const socket = createConnection({ host: '127.0.0.1', port });
  await askForTls(socket);
  const secure = connect({ socket, ...options });
  secure.on('error', () => {});
  await once(secure, 'secureConnect');
  return secure;
}

async function askForTls(socket: Socket): Promise<void> {
  await once(socket, 'connect');
  const flagsAndOption = Buffer.alloc(20);
  flagsAndOption.writeUInt32BE(3);
  flagsAndOption.write('IHAVEOPT', 4, 'latin1');
  flagsAndOption.writeUInt32BE(nbd.OPT_STARTTLS, 12);
  socket.write(flagsAndOption);
  let bytes = 0;
  while (bytes < nbd.GREETING_BYTES + nbd.OPTION_REPLY_HEADER_BYTES) {
    const [part] = (await once(socket, 'data')) as [Buffer];
    bytes += part.length;
  }
}

async function enter(secure: TLSSocket): Promise<NbdClient> {
  const client = new NbdClient(secure);
  await client.requestStructuredReplies();
  await client.go('disk');
  return client;
}

const withOpenssl = missing('openssl') === null ? ava.serial : ava.skip;
const test = ava.serial;

requires(
  'openssl',
  'nbdinfo',
  'nbdcopy',
)('libnbd with certificates', async (t) => {
  const { anonymous, client, stranger } = certificates();
  const uriOf = (port: number, from: string) =>
    `nbds://localhost:${port}/disk?tls-certificates=${from}`;
  await withTls(t, x509(false), async ({ port, server, refusals }) => {
    const info = await run('nbdinfo', uriOf(port, anonymous));
    t.regex(info, /^protocol: newstyle-fixed with TLS, using structured packets/);
    const from = path.join(server.folder, 'from');
    const to = path.join(server.folder, 'to');
    writeFileSync(from, pattern(SIZE_BYTES, 2));
    await run('nbdcopy', '--connections=3', from, uriOf(port, anonymous));
    await run('nbdcopy', '--connections=3', uriOf(port, anonymous), to);
    t.true(readFileSync(to).equals(pattern(SIZE_BYTES, 2)));
    t.deepEqual(refusals, []);
    await t.throwsAsync(run('nbdinfo', `nbd://127.0.0.1:${port}/disk`));
  });
  await withTls(t, x509(true), async ({ port, refusals }) => {
    t.regex(await run('nbdinfo', uriOf(port, client)), /with TLS/);
    t.deepEqual(refusals, []);
    await t.throwsAsync(run('nbdinfo', uriOf(port, anonymous)));
    await t.throwsAsync(run('nbdinfo', uriOf(port, stranger)));
    t.is(refusals.length, 2);
    t.regex(refusals[0]!, /^TLS with a client failed: peer did not return a certificate/);
    t.regex(refusals[1]!, /^TLS with a client failed: /);
    t.regex(await run('nbdinfo', uriOf(port, client)), /with TLS/);
  });
});

requires('nbdinfo', 'nbdcopy')('libnbd with keys known beforehand', async (t) => {
  const right = makeKeys(path.join(folder, 'right'), { alice: ALICE });
  const wrong = makeKeys(path.join(folder, 'wrong'), { alice: Buffer.alloc(32, 1), bob: ALICE });
  await withTls(t, PSK, async ({ port, server, refusals }) => {
    const uriOf = (name: string, file: string) =>
      `nbds://${name}@127.0.0.1:${port}/disk?tls-psk-file=${file}`;
    t.regex(await run('nbdinfo', uriOf('alice', right)), /with TLS/);
    const from = path.join(server.folder, 'from');
    writeFileSync(from, pattern(SIZE_BYTES, 3));
    await run('nbdcopy', from, uriOf('alice', right));
    await run('nbdcopy', uriOf('alice', right), path.join(server.folder, 'to'));
    t.true(readFileSync(path.join(server.folder, 'to')).equals(pattern(SIZE_BYTES, 3)));
    t.deepEqual(refusals, []);
    await t.throwsAsync(run('nbdinfo', uriOf('alice', wrong)));
    await t.throwsAsync(run('nbdinfo', uriOf('bob', wrong)));
    t.is(refusals.length, 2);
  });
});

requires('openssl', 'qemu-img')('qemu with certificates and with keys', async (t) => {
  const { client } = certificates();
  const image = (port: number) =>
    `driver=nbd,host=127.0.0.1,port=${port},export=disk,tls-creds=tls0`;
  await withTls(t, x509(true), async ({ port }) => {
    const object = `tls-creds-x509,id=tls0,endpoint=client,dir=${client}`;
    const info = await run('qemu-img', 'info', '--object', object, '--image-opts', image(port));
    t.regex(info, /virtual size: 2 MiB/);
  });
  makeKeys(path.join(folder, 'keys.psk'), { alice: ALICE });
  await withTls(t, PSK, async ({ port }) => {
    const object = `tls-creds-psk,id=tls0,endpoint=client,dir=${folder},username=alice`;
    const info = await run('qemu-img', 'info', '--object', object, '--image-opts', image(port));
    t.regex(info, /virtual size: 2 MiB/);
  });
});

test('TLS 1.2 and 1.3 work with keys, older versions do not', async (t) => {
  await withTls(t, PSK, async ({ port, refusals }) => {
    const options = (version: 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3'): ConnectionOptions => ({
      minVersion: version,
      maxVersion: version,
      ciphers: 'TLS_AES_128_GCM_SHA256:PSK@SECLEVEL=0',
      checkServerIdentity: () => undefined,
      pskCallback: () => ({ psk: ALICE, identity: 'alice' }),
    });
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const secure = await connectTls(port, options(version));
      t.is(secure.getProtocol(), version);
      const { name } = secure.getCipher();
      t.regex(name, version === 'TLSv1.3' ? /^TLS_/ : /^(EC)?DHE-PSK-/, 'an old key opens nothing');
      const client = await enter(secure);
      await client.write(4096, pattern(65_536, 4));
      t.true((await client.read(4096, 65_536)).equals(pattern(65_536, 4)));
      await client.disconnect();
    }
    t.deepEqual(refusals, []);
    await t.throwsAsync(connectTls(port, options('TLSv1.1')));
    await eventually('the refusal is told', () => refusals.length === 1);
  });
});

withOpenssl('what a client has been sent, it gets, also when it leaves at once', async (t) => {
  await withTls(t, x509(false), async ({ port, server, terminator }) => {
    for (let round = 0; round < 3; round += 1) {
      const client = await enter(await connectTls(port, { rejectUnauthorized: false }));
      const reads = Array.from({ length: 30 }, (_, index) => client.read(index * 65_536, 65_536));
      const bye = client.disconnect();
      t.is((await Promise.all(reads)).length, 30);
      await bye;
    }
    await eventually('all are gone', () => terminator.clients === 0);
    t.deepEqual(server.complaints, []);
  });
});

withOpenssl('a client that takes nothing holds two sockets full, and nobody up', async (t) => {
  const body = async ({ port, terminator }: World): Promise<void> => {
    const secure = await connectTls(port, { rejectUnauthorized: false });
    const greedy = await enter(secure);
    const before = process.memoryUsage().rss;
    const reads = Array.from({ length: 400 }, () => greedy.read(0, MIB));
    for (const read of reads) read.catch(() => {});
    secure.pause();
    const client = await enter(await connectTls(port, { rejectUnauthorized: false }));
    for (let round = 0; round < 20; round += 1) {
      await client.write(0, pattern(65_536, round));
      t.true((await client.read(0, 65_536)).equals(pattern(65_536, round)));
    }
    const grownMib = (process.memoryUsage().rss - before) / MIB;
    t.log(`the server and both clients have grown by ${grownMib.toFixed(0)} MiB`);
    // The 400 MiB of its reads are in the client's own buffers at most (they are touched late).
    t.true(grownMib < 200);
    await client.disconnect();
    await eventually('the other one is gone', () => terminator.clients === 1);
    // And the stop, which follows, does not wait for ever.
  };
  await withTls(t, x509(false), body, { ...LIMITS, finishTimeoutMs: 100 });
});

/** Says `bytes` instead of TLS, and closes its side. */
async function misbehave(port: number, bytes: Uint8Array): Promise<void> {
  const socket = createConnection({ host: '127.0.0.1', port });
  socket.on('error', () => {});
  await askForTls(socket);
  socket.end(bytes);
  socket.resume();
}

withOpenssl('rubbish instead of TLS harms nobody', async (t) => {
  await withTls(t, x509(false), async ({ port, refusals, terminator }) => {
    for (const bytes of [Buffer.from('GET / HTTP/1.0\r\n\r\n'), Buffer.alloc(70_000)]) {
      await misbehave(port, bytes);
      await eventually('it is gone', () => terminator.clients === 0);
    }
    t.is(refusals.length, 2);
    const client = await enter(await connectTls(port, { rejectUnauthorized: false }));
    t.is((await client.read(0, 4096)).length, 4096);
    await client.disconnect();
  });
});

withOpenssl('silence instead of TLS, and leaving amid it, is over in time', async (t) => {
  const body = async ({ port, refusals, terminator }: World): Promise<void> => {
    await misbehave(port, Buffer.from([0x16, 3, 1, 0xff, 0xff]));
    await misbehave(port, Buffer.alloc(0));
    await eventually('both are gone', () => terminator.clients === 0 && refusals.length === 2);
  };
  await withTls(t, x509(false), body, { ...LIMITS, handshakeTimeoutMs: 100 });
});

withOpenssl('clients beyond the limit are turned away, with the reason', async (t) => {
  await withTls(t, x509(false), async ({ port, refusals }) => {
    const sockets: Socket[] = [];
    for (let count = 0; count <= LIMITS.clientsMax; count += 1) {
      const socket = createConnection({ host: '127.0.0.1', port });
      socket.on('error', () => {});
      await askForTls(socket);
      sockets.push(socket);
    }
    await eventually('the last is refused', () => refusals.length === 1);
    t.deepEqual(refusals, ['4 clients speak TLS already']);
    for (const socket of sockets) socket.destroy();
  });
});
