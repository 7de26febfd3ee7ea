import test from 'ava';
import { OP_FLUSH, OP_READ, OP_WRITE } from '../../../src/block/block-io.ts';
import * as nbd from '../../../src/exporter/nbd/protocol.ts';
import type { FakePeer } from '../../_helpers/fake-ring.ts';
import { requestHeader } from '../../_helpers/nbd-client.ts';
import { NbdFixture, pattern } from '../../_helpers/nbd-fixture.ts';

const KIB = 1024;
const LENGTH = 128 * KIB;
const REPLY_BYTES = 16;

/** A peer in the transmission phase, with simple replies. */
function admitted(fixture: NbdFixture): FakePeer {
  const peer = fixture.peer();
  peer.write(Buffer.from([0, 0, 0, 3]));
  peer.write(Buffer.from('IHAVEOPT\0\0\0\x01\0\0\0\0', 'latin1'));
  fixture.ring.settle();
  peer.take();
  return peer;
}

/** A write of `length` bytes at `index` times that, with a payload of its own. */
function write(index: number, length = LENGTH): Buffer {
  const header = requestHeader(nbd.CMD_WRITE, 0, BigInt(index), index * length, length);
  return Buffer.concat([header, pattern(length, index)]);
}

function holds(fixture: NbdFixture, index: number, length = LENGTH): boolean {
  const at = index * length;
  return pattern(length, index).equals(fixture.device.bytes.subarray(at, at + length));
}

/** Cookie and NBD error of each simple reply. */
function replies(bytes: Buffer): [number, number][] {
  return Array.from({ length: bytes.length / REPLY_BYTES }, (_, index) => [
    bytes.readUInt32BE(index * REPLY_BYTES + 12),
    bytes.readUInt32BE(index * REPLY_BYTES + 4),
  ]);
}

function blocksWritten(fixture: NbdFixture): number[] {
  return fixture.device.log.filter((io) => io.op === OP_WRITE).map((io) => io.block);
}

test('what has arrived behind a payload is taken in the same turn, up to a limit', async (t) => {
  const fixture = await NbdFixture.start();
  const peer = admitted(fixture);
  for (let index = 0; index < 5; index += 1) peer.write(write(index));
  // The first fills the window: header and most of the payload. Its end is received in place.
  fixture.ring.turn();
  t.deepEqual(blocksWritten(fixture), []);
  fixture.ring.turn();
  t.deepEqual(blocksWritten(fixture), [0, 32, 64]);
  fixture.ring.settle();
  t.deepEqual(blocksWritten(fixture), [0, 32, 64, 96, 128]);
  t.deepEqual(
    replies(peer.take()),
    [0, 1, 2, 3, 4].map((cookie) => [cookie, 0]),
  );
  for (let index = 0; index < 5; index += 1) t.true(holds(fixture, index), `write ${index}`);
  peer.end();
  fixture.ring.settle();
  await fixture.stop(t);
});

test('a payload may be cut anywhere, with the next header glued to its end', async (t) => {
  const length = 40 * KIB;
  const whole = Buffer.concat([0, 1, 2].map((index) => write(index, length)));
  const one = whole.length / 3;
  const cuts = [1, 27, 28, 29, 4096, one - 1].flatMap((cut) => [cut, one + cut, 2 * one + cut]);
  const fixture = await NbdFixture.start();
  for (const cut of [one, ...cuts]) {
    fixture.device.bytes.fill(0);
    const peer = admitted(fixture);
    peer.write(whole.subarray(0, cut));
    fixture.ring.settle();
    peer.write(whole.subarray(cut));
    fixture.ring.settle();
    t.deepEqual(
      replies(peer.take()),
      [0, 1, 2].map((cookie) => [cookie, 0]),
      `cut at ${cut}`,
    );
    for (let index = 0; index < 3; index += 1) t.true(holds(fixture, index, length), `${cut}`);
    peer.end();
    fixture.ring.settle();
  }
  await fixture.stop(t);
});

test('other requests behind a payload reach the device after it', async (t) => {
  const fixture = await NbdFixture.start();
  const peer = admitted(fixture);
  peer.write(write(0));
  fixture.ring.turn();
  peer.write(requestHeader(nbd.CMD_FLUSH, 0, 1n, 0, 0));
  peer.write(write(2));
  peer.write(requestHeader(nbd.CMD_READ, 0, 3n, 0, 4096));
  fixture.ring.settle();
  t.deepEqual(
    fixture.device.log.map((io) => [io.op, io.block]),
    [
      [OP_WRITE, 0],
      [OP_FLUSH, 0],
      [OP_WRITE, 64],
      [OP_READ, 0],
    ],
  );
  const sent = peer.take();
  t.deepEqual(replies(sent.subarray(0, 64)), [
    [0, 0],
    [1, 0],
    [2, 0],
    [3, 0],
  ]);
  t.true(sent.subarray(64).equals(pattern(4096, 0)));
  peer.end();
  fixture.ring.settle();
  await fixture.stop(t);
});

test('nonsense behind a payload cuts the connection; the payload reaches the device', async (t) => {
  const fixture = await NbdFixture.start();
  const peer = admitted(fixture);
  peer.write(write(0));
  fixture.ring.turn();
  peer.write(write(1));
  peer.write(Buffer.alloc(28, 0x55));
  fixture.ring.settle();
  t.true(peer.serverClosed);
  t.deepEqual(fixture.closed, ['a request without its magic number']);
  t.is(peer.received.length, 0);
  t.true(holds(fixture, 0));
  t.true(holds(fixture, 1));
  await fixture.stop(t);
});

test('a refused write behind a payload is thrown away, and the next one served', async (t) => {
  const fixture = await NbdFixture.start();
  const peer = admitted(fixture);
  const beyond = 1000;
  for (const index of [0, 1, beyond, 3]) peer.write(write(index));
  fixture.ring.settle();
  // The refusal needs no device, so it may be first.
  t.deepEqual(
    replies(peer.take()).sort(([a], [b]) => a - b),
    [
      [0, 0],
      [1, 0],
      [3, 0],
      [beyond, nbd.NBD_ENOSPC],
    ],
  );
  for (const index of [0, 1, 3]) t.true(holds(fixture, index));
  t.deepEqual(blocksWritten(fixture), [0, 32, 96]);
  peer.write(requestHeader(nbd.CMD_DISC, 0, 0n, 0, 0));
  fixture.ring.settle();
  t.deepEqual(fixture.closed, [null]);
  await fixture.stop(t);
});

test('a client that leaves amid the second payload gets the reply to the first', async (t) => {
  for (const farewell of [requestHeader(nbd.CMD_DISC, 0, 0n, 0, 0), write(1).subarray(0, 70_000)]) {
    const fixture = await NbdFixture.start({ device: { delayUsMax: 50 } });
    const peer = admitted(fixture);
    peer.write(write(0));
    peer.write(farewell);
    peer.end();
    fixture.ring.pass(10_000);
    t.deepEqual(replies(peer.take()), [[0, 0]]);
    t.deepEqual(blocksWritten(fixture), [0]);
    t.true(peer.serverClosed);
    t.deepEqual(fixture.closed, [null]);
    await fixture.stop(t);
  }
});

test('a socket that breaks amid the second payload leaves the first with the device', async (t) => {
  const fixture = await NbdFixture.start({ device: { delayUsMax: 50 } });
  const peer = admitted(fixture);
  peer.write(write(0));
  peer.write(write(1).subarray(0, 70_000));
  fixture.ring.turn();
  fixture.ring.turn();
  peer.reset();
  fixture.ring.pass(10_000);
  t.true(peer.serverClosed);
  t.true(holds(fixture, 0));
  t.deepEqual(blocksWritten(fixture), [0]);
  await fixture.stop(t);
});

test('more payloads than there are buffers wait in the socket, and all are written', async (t) => {
  for (const fragment of [false, true]) {
    const fixture = await NbdFixture.start({ fragment, device: { delayUsMax: 500 } });
    const peer = admitted(fixture);
    for (let index = 0; index < 40; index += 1) peer.write(write(index));
    for (let turn = 0; turn < 20; turn += 1) fixture.ring.turn();
    t.true(peer.toServer.length > 0);
    t.true(fixture.device.inFlight > 0);
    fixture.ring.pass(100_000);
    const cookies = replies(peer.take()).map(([cookie]) => cookie);
    t.deepEqual(
      cookies.sort((a, b) => a - b),
      Array.from({ length: 40 }, (_, index) => index),
    );
    for (let index = 0; index < 40; index += 1) t.true(holds(fixture, index), `write ${index}`);
    peer.end();
    fixture.ring.settle();
    await fixture.stop(t);
  }
});

test('a socket that breaks right behind a payload is a lost client', async (t) => {
  const fixture = await NbdFixture.start();
  const peer = admitted(fixture);
  const { toServer } = peer;
  const take = toServer.takeInto.bind(toServer);
  toServer.takeInto = (target, at, bytes) => {
    take(target, at, bytes);
    if (toServer.length === 0) peer.reset();
  };
  peer.write(write(0));
  fixture.ring.settle();
  t.true(peer.serverClosed);
  t.deepEqual(fixture.closed, ['cannot receive: connection reset by the peer']);
  t.true(holds(fixture, 0));
  await fixture.stop(t);
});
