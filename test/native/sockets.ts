import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { loadAddon } from '../../src/native/load.ts';
import { RawRing } from '../_helpers/raw-ring.ts';

const addon = loadAddon();
const ACCEPT = 13;
const SEND = 26;
const RECV = 27;

function folderFor(t: { teardown: (run: () => void) => void }): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'bandstand-socket-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Accepts one connection of `client` through a ring, and echoes what it sends. */
async function echoOnce(listener: number, client: net.Socket): Promise<string> {
  const ring = new RawRing(addon, 4);
  const mapping = addon.memoryMap(4096, false);
  try {
    await once(client, 'connect');
    ring.push(ACCEPT, { fd: listener });
    const fd = ring.finish(1)[0]!.result;
    if (addon.socketTune(fd) !== 0) throw new Error('the connection cannot be tuned');
    client.write('hello');
    await new Promise((resolve) => setImmediate(resolve));
    ring.push(RECV, { fd, address: mapping.address, length: 100 });
    const length = ring.finish(1)[0]!.result;
    const echoed = once(client, 'data');
    ring.push(SEND, { fd, address: mapping.address, length });
    ring.finish(1);
    const [data] = await echoed;
    client.destroy();
    addon.fileClose(fd);
    return String(data);
  } finally {
    ring.close();
    addon.memoryUnmap(mapping.memory);
  }
}

test('a TCP socket listens on a port that the system chose, and serves', async (t) => {
  const listener = addon.socketListenTcp('127.0.0.1', 0, 8);
  const port = addon.socketPort(listener);
  t.true(port > 0 && port < 65536);
  t.is(await echoOnce(listener, net.connect(port, '127.0.0.1')), 'hello');
  // SO_REUSEADDR: the port can be taken again at once after a connection, not while it listens.
  t.is(addon.errnoName(addon.socketListenTcp('127.0.0.1', port, 8)), 'EADDRINUSE');
  addon.fileClose(listener);
  const again = addon.socketListenTcp('127.0.0.1', port, 8);
  t.true(again >= 0);
  addon.fileClose(again);
});

test('a Unix socket has its mode before anybody can connect, and serves', async (t) => {
  const address = path.join(folderFor(t), 'server.sock');
  const previous = process.umask(0o077);
  const listener = addon.socketListenUnix(address, 0o666, 8);
  process.umask(previous);
  t.true(listener >= 0);
  t.is(statSync(address).mode & 0o777, 0o666);
  t.is(addon.errnoName(addon.socketPort(listener)), 'EAFNOSUPPORT');
  t.is(addon.errnoName(addon.socketListenUnix(address, 0o600, 8)), 'EADDRINUSE');
  t.is(await echoOnce(listener, net.connect(address)), 'hello');
  addon.fileClose(listener);
});

test('addresses that cannot be used are refused with their errno', (t) => {
  const folder = folderFor(t);
  const name = (fd: number) => addon.errnoName(fd);
  t.is(name(addon.socketListenTcp('localhost', 0, 8)), 'EINVAL');
  t.is(name(addon.socketListenTcp('', 0, 8)), 'EINVAL');
  t.is(name(addon.socketListenTcp('203.0.113.1', 0, 8)), 'EADDRNOTAVAIL');
  t.is(name(addon.socketListenUnix('', 0o600, 8)), 'EINVAL');
  t.is(name(addon.socketListenUnix(path.join(folder, 'x'.repeat(108)), 0o600, 8)), 'ENAMETOOLONG');
  t.is(name(addon.socketListenUnix(path.join(folder, 'none/s'), 0o600, 8)), 'ENOENT');
  t.throws(() => addon.socketListenTcp('127.0.0.1', 65536, 8), { instanceOf: RangeError });
  t.throws(() => addon.socketListenTcp(null as never, 1, 8), { instanceOf: TypeError });
  t.is(name(addon.socketPort(1_000_000)), 'EBADF');
  t.is(name(addon.socketTune(1_000_000)), 'EBADF');
});

test('a socket pair carries bytes both ways', (t) => {
  const [left, right] = addon.socketPair();
  const ring = new RawRing(addon, 4);
  const { memory, address } = addon.memoryMap(4096, false);
  const bytes = new Uint8Array(memory);
  bytes.set([1, 2, 3, 4]);
  t.is(addon.socketTune(left), 0);
  for (const [from, to, at] of [
    [left, right, 100],
    [right, left, 200],
  ] as const) {
    ring.push(SEND, { fd: from, address, length: 4 });
    t.is(ring.finish(1)[0]!.result, 4);
    ring.push(RECV, { fd: to, address: address + at, length: 50 });
    t.is(ring.finish(1)[0]!.result, 4);
    t.deepEqual([...bytes.slice(at, at + 5)], [1, 2, 3, 4, 0]);
  }
  ring.close();
  addon.memoryUnmap(memory);
  addon.fileClose(left);
  addon.fileClose(right);
});

test('what has arrived is received at once, and nothing is waited for', (t) => {
  const [left, right] = addon.socketPair();
  const ring = new RawRing(addon, 4);
  const { memory, address } = addon.memoryMap(4096, false);
  const bytes = new Uint8Array(memory);
  bytes.set([1, 2, 3, 4, 5]);
  t.is(addon.errnoName(addon.socketReceiveNow(right, address + 100, 8)), 'EAGAIN');
  ring.push(SEND, { fd: left, address, length: 5 });
  ring.finish(1);
  t.is(addon.socketReceiveNow(right, address + 100, 3), 3);
  t.is(addon.socketReceiveNow(right, address + 200, 8), 2);
  t.deepEqual([...bytes.slice(100, 104)], [1, 2, 3, 0]);
  t.deepEqual([...bytes.slice(200, 203)], [4, 5, 0]);
  t.is(addon.errnoName(addon.socketReceiveNow(right, address, 8)), 'EAGAIN');
  addon.fileClose(left);
  t.is(addon.socketReceiveNow(right, address, 8), 0);
  t.is(addon.errnoName(addon.socketReceiveNow(1_000_000, address, 8)), 'EBADF');
  for (const [fd, at, count] of [
    [-1, address, 8],
    [right, address, 0],
    [right, address, 4097],
    [right, address - 1, 8],
    [right, address, Number.NaN],
  ] as const) {
    t.throws(() => addon.socketReceiveNow(fd, at, count), { instanceOf: RangeError });
  }
  t.throws(() => addon.socketReceiveNow(right, address, null as never), { instanceOf: TypeError });
  ring.close();
  addon.memoryUnmap(memory);
  addon.fileClose(right);
});
