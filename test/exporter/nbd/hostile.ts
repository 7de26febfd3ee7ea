import test from 'ava';
import { EIO, OK } from '../../../src/block/status.ts';
import * as nbd from '../../../src/exporter/nbd/protocol.ts';
import type { FakePeer } from '../../_helpers/fake-ring.ts';
import { contextQuery, infoQuery, NbdClient, requestHeader } from '../../_helpers/nbd-client.ts';
import { NbdFixture, pattern } from '../../_helpers/nbd-fixture.ts';

const SEED = Number(process.env['BANDSTAND_SEED'] ?? 42);

function option(number: number, data: Uint8Array = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(16);
  header.write('IHAVEOPT', 'latin1');
  header.writeUInt32BE(number, 8);
  header.writeUInt32BE(data.length, 12);
  return Buffer.concat([header, data]);
}

const CLIENT_FLAGS = Buffer.from([0, 0, 0, 3]);
const HELLO = Buffer.concat([CLIENT_FLAGS, option(nbd.OPT_EXPORT_NAME)]);

/** A peer in the transmission phase, with simple replies. */
function admitted(fixture: NbdFixture): FakePeer {
  const peer = fixture.peer();
  peer.write(HELLO);
  fixture.ring.settle();
  peer.take();
  return peer;
}

/** The export still serves a well-behaved client. */
async function stillServes(fixture: NbdFixture): Promise<boolean> {
  const client = await fixture.client();
  await fixture.drive(client.write(0, pattern(4096, 1)));
  const same = (await fixture.drive(client.read(0, 4096))).equals(pattern(4096, 1));
  await fixture.drive(client.disconnect());
  return same;
}

test('a request without its magic number ends that connection only', async (t) => {
  const fixture = await NbdFixture.start();
  const other = await fixture.client();
  const peer = admitted(fixture);
  peer.write(Buffer.alloc(28, 0x55));
  fixture.ring.settle();
  t.true(peer.serverClosed);
  t.deepEqual(fixture.closed, ['a request without its magic number']);
  await fixture.drive(other.flush());
  t.true(await stillServes(fixture));
  await fixture.stop(t);
});

test('a client may vanish at any byte of a session, and leaves nothing behind', async (t) => {
  const session = Buffer.concat([
    CLIENT_FLAGS,
    option(nbd.OPT_STRUCTURED_REPLY),
    option(nbd.OPT_SET_META_CONTEXT, contextQuery('', ['base:allocation'])),
    option(nbd.OPT_GO, infoQuery('', [])),
    requestHeader(nbd.CMD_READ, 0, 1n, 4096, 8192),
    requestHeader(nbd.CMD_WRITE, 0, 2n, 100, 600),
    pattern(600, 1),
    requestHeader(nbd.CMD_BLOCK_STATUS, 0, 3n, 0, 8192),
    requestHeader(nbd.CMD_FLUSH, 0, 4n, 0, 0),
    requestHeader(nbd.CMD_DISC, 0, 0n, 0, 0),
  ]);
  const fixture = await NbdFixture.start({ device: { delayUsMax: 20 } });
  for (const abrupt of [false, true]) {
    for (let bytes = 0; bytes <= session.length; bytes += 1) {
      const peer = fixture.peer();
      peer.write(session.subarray(0, bytes));
      if (bytes % 2 === 0) fixture.ring.settle();
      if (abrupt) peer.reset();
      else peer.end();
      fixture.ring.pass(1000);
      t.true(peer.serverClosed, `${bytes} bytes`);
    }
  }
  t.is(fixture.exporter.statistics.connections_open, 0);
  t.true(await stillServes(fixture));
  await fixture.stop(t);
});

test('a client may vanish at any point of a large write, received in place', async (t) => {
  const fixture = await NbdFixture.start({ fragment: true, device: { delayUsMax: 20 } });
  const length = 600_000;
  const request = Buffer.concat([
    requestHeader(nbd.CMD_WRITE, 0, 1n, 512, length),
    pattern(length, 2),
  ]);
  for (const bytes of [28, 29, 4096, 100_000, 130_587, 131_072, 300_000, length + 27]) {
    for (const abrupt of [false, true]) {
      const peer = admitted(fixture);
      peer.write(request.subarray(0, bytes));
      if (abrupt) fixture.ring.settle();
      if (abrupt) peer.reset();
      else peer.end();
      fixture.ring.pass(10_000);
      t.true(peer.serverClosed);
      t.is(peer.received.length, 0, 'a write that was not sent whole is not answered');
    }
  }
  t.true(await stillServes(fixture));
  await fixture.stop(t);
});

test('what was in flight when the client left still reaches the device', async (t) => {
  const fixture = await NbdFixture.start({ device: { delayUsMax: 5000 } });
  const peer = admitted(fixture);
  for (let index = 0; index < 100; index += 1) {
    peer.write(requestHeader(nbd.CMD_WRITE, 0, BigInt(index), index * 4096, 4096));
    peer.write(pattern(4096, index));
  }
  fixture.ring.turn();
  fixture.ring.turn();
  fixture.ring.turn();
  t.true(fixture.device.inFlight > 0);
  const taken = fixture.device.log.length;
  peer.reset();
  fixture.ring.pass(100_000);
  t.is(fixture.exporter.statistics.connections_open, 0);
  for (let index = 0; index < taken; index += 1) {
    const block = fixture.device.bytes.subarray(index * 4096, (index + 1) * 4096);
    t.true(pattern(4096, index).equals(block), `block ${index}`);
  }
  await fixture.stop(t);
});

test('a client that does not read its replies holds its own share of memory only', async (t) => {
  const fixture = await NbdFixture.start();
  const slow = admitted(fixture);
  slow.capacity = 10_000;
  const free = fixture.ring.arena.freeBytes;
  for (let index = 0; index < 5000; index += 1) {
    slow.write(requestHeader(nbd.CMD_READ, 0, BigInt(index), 0, 4096));
  }
  fixture.ring.settle();
  t.is(fixture.ring.arena.freeBytes, free);
  t.true(slow.toServer.length > 0, 'the rest of its requests stays in the socket');
  t.true(fixture.device.log.length <= 200);
  t.true(await stillServes(fixture));
  let taken = 0;
  while (taken < 5000 * 4112) {
    const bytes = slow.take().length;
    t.true(bytes > 0);
    taken += bytes;
    fixture.ring.settle();
  }
  t.is(taken, 5000 * 4112);
  await fixture.stop(t);
});

test('the handshake has a time limit, and a byte now and then does not extend it', async (t) => {
  const fixture = await NbdFixture.start({ exporter: { handshakeTimeoutMs: 1000 } });
  const silent = fixture.peer();
  const trickling = fixture.peer();
  for (let tenth = 0; tenth < 9; tenth += 1) {
    trickling.write(Buffer.from([tenth < 3 ? 0 : 3]));
    fixture.ring.pass(100_000);
    t.false(silent.serverClosed);
  }
  fixture.ring.pass(200_000);
  t.true(silent.serverClosed);
  t.true(trickling.serverClosed);
  t.deepEqual(new Set(fixture.closed), new Set(['the handshake took too long']));
  const idle = admitted(fixture);
  fixture.ring.pass(3_600_000_000);
  t.false(idle.serverClosed, 'there is no time limit after the handshake');
  await fixture.stop(t);
});

test('a client beyond the limit is closed at once, and a slot is used again', async (t) => {
  const fixture = await NbdFixture.start({ exporter: { maxConnections: 2 } });
  const first = admitted(fixture);
  const second = admitted(fixture);
  const third = fixture.peer();
  fixture.ring.settle();
  t.true(third.serverClosed);
  t.deepEqual(fixture.refused, ['there are 2 connections already']);
  t.false(first.serverClosed || second.serverClosed);
  const free = fixture.ring.arena.freeBytes;
  for (let round = 0; round < 20; round += 1) {
    first.end();
    fixture.ring.settle();
    const next = admitted(fixture);
    t.false(next.serverClosed);
    next.end();
    fixture.ring.settle();
  }
  t.is(fixture.ring.arena.freeBytes, free);
  await fixture.stop(t);
});

test('a client for whom there is no memory is refused, with the reason', async (t) => {
  const fixture = await NbdFixture.start({ arenaBytes: 5 * 2 ** 20 });
  const peers = [fixture.peer(), fixture.peer(), fixture.peer()];
  fixture.ring.settle();
  t.false(peers[0]!.serverClosed);
  t.true(peers[2]!.serverClosed);
  t.regex(fixture.refused[0] ?? '', /cannot reserve/);
  await fixture.stop(t);
});

test('an export without memory for one client does not start, and leaves nothing', async (t) => {
  await t.throwsAsync(NbdFixture.start({ arenaBytes: 2 ** 20 }), {
    code: 'BANDSTAND_ARENA_FULL',
  });
});

test('accepting goes on after it has failed', async (t) => {
  const fixture = await NbdFixture.start();
  fixture.ring.acceptFailures = [-24, -24];
  fixture.ring.settle();
  const peer = fixture.peer();
  fixture.ring.pass(1_000_000);
  peer.write(HELLO);
  fixture.ring.settle();
  t.true(peer.received.length > 0);
  t.is(fixture.exporter.statistics.connections_refused, 2);
  await fixture.stop(t);
});

test('stop answers what is in flight, and closes every connection', async (t) => {
  const fixture = await NbdFixture.start({ device: { delayUsMax: 2000 } });
  const client = await fixture.client();
  const greeting = fixture.peer();
  const reads = Array.from({ length: 60 }, (_, index) => client.read(index * 4096, 4096));
  await new Promise((resolve) => setImmediate(resolve));
  fixture.ring.turn();
  fixture.ring.turn();
  t.true(fixture.device.inFlight > 0);
  const stopping = fixture.drive(fixture.exporter.stop());
  const outcomes = await Promise.allSettled(reads);
  await stopping;
  t.true(outcomes.filter((outcome) => outcome.status === 'fulfilled').length >= 1);
  t.is(
    outcomes.filter((outcome) => outcome.status === 'fulfilled').length,
    fixture.device.log.length,
  );
  t.true(greeting.serverClosed);
  await fixture.drive(fixture.exporter.stop());
  await fixture.stop(t);
});

test('stop does not wait for ever for a client that takes nothing', async (t) => {
  const fixture = await NbdFixture.start({ exporter: { finishTimeoutMs: 2000 } });
  const peer = admitted(fixture);
  peer.capacity = 10;
  for (let index = 0; index < 50; index += 1) {
    peer.write(requestHeader(nbd.CMD_READ, 0, BigInt(index), 0, 4096));
  }
  fixture.ring.settle();
  const before = fixture.ring.nowUs();
  await fixture.stop(t);
  t.is(fixture.ring.nowUs() - before, 2_000_000);
  t.regex(fixture.closed[0] ?? '', /did not take its last replies/);
});

test('a client that closes its side gets the replies to what it has sent', async (t) => {
  const fixture = await NbdFixture.start({ device: { delayUsMax: 500 } });
  const peer = admitted(fixture);
  for (let index = 0; index < 40; index += 1) {
    peer.write(requestHeader(nbd.CMD_READ, 0, BigInt(index), 0, 4096));
  }
  peer.end();
  fixture.ring.pass(1_000_000);
  t.is(peer.received.length, 40 * 4112);
  t.true(peer.serverClosed);
  await fixture.stop(t);
});

test('random bytes in the transmission phase harm nobody else', async (t) => {
  t.log(`BANDSTAND_SEED=${SEED}`);
  const fixture = await NbdFixture.start({
    seed: SEED,
    fragment: true,
    device: { delayUsMax: 100 },
  });
  fixture.device.fault = () => (fixture.ring.random() % 10 === 0 ? EIO : OK);
  const { ring } = fixture;
  for (let round = 0; round < 400; round += 1) {
    const peer = admitted(fixture);
    for (let count = 1 + (ring.random() % 20); count > 0; count -= 1) {
      const type = ring.random() % 9;
      const length = [0, 1, 512, 4096, 40_000, 300_000, 5_000_000, 0xffff_ffff][ring.random() % 8]!;
      const offset = (ring.random() % 4200) * 4096 + (ring.random() % 3) * 100;
      const header = requestHeader(type, ring.random() % 32, BigInt(count), offset, length);
      if (ring.random() % 8 === 0) header[ring.random() % 28] = ring.random() & 0xff;
      peer.write(header);
      if (type === nbd.CMD_WRITE) {
        const sent = ring.random() % 3 === 0 ? ring.random() % 50_000 : Math.min(length, 400_000);
        peer.write(Buffer.alloc(sent, round));
      }
    }
    peer.capacity = 10_000 + (ring.random() % 10_000_000);
    ring.pass(ring.random() % 3000);
    if (ring.random() % 2 === 0) peer.reset();
    else peer.end();
    peer.capacity = 2 ** 30;
    ring.pass(10_000_000);
    t.true(peer.serverClosed, `round ${round}`);
  }
  t.is(fixture.exporter.statistics.connections_open, 0);
  fixture.device.fault = () => OK;
  t.true(await stillServes(fixture));
  await fixture.stop(t);
});

test('a client that does not read its option replies is not served more options', async (t) => {
  const fixture = await NbdFixture.start({ exporter: { handshakeTimeoutMs: 1000 } });
  const peer = fixture.peer();
  peer.capacity = 30;
  peer.write(CLIENT_FLAGS);
  for (let index = 0; index < 100; index += 1) peer.write(option(nbd.OPT_LIST));
  fixture.ring.settle();
  t.true(peer.received.length <= 30);
  fixture.ring.pass(2_000_000);
  t.true(peer.serverClosed);
  await fixture.stop(t);
});

test('a client may say ABORT and not stay for the answer', async (t) => {
  const fixture = await NbdFixture.start();
  const peer = fixture.peer();
  peer.write(CLIENT_FLAGS);
  fixture.ring.settle();
  peer.write(option(nbd.OPT_ABORT));
  fixture.ring.turn();
  peer.reset();
  fixture.ring.settle();
  t.deepEqual(fixture.closed, [null]);
  await fixture.stop(t);
});

test('requests may follow GO without waiting for its answer', async (t) => {
  const fixture = await NbdFixture.start();
  const peer = fixture.peer();
  peer.write(
    Buffer.concat([HELLO, requestHeader(nbd.CMD_WRITE, 0, 1n, 0, 4096), pattern(4096, 8)]),
  );
  fixture.ring.settle();
  t.is(peer.take().length, 18 + 10 + 16);
  t.true(pattern(4096, 8).equals(fixture.device.bytes.subarray(0, 4096)));
  const client = new NbdClient(fixture.peer().stream());
  await fixture.drive(client.greet());
  t.deepEqual(await fixture.drive(client.list()), [
    { name: 'disk', description: 'a disk for tests' },
  ]);
  client.destroy();
  await fixture.stop(t);
});

test('sixteen connections find room in 50 MiB', async (t) => {
  const fixture = await NbdFixture.start({ arenaBytes: 50 * 2 ** 20 });
  const peers = Array.from({ length: 17 }, () => admitted(fixture));
  t.is(fixture.exporter.statistics.connections_open, 16);
  t.deepEqual(fixture.refused, ['there are 16 connections already']);
  for (const peer of peers) peer.end();
  fixture.ring.settle();
  await fixture.stop(t);
});
