/**
 * Hostile NBD clients against a real server: after each, a client that behaves is served and finds
 * its data, and the memory of the server stays what it was.
 */

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import * as nbd from '../../src/exporter/nbd/protocol.ts';
import { makeKeys } from '../_helpers/certificates.ts';
import { NbdClient, requestHeader } from '../_helpers/nbd-client.ts';
import { HOSTILE_AT, malformedCases, optionBytes } from '../_helpers/nbd-malformed.ts';
import { DISK_BYTES, eventually, noise, StackWorld } from '../_helpers/running-stack.ts';

const MIB = 2 ** 20;
const BLOCK = 4096;
/** What a server's heaps may grow by while they find their size. */
const GROWN_MIB_MAX = 96;
const CLOSE_TIMEOUT_MS = 30_000;
const CONNECTIONS_MAX = 16;
const FLAGS = Buffer.from([0, 0, 0, 3]);
const ADMITTED = Buffer.concat([FLAGS, optionBytes(nbd.OPT_EXPORT_NAME)]);

type Connect = () => Promise<NbdClient>;

function residentMib(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) / 1024;
}

/** Says `bytes`, closes its side, reads what comes; resolves when the server has closed. */
async function say(socket: Socket, bytes: Uint8Array): Promise<void> {
  let timer: NodeJS.Timeout | null = null;
  const closed = new Promise<void>((resolve, reject) => {
    timer = setTimeout(() => reject(new Error('the server does not close')), CLOSE_TIMEOUT_MS);
    socket.once('close', () => resolve());
  });
  socket.on('error', () => {});
  socket.resume();
  socket.end(bytes);
  await closed.finally(() => clearTimeout(timer!));
}

/** The first MiB, of which every check looks at one block, and all at the end. */
class Witness {
  readonly #connect: Connect;
  readonly #content = noise(HOSTILE_AT, 5);
  #checks = 0;

  constructor(connect: Connect) {
    this.#connect = connect;
  }

  async begin(): Promise<void> {
    const client = await this.#connect();
    await client.write(0, this.#content, nbd.CMD_FLAG_FUA);
    await client.disconnect();
  }

  /** A fresh client finds one block as it was, and replaces it. */
  async check(t: ExecutionContext, after: string): Promise<void> {
    const at = (this.#checks % (HOSTILE_AT / BLOCK)) * BLOCK;
    const next = noise(BLOCK, this.#checks);
    this.#checks += 1;
    const client = await this.#connect();
    const found = await client.read(at, BLOCK);
    if (!found.equals(this.#content.subarray(at, at + BLOCK))) t.fail(`data after ${after}`);
    await client.write(at, next);
    await client.disconnect();
    this.#content.set(next, at);
  }

  async end(t: ExecutionContext): Promise<void> {
    const client = await this.#connect();
    t.true((await client.read(0, HOSTILE_AT)).equals(this.#content));
    await client.disconnect();
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test.serial(
  'malformed input of every kind ends its own connection, and nothing else',
  async (t) => {
    t.timeout(600_000);
    const world = new StackWorld(t);
    await world.ok('create', 'tank', '--raid', 'raid1', ...world.files(2, DISK_BYTES));
    await world.export('tank');
    const pid = await world.serverPid('tank');
    const witness = new Witness(() => world.connect('tank'));
    await witness.begin();
    await witness.check(t, 'nothing');
    const sizeBytes = DISK_BYTES - MIB;
    const cases = malformedCases(sizeBytes);
    const before = residentMib(pid);
    let most = before;
    for (const { name, bytes } of cases) {
      const socket = createConnection({ path: world.path('run/tank.nbd'), allowHalfOpen: true });
      await t.notThrowsAsync(say(socket, bytes), name);
      await witness.check(t, name);
      most = Math.max(most, residentMib(pid));
    }
    await witness.end(t);
    t.log(
      `${cases.length} cases; resident ${before.toFixed(0)} MiB before, ${most.toFixed(0)} at most`,
    );
    t.true(cases.length >= 200);
    t.true(most - before < GROWN_MIB_MAX);
    t.is(await world.serverPid('tank'), pid);
    await world.ok('stop', 'tank');
  },
);

test.serial('clients that are silent, or never read, hold their own places only', async (t) => {
  t.timeout(120_000);
  const world = new StackWorld(t);
  await world.ok('create', 'tank', '--raid', 'raid1', ...world.files(2, DISK_BYTES));
  await world.export('tank');
  const pid = await world.serverPid('tank');
  const witness = new Witness(() => world.connect('tank'));
  await witness.begin();
  await witness.check(t, 'nothing');
  const before = residentMib(pid);
  const closed = new Set<Socket>();
  const open = async (bytes: Uint8Array): Promise<Socket> => {
    const socket = createConnection({ path: world.path('run/tank.nbd') });
    socket.on('error', () => {});
    socket.once('close', () => closed.add(socket));
    await once(socket, 'connect');
    socket.write(bytes);
    return socket;
  };
  const greedyRequests = Buffer.concat([
    ADMITTED,
    ...Array.from({ length: 500 }, () => requestHeader(nbd.CMD_READ, 0, 1n, 0, 4 * MIB)),
  ]);
  const greedy: Socket[] = [];
  for (let count = 0; count < 5; count += 1) greedy.push(await open(greedyRequests));
  for (let round = 0; round < 20; round += 1) await witness.check(t, 'greedy clients');

  // All places that are left, and one client more, which is closed at once.
  const others: Socket[] = [];
  for (let count = greedy.length; count <= CONNECTIONS_MAX; count += 1) {
    const socket = await open(ADMITTED);
    others.push(socket.resume());
  }
  await eventually('the client beyond the limit is closed', () => closed.has(others.at(-1)!));
  t.is(closed.size, 1);
  for (const socket of others) socket.end();
  await eventually('their places are free', () => closed.size === others.length);

  const silent: Socket[] = [];
  for (const bytes of ['', '\0\0', FLAGS, optionBytes(nbd.OPT_GO).subarray(0, 9)]) {
    for (let count = 0; count < 2; count += 1) {
      silent.push((await open(Buffer.from(bytes))).resume());
    }
  }
  for (let round = 0; round < 20; round += 1) await witness.check(t, 'silent clients');
  const allCut = (): boolean => silent.every((socket) => closed.has(socket));
  await eventually('the silent clients are cut off', allCut, 30);
  await witness.check(t, 'the end of silent clients');
  t.false(
    greedy.some((socket) => closed.has(socket)),
    'who is served is not cut off',
  );
  for (const socket of greedy) socket.destroy();
  await witness.end(t);
  const grown = residentMib(pid) - before;
  t.log(`the server has grown by ${grown.toFixed(0)} MiB`);
  t.true(grown < GROWN_MIB_MAX);
  await world.ok('stop', 'tank');
});

test.serial('rubbish before, in and after the begin of TLS harms nobody', async (t) => {
  t.timeout(300_000);
  const world = new StackWorld(t);
  await world.ok('create', 'tank', '--raid', 'raid1', ...world.files(2, DISK_BYTES));
  const key = noise(32, 8);
  const keys = makeKeys(world.path('keys'), { alice: key });
  const port = await freePort();
  await world.export('tank', '--nbd', `tcp:127.0.0.1:${port}`, '--tls-psk', keys);
  const pid = await world.serverPid('tank');
  const starttls = Buffer.concat([FLAGS, optionBytes(nbd.OPT_STARTTLS)]);

  /** A socket that has its answer to STARTTLS. */
  const begun = async (): Promise<Socket> => {
    const socket = createConnection({ host: '127.0.0.1', port, allowHalfOpen: true });
    socket.on('error', () => {});
    await once(socket, 'connect');
    socket.write(starttls);
    let bytes = 0;
    while (bytes < 18 + 20) {
      const [part] = (await once(socket, 'data')) as [Buffer];
      bytes += part.length;
    }
    return socket;
  };
  const secure = async (): Promise<TLSSocket> => {
    const socket = connect({
      socket: await begun(),
      ciphers: 'TLS_AES_128_GCM_SHA256:PSK',
      checkServerIdentity: () => undefined,
      pskCallback: () => ({ psk: key, identity: 'alice' }),
    });
    socket.on('error', () => {});
    await once(socket, 'secureConnect');
    return socket;
  };
  const witness = new Witness(async () => {
    const client = new NbdClient(await secure());
    await client.requestStructuredReplies();
    await client.go('tank');
    return client;
  });
  await witness.begin();
  await witness.check(t, 'nothing');
  const before = residentMib(pid);
  let most = before;
  const look = async (after: string): Promise<void> => {
    await witness.check(t, after);
    most = Math.max(most, residentMib(pid));
  };
  let count = 0;
  const cases = malformedCases(DISK_BYTES - MIB);
  // In plain text, where nothing but STARTTLS is answered.
  for (let index = 0; index < cases.length; index += 23) {
    const { name, bytes } = cases[index]!;
    const socket = createConnection({ host: '127.0.0.1', port, allowHalfOpen: true });
    await t.notThrowsAsync(say(socket, bytes), name);
    await look(`${name}, plain`);
    count += 1;
  }
  // Where a ClientHello is expected; its record says how long it is.
  const hello = Buffer.from('16030100c8010000c40303', 'hex');
  for (const bytes of [
    Buffer.alloc(4096),
    noise(4096, 9),
    Buffer.concat([hello, noise(500, 1)]),
    Buffer.concat([Buffer.from('1603010000', 'hex'), hello]),
    Buffer.concat([Buffer.from('15030100020228', 'hex')]),
    Buffer.concat([FLAGS, optionBytes(nbd.OPT_LIST)]),
  ]) {
    await t.notThrowsAsync(say(await begun(), bytes));
    await look('rubbish instead of a ClientHello');
    count += 1;
  }
  // Encrypted, as in plain text elsewhere.
  for (let index = 11; index < cases.length; index += 23) {
    const { name, bytes } = cases[index]!;
    const socket = await secure();
    // The client's flags were sent before.
    await t.notThrowsAsync(say(socket, bytes.subarray(4)), name);
    await look(`${name}, encrypted`);
    count += 1;
  }
  await witness.end(t);
  t.log(`${count} cases; resident ${before.toFixed(0)} MiB before, ${most.toFixed(0)} at most`);
  t.true(most - before < GROWN_MIB_MAX);
  await world.ok('stop', 'tank');
});
