import test, { type ExecutionContext } from 'ava';
import { OP_READ, OP_TRIM, OP_WRITE } from '../../../src/block/block-io.ts';
import { OK } from '../../../src/block/status.ts';
import * as nbd from '../../../src/exporter/nbd/protocol.ts';
import { SimulatedReactor } from '../../../src/reactor/simulated-reactor.ts';
import type { NbdClient } from '../../_helpers/nbd-client.ts';
import { NbdFixture, pattern } from '../../_helpers/nbd-fixture.ts';

/** A client that has not promised to keep to blocks. */
const CARELESS = { blockSizes: false } as const;
const SEED = Number(process.env['BANDSTAND_SEED'] ?? 7);

test('any offset and length works for clients that know no block size', async (t) => {
  const fixture = await NbdFixture.start({ fragment: true });
  const client = await fixture.client(CARELESS);
  const model = Buffer.from(pattern(4096 * 4096, 9));
  fixture.device.bytes.set(model);
  const source = new SimulatedReactor({ seed: SEED });
  t.log(`BANDSTAND_SEED=${SEED}`);
  const edges = [0, 1, 511, 512, 4095, 4096, 4097, 32_768, 131_071, 131_072, 300_001];
  for (let round = 0; round < 300; round += 1) {
    const offset = edges[source.random() % edges.length]! + (source.random() % 3) * 4096;
    const length = 1 + edges[source.random() % edges.length]!;
    if (round % 3 === 0) {
      const data = pattern(length, round);
      data.copy(model, offset);
      await fixture.drive(client.write(offset, data));
    } else if (round % 3 === 1) {
      model.fill(0, offset, offset + length);
      await fixture.drive(client.zero(offset, length));
    }
    const read = await fixture.drive(client.read(offset, length));
    t.true(read.equals(model.subarray(offset, offset + length)), `${length} at ${offset}`);
  }
  t.true(model.equals(fixture.device.bytes));
  await fixture.stop(t);
});

test('a trim frees only the blocks that it covers whole', async (t) => {
  const fixture = await NbdFixture.start();
  const client = await fixture.client(CARELESS);
  fixture.device.bytes.fill(5);
  await fixture.drive(client.trim(100, 4096));
  t.is(fixture.device.log.length, 0);
  await fixture.drive(client.trim(100, 3 * 4096));
  t.deepEqual(fixture.device.log, [{ op: OP_TRIM, flags: 0, block: 1, blockCount: 2 }]);
  t.true(fixture.device.bytes.subarray(0, 4096).every((byte) => byte === 5));
  t.true(fixture.device.bytes.subarray(3 * 4096, 4 * 4096).every((byte) => byte === 5));
  await fixture.stop(t);
});

test('a partial zeroing is not fast, and says so', async (t) => {
  const fixture = await NbdFixture.start();
  const client = await fixture.client(CARELESS);
  t.is(await fixture.errorOf(client.zero(1, 8192, nbd.CMD_FLAG_FAST_ZERO)), nbd.NBD_ENOTSUP);
  t.is(await fixture.errorOf(client.zero(0, 8192, nbd.CMD_FLAG_FAST_ZERO)), 0);
  await fixture.stop(t);
});

test('a write inside one block reads it once', async (t) => {
  const fixture = await NbdFixture.start();
  const client = await fixture.client(CARELESS);
  await fixture.drive(client.write(4096 + 512, Buffer.alloc(512, 1)));
  t.deepEqual(
    fixture.device.log.map((io) => [io.op, io.block, io.blockCount]),
    [
      [OP_READ, 1, 1],
      [OP_WRITE, 1, 1],
    ],
  );
  await fixture.stop(t);
});

/**
 * Concurrent writers that own interleaved pieces of the same blocks. None overlaps another, so
 * every byte has to be what its owner wrote last, whatever the device does with the order.
 */
async function writersDoNotDisturbEachOther(t: ExecutionContext, seed: number): Promise<void> {
  const fixture = await NbdFixture.start({
    seed,
    fragment: seed % 2 === 0,
    device: { blockCount: 64, delayUsMax: 300 },
  });
  const clients: NbdClient[] = [];
  for (let index = 0; index < 3; index += 1) clients.push(await fixture.client(CARELESS));
  const model = Buffer.alloc(64 * 4096);
  const pending: Promise<void>[] = [];
  let at = 0;
  // Pieces from a few bytes to several blocks; sometimes a piece ends on a block.
  while (at < model.length) {
    const random = fixture.ring.random();
    const toBlock = 4096 - (at % 4096);
    const length = Math.min(
      model.length - at,
      random % 4 === 0 ? toBlock : 1 + ((random >>> 8) % (random % 3 === 0 ? 20_000 : 3000)),
    );
    pending.push(writeTwice(clients[random % 3]!, model, at, length, random));
    at += length;
  }
  await fixture.drive(Promise.all(pending));
  t.true(model.equals(fixture.device.bytes), `seed ${seed}`);
  await fixture.stop(t);
}

async function writeTwice(
  client: NbdClient,
  model: Buffer,
  at: number,
  length: number,
  random: number,
): Promise<void> {
  await client.write(at, Buffer.alloc(length, 0xee));
  if (random % 5 === 0) {
    await client.zero(at, length);
    return;
  }
  const data = pattern(length, random);
  data.copy(model, at);
  await client.write(at, data);
}

test('writers of parts of one block do not lose each other’s bytes', async (t) => {
  t.log(`BANDSTAND_SEED=${SEED}`);
  for (let seed = SEED; seed < SEED + 25; seed += 1) await writersDoNotDisturbEachOther(t, seed);
});

test('whole-block writes wait for nothing while no partial write is about', async (t) => {
  const fixture = await NbdFixture.start({ device: { delayUsMax: 100_000 } });
  const client = await fixture.client();
  let most = 0;
  fixture.device.fault = () => {
    most = Math.max(most, fixture.device.inFlight);
    return OK;
  };
  const writes = Array.from({ length: 50 }, () => client.write(0, Buffer.alloc(4096, 1)));
  await fixture.drive(Promise.all(writes));
  t.is(most, 50);
  await fixture.stop(t);
});
