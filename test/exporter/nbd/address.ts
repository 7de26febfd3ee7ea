import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { MemoryDevice } from '../../../src/device/memory-device.ts';
import { isLoopback, nbdUri } from '../../../src/exporter/nbd/address.ts';
import { NbdExporter } from '../../../src/exporter/nbd/nbd-exporter.ts';
import { loadAddon } from '../../../src/native/load.ts';
import { NbdClient } from '../../_helpers/nbd-client.ts';
import { type NbdServer, serveNbd } from '../../_helpers/nbd-server.ts';

const MIB = 2 ** 20;

function serveAt(socket: string): Promise<NbdServer> {
  return serveNbd(new MemoryDevice('mem', { sizeBytes: MIB }), { address: { unix: socket } });
}

function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'bandstand-address-'));
  return body(folder).finally(() => rmSync(folder, { recursive: true }));
}

test('a Unix socket is for its owner only, and is removed when the export stops', async (t) => {
  const server = await serveNbd(new MemoryDevice('mem', { sizeBytes: MIB }));
  t.is(statSync(server.socket).mode & 0o777, 0o600);
  const client = await NbdClient.connectUnix(server.socket);
  await client.write(4096, Buffer.alloc(4096, 3));
  t.true((await client.read(4096, 4096)).equals(Buffer.alloc(4096, 3)));
  await client.disconnect();
  const { socket } = server;
  await server.stop();
  t.false(existsSync(socket));
});

test('a socket that a dead server left behind is replaced', async (t) => {
  await inFolder(async (folder) => {
    const socket = path.join(folder, 'a.sock');
    const native = loadAddon();
    native.fileClose(native.socketListenUnix(socket, 0o600, 1));
    t.true(existsSync(socket));
    const server = await serveAt(socket);
    await (await NbdClient.connectUnix(socket)).disconnect();
    await server.stop();
  });
});

test('the socket of a living server is left alone', async (t) => {
  await inFolder(async (folder) => {
    const socket = path.join(folder, 'a.sock');
    const other = createServer().listen(socket);
    await once(other, 'listening');
    await t.throwsAsync(serveAt(socket), {
      code: 'BANDSTAND_EXPORT_ADDRESS_BUSY',
      message: `cannot listen on ${socket}: another server is listening there (EADDRINUSE)`,
    });
    t.true(existsSync(socket));
    other.close();
  });
});

test('a file that is no socket is never removed', async (t) => {
  await inFolder(async (folder) => {
    const file = path.join(folder, 'precious');
    writeFileSync(file, 'data');
    await t.throwsAsync(serveAt(file), {
      code: 'BANDSTAND_EXPORT_ADDRESS_BUSY',
      message: `cannot listen on ${file}: the path exists and is not a socket`,
    });
    t.true(existsSync(file));
  });
});

test('stop does not remove a socket that another server has made since', async (t) => {
  await inFolder(async (folder) => {
    const socket = path.join(folder, 'a.sock');
    const server = await serveAt(socket);
    rmSync(socket);
    const other = createServer().listen(socket);
    await once(other, 'listening');
    await server.stop();
    t.true(existsSync(socket));
    other.close();
  });
});

test('a folder that does not exist is a clear error', async (t) => {
  await t.throwsAsync(serveAt('/nonexistent/a.sock'), {
    code: 'BANDSTAND_EXPORT_ADDRESS_INVALID',
    message: 'cannot listen on /nonexistent/a.sock: no such file or directory (ENOENT)',
  });
});

test('TCP on loopback works, with a port of the kernel’s choice', async (t) => {
  const server = await serveNbd(new MemoryDevice('mem', { sizeBytes: MIB }), {
    address: { host: '127.0.0.1', port: 0 },
  });
  const port = Number(new URL(server.uri).port);
  t.true(port > 0);
  t.is(server.uri, `nbd://127.0.0.1:${port}/disk`);
  const client = await NbdClient.connectTcp('127.0.0.1', port, { exportName: 'disk' });
  await client.write(0, Buffer.alloc(300_000, 9).subarray(0, 65 * 4096));
  t.is((await client.read(0, 4096))[17], 9);
  await client.disconnect();
  await server.stop();
});

test('addresses beyond this machine need to be insisted on', (t) => {
  const make = (host: string, insecure = false): NbdExporter =>
    new NbdExporter({ name: '', address: { host, port: 10_809 }, insecure });
  for (const host of ['0.0.0.0', '192.168.1.1', '::', 'localhost', '127.0.0.1.example.org', '']) {
    t.throws(() => make(host), { code: 'BANDSTAND_EXPORT_ADDRESS_INVALID' }, host);
  }
  t.notThrows(() => make('0.0.0.0', true));
  const tls = { secure: () => 0, left: () => {}, end: () => {} };
  t.notThrows(() => new NbdExporter({ name: '', address: { host: '::', port: 10_809 }, tls }));
  for (const host of ['127.0.0.1', '127.3.2.1', '::1']) t.notThrows(() => make(host));
  t.true(isLoopback('127.255.255.255'));
  t.false(isLoopback('127.0.0.256'));
});

test('paths and ports that cannot be are refused before anything is made', (t) => {
  const long = `/tmp/${'x'.repeat(103)}`;
  const make = (address: { unix: string } | { host: string; port: number }): NbdExporter =>
    new NbdExporter({ name: 'x', address });
  t.throws(() => make({ unix: long }), {
    message: `cannot listen on ${long}: a socket path has 1 to 107 bytes, not 108`,
  });
  t.notThrows(() => make({ unix: long.slice(1) }));
  t.throws(() => make({ unix: '' }), { code: 'BANDSTAND_EXPORT_ADDRESS_INVALID' });
  for (const port of [-1, 65_536, 1.5, Number.NaN]) {
    t.throws(() => make({ host: '127.0.0.1', port }), { code: 'BANDSTAND_EXPORT_ADDRESS_INVALID' });
  }
  t.throws(() => new NbdExporter({ name: 'a'.repeat(4097), address: { unix: '/x' } }), {
    code: 'BANDSTAND_EXPORT_NAME_INVALID',
  });
});

test('URIs are what clients understand', (t) => {
  const unix = (path: string, name: string) => nbdUri({ unix: path }, name, false);
  t.is(unix('/run/a b.sock', 'tank'), 'nbd+unix:///tank?socket=/run/a%20b.sock');
  t.is(unix('/run/a', 'a/b?c'), 'nbd+unix:///a%2Fb%3Fc?socket=/run/a');
  t.is(nbdUri({ host: '::1', port: 10_809 }, '', false), 'nbd://[::1]:10809/');
  t.is(nbdUri({ host: '::1', port: 10_809 }, 'x', true), 'nbds://[::1]:10809/x');
  t.is(nbdUri({ unix: '/run/a' }, 'x', true), 'nbds+unix:///x?socket=/run/a');
});
