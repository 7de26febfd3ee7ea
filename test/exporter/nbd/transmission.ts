import ava, { type ExecutionContext } from 'ava';
import {
  FEATURE_READ_ONLY,
  FEATURE_TRIM,
  FEATURE_WRITE_ZEROES,
} from '../../../src/block/block-device.ts';
import {
  FLAG_FUA,
  FLAG_NOUNMAP,
  OP_FLUSH,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
  OP_WRITE_ZEROES,
} from '../../../src/block/block-io.ts';
import { EILSEQ, EIO, ENOSPC, OK } from '../../../src/block/status.ts';
import * as nbd from '../../../src/exporter/nbd/protocol.ts';
import type { NbdClient } from '../../_helpers/nbd-client.ts';
import { NbdFixture, type NbdFixtureOptions, pattern } from '../../_helpers/nbd-fixture.ts';
import type { RamOptions } from '../../_helpers/ram-device.ts';
import { sameBytes } from '../../_helpers/same-bytes.ts';

const MIB = 2 ** 20;
/** One after another: side by side they would hold, and touch, gigabytes of fresh memory. */
const test = ava.serial;

async function withFixture(
  t: ExecutionContext,
  options: NbdFixtureOptions,
  body: (fixture: NbdFixture) => Promise<void>,
): Promise<void> {
  const fixture = await NbdFixture.start(options);
  await body(fixture);
  await fixture.stop(t);
}

/** Of the largest requests, which one test after another is given on one large disk. */
const LARGEST = pattern(32 * MIB, 3);
const LONGER = Buffer.alloc(32 * MIB + 4096);
const LARGEST_READ = Buffer.alloc(32 * MIB);
const LARGE_DISK = { blockCount: 9000, bytes: new Uint8Array(9000 * 4096) };

/** Every way to ask: simple or structured replies, block sizes asked for or not. */
const DIALECTS = [
  { structuredReplies: true, blockSizes: true },
  { structuredReplies: true, blockSizes: false },
  { structuredReplies: false, blockSizes: true },
  { structuredReplies: false, exportNameOption: true },
] as const;

for (const dialect of DIALECTS) {
  const name = Object.entries(dialect)
    .map(([key, value]) => `${key} ${value}`)
    .join(', ');

  test(`what is written is read back (${name})`, async (t) => {
    await withFixture(t, { fragment: true, device: { delayUsMax: 50 } }, async (fixture) => {
      const client = await fixture.client(dialect);
      t.is(client.sizeBytes, 4096 * 4096);
      for (const [offset, length] of [
        [0, 4096],
        [8192, 32_768],
        [65_536, 36_864],
        [MIB, MIB],
        [4 * MIB, 4096 * 257],
        [16 * MIB - 4096, 4096],
      ] as const) {
        const data = pattern(length, offset / 4096);
        await fixture.drive(client.write(offset, data));
        sameBytes(t, fixture.device.bytes.subarray(offset, offset + length), data);
        sameBytes(t, await fixture.drive(client.read(offset, length)), data);
      }
      await fixture.drive(client.flush());
      await fixture.drive(client.disconnect());
      t.deepEqual(fixture.closed, [null]);
    });
  });

  test(`the largest request is served, and a longer one refused (${name})`, async (t) => {
    const device = LARGE_DISK;
    device.bytes.fill(0);
    await withFixture(t, { device, arenaBytes: 16 * MIB }, async (fixture) => {
      const client = await fixture.client(dialect);
      await fixture.drive(client.write(4096, LARGEST));
      LARGEST_READ.fill(0);
      t.true((await fixture.drive(client.readInto(LARGEST_READ, 4096))).equals(LARGEST));
      t.is(await fixture.errorOf(client.read(0, 32 * MIB + 4096)), nbd.NBD_EINVAL);
      t.is(await fixture.errorOf(client.write(0, LONGER)), nbd.NBD_EINVAL);
      t.true((await fixture.drive(client.read(4096, 4096))).equals(LARGEST.subarray(0, 4096)));
    });
  });
}

test('a device that takes little at once is given little at once', async (t) => {
  const device: Partial<RamOptions> = { delayUsMax: 20, geometry: { requestBlocksMax: 3 } };
  for (const dialect of DIALECTS) {
    await withFixture(t, { device, fragment: true }, async (fixture) => {
      const client = await fixture.client(dialect);
      const data = pattern(80 * 4096, 1);
      await fixture.drive(client.write(4096, data));
      t.true((await fixture.drive(client.read(4096, data.length))).equals(data));
      t.true(fixture.device.log.every((io) => io.op === OP_FLUSH || io.blockCount <= 3));
    });
  }
});

test('requests that break the rules are refused, and the connection goes on', async (t) => {
  await withFixture(t, { fragment: true }, async (fixture) => {
    const client = await fixture.client();
    const size = client.sizeBytes;
    const block = Buffer.alloc(4096, 7);
    const cases: [string, number, Promise<unknown>][] = [
      ['read beyond the end', nbd.NBD_EINVAL, client.read(size, 4096)],
      ['read across the end', nbd.NBD_EINVAL, client.read(size - 4096, 8192)],
      ['read near 2^64', nbd.NBD_EINVAL, client.read(2 ** 63, 4096)],
      ['write beyond the end', nbd.NBD_ENOSPC, client.write(size, block)],
      ['write across the end', nbd.NBD_ENOSPC, client.write(size - 4096, Buffer.alloc(8192))],
      ['zeroes beyond the end', nbd.NBD_ENOSPC, client.zero(size, 4096)],
      ['trim beyond the end', nbd.NBD_EINVAL, client.trim(size, 4096)],
      ['cache beyond the end', nbd.NBD_EINVAL, client.cache(size, 4096)],
      ['status beyond the end', nbd.NBD_EINVAL, client.blockStatus(size, 4096)],
      ['status of nothing', nbd.NBD_EINVAL, client.blockStatus(0, 0)],
      ['unaligned read', nbd.NBD_EINVAL, client.read(512, 4096)],
      ['unaligned write', nbd.NBD_EINVAL, client.write(0, Buffer.alloc(100))],
      ['unaligned trim', nbd.NBD_EINVAL, client.trim(0, 100)],
      ['unaligned zeroes', nbd.NBD_EINVAL, client.zero(100, 4096)],
      ['unknown command', nbd.NBD_EINVAL, client.request(8, 0, 0, 0)],
      ['unknown command', nbd.NBD_EINVAL, client.request(0xffff, 0, 0, 0)],
      ['unknown flag', nbd.NBD_EINVAL, client.read(0, 4096, 0x8000)],
      ['foreign flag', nbd.NBD_EINVAL, client.write(0, block, nbd.CMD_FLAG_NO_HOLE)],
      ['foreign flag', nbd.NBD_EINVAL, client.read(0, 4096, nbd.CMD_FLAG_REQ_ONE)],
      ['flush of a range', nbd.NBD_EINVAL, client.request(nbd.CMD_FLUSH, 0, 4096, 4096)],
      ['long DF read', nbd.NBD_EOVERFLOW, client.read(0, MIB, nbd.CMD_FLAG_DF)],
    ];
    for (const [what, error, request] of cases) t.is(await fixture.errorOf(request), error, what);
    sameBytes(t, fixture.device.bytes, Buffer.alloc(size));
    t.is(fixture.device.log.length, 0);
    t.is(await fixture.errorOf(client.read(0, 4096)), 0);
  });
});

test('BLOCK_STATUS needs the context, and DF needs structured replies', async (t) => {
  await withFixture(t, {}, async (fixture) => {
    const plain = await fixture.client({ allocationContext: false });
    t.is(await fixture.errorOf(plain.blockStatus(0, 4096)), nbd.NBD_EINVAL);
    const simple = await fixture.client({ structuredReplies: false });
    t.is(await fixture.errorOf(simple.blockStatus(0, 4096)), nbd.NBD_EINVAL);
    t.is(await fixture.errorOf(simple.read(0, 4096, nbd.CMD_FLAG_DF)), nbd.NBD_EINVAL);
  });
});

test('a device without a map is reported as allocated, in one extent', async (t) => {
  await withFixture(t, {}, async (fixture) => {
    const client = await fixture.client();
    for (const flags of [0, nbd.CMD_FLAG_REQ_ONE]) {
      t.deepEqual(await fixture.drive(client.blockStatus(4096, 8 * MIB, flags)), [
        { length: 8 * MIB, flags: 0 },
      ]);
    }
  });
});

test('a device with a map is reported as it says, to the byte', async (t) => {
  // Three blocks of data, two of nothing, and so on.
  const allocationAt = (block: number, blockCount: number): number => {
    const within = block % 5;
    return within < 3 ? Math.min(3 - within, blockCount) : -Math.min(5 - within, blockCount);
  };
  const data = 0;
  const hole = nbd.STATE_HOLE | nbd.STATE_ZERO;
  await withFixture(t, { device: { allocationAt } }, async (fixture) => {
    const client = await fixture.client({ blockSizes: false });
    const ask = (offset: number, length: number, flags = 0) =>
      fixture.drive(client.blockStatus(offset, length, flags));
    t.deepEqual(await ask(0, 5 * 4096), [
      { length: 3 * 4096, flags: data },
      { length: 2 * 4096, flags: hole },
    ]);
    t.deepEqual(await ask(0, 5 * 4096, nbd.CMD_FLAG_REQ_ONE), [{ length: 3 * 4096, flags: data }]);
    t.deepEqual(await ask(2 * 4096 + 4000, 4096), [
      { length: 96, flags: data },
      { length: 4000, flags: hole },
    ]);
    t.deepEqual(await ask(4095, 1), [{ length: 1, flags: data }]);
    // An answer has an end, and the next one begins there.
    const many = await ask(0, 4096 * 4096);
    t.is(many.length, 500);
    t.is(
      many.reduce((sum, { length }) => sum + length, 0),
      250 * 5 * 4096,
    );
    t.deepEqual(await ask(250 * 5 * 4096, 4096), [{ length: 4096, flags: data }]);
  });
});

test('no answer about the map looks at more than 65536 blocks', async (t) => {
  const counts: number[] = [];
  const allocationAt = (_block: number, blockCount: number): number => {
    counts.push(blockCount);
    return -blockCount;
  };
  const device = { allocationAt, blockCount: 100_000, blockBytes: 512 };
  await withFixture(t, { device }, async (fixture) => {
    const client = await fixture.client();
    const found = await fixture.drive(client.blockStatus(0, 100_000 * 512));
    t.deepEqual(found, [{ length: 65_536 * 512, flags: nbd.STATE_HOLE | nbd.STATE_ZERO }]);
    t.deepEqual(counts, [65_536]);
  });
});

test('requests without length succeed and do nothing', async (t) => {
  for (const dialect of DIALECTS) {
    await withFixture(t, {}, async (fixture) => {
      const client = await fixture.client(dialect);
      t.is((await fixture.drive(client.read(0, 0))).length, 0);
      await fixture.drive(client.write(4096, Buffer.alloc(0)));
      await fixture.drive(client.trim(0, 0));
      await fixture.drive(client.zero(0, 0));
      t.is(fixture.device.log.length, 0);
    });
  }
});

test('reads with DF come in one chunk, longer ones in as many as there are segments', async (t) => {
  await withFixture(t, { device: { delayUsMax: 100 } }, async (fixture) => {
    const client = await fixture.client();
    const whole = client.request(nbd.CMD_READ, nbd.CMD_FLAG_DF, 4096, 65_536);
    t.is((await fixture.drive(whole)).chunks.length, 1);
    const parts = (await fixture.drive(client.request(nbd.CMD_READ, 0, 0, MIB))).chunks;
    t.is(parts.length, 8);
    t.is(
      parts.reduce((sum, chunk) => sum + chunk.length, 0),
      MIB,
    );
  });
});

test('replies come in order of completion, each to its own request', async (t) => {
  await withFixture(t, { device: { delayUsMax: 500 }, fragment: true }, async (fixture) => {
    const client = await fixture.client();
    const order: number[] = [];
    const writes = Array.from({ length: 300 }, (_, index) =>
      client.write(index * 4096, pattern(4096, index)).then(() => order.push(index)),
    );
    await fixture.drive(Promise.all(writes));
    t.is(order.length, 300);
    t.notDeepEqual(
      order,
      [...order].sort((a, b) => a - b),
    );
    const reads = Array.from({ length: 300 }, (_, index) => client.read(index * 4096, 4096));
    for (const [index, data] of (await fixture.drive(Promise.all(reads))).entries()) {
      t.true(data.equals(pattern(4096, index)), `block ${index}`);
    }
  });
});

test('a cookie comes back as it was sent, even when it is used twice at once', async (t) => {
  await withFixture(t, {}, async (fixture) => {
    const client = await fixture.client();
    for (const cookie of [0n, 1n, 0xffff_ffff_ffff_ffffn, 0x8000_0000_0000_0001n]) {
      await fixture.drive(client.request(nbd.CMD_READ, 0, 0, 4096, undefined, cookie));
    }
    const peer = fixture.peer();
    const setUp = Buffer.concat([
      Buffer.from([0, 0, 0, 3]),
      Buffer.from('IHAVEOPT\0\0\0\x01\0\0\0\0', 'latin1'),
    ]);
    peer.write(setUp);
    fixture.ring.settle();
    peer.take();
    const flush = Buffer.alloc(28);
    flush.writeUInt32BE(nbd.REQUEST_MAGIC, 0);
    flush.writeUInt16BE(nbd.CMD_FLUSH, 6);
    flush.write('same', 8, 'latin1');
    peer.write(Buffer.concat([flush, flush, flush]));
    fixture.ring.settle();
    const replies = peer.take();
    t.is(replies.length, 48);
    for (const at of [0, 16, 32]) t.is(replies.toString('latin1', at + 8, at + 12), 'same');
    peer.end();
  });
});

test('FUA is passed on where the device has it', async (t) => {
  await withFixture(t, {}, async (fixture) => {
    const client = await fixture.client();
    await fixture.drive(client.write(0, Buffer.alloc(4096), nbd.CMD_FLAG_FUA));
    await fixture.drive(client.trim(0, 4096, nbd.CMD_FLAG_FUA));
    await fixture.drive(client.zero(0, 4096, nbd.CMD_FLAG_FUA));
    await fixture.drive(client.write(0, Buffer.alloc(MIB), nbd.CMD_FLAG_FUA));
    await fixture.drive(client.read(0, 4096, nbd.CMD_FLAG_FUA));
    const writing = fixture.device.log.filter((io) => io.op !== OP_READ);
    t.is(writing.length, 11);
    t.true(writing.every((io) => io.flags === FLAG_FUA));
    t.is(fixture.device.log.at(-1)!.flags, 0);
  });
});

test('FUA is a flush after the last write where the device does not have it', async (t) => {
  const device = { geometry: { features: FEATURE_TRIM | FEATURE_WRITE_ZEROES } };
  await withFixture(t, { device }, async (fixture) => {
    const client = await fixture.client();
    await fixture.drive(client.write(0, Buffer.alloc(4096), nbd.CMD_FLAG_FUA));
    await fixture.drive(client.trim(0, 4096, nbd.CMD_FLAG_FUA));
    await fixture.drive(client.zero(0, 4096, nbd.CMD_FLAG_FUA));
    await fixture.drive(client.write(0, Buffer.alloc(MIB), nbd.CMD_FLAG_FUA));
    t.deepEqual(
      fixture.device.log.map((io) => io.op),
      [
        OP_WRITE,
        OP_FLUSH,
        OP_TRIM,
        OP_FLUSH,
        OP_WRITE_ZEROES,
        OP_FLUSH,
        ...new Array<number>(8).fill(OP_WRITE),
        OP_FLUSH,
      ],
    );
  });
});

test('NO_HOLE keeps blocks allocated', async (t) => {
  await withFixture(t, {}, async (fixture) => {
    const client = await fixture.client();
    await fixture.drive(client.zero(0, MIB));
    await fixture.drive(client.zero(0, MIB, nbd.CMD_FLAG_NO_HOLE | nbd.CMD_FLAG_FAST_ZERO));
    t.deepEqual(
      fixture.device.log.map((io) => io.flags),
      [0, FLAG_NOUNMAP],
    );
  });
});

test('zeroes are written where the device cannot make them, which is not fast', async (t) => {
  const device = { geometry: { features: 0, requestBlocksMax: 16 } };
  await withFixture(t, { device }, async (fixture) => {
    const client = await fixture.client();
    fixture.device.bytes.fill(9);
    await fixture.drive(client.zero(8192, MIB, nbd.CMD_FLAG_FUA));
    sameBytes(t, fixture.device.bytes.subarray(8192, 8192 + MIB), Buffer.alloc(MIB));
    t.is(fixture.device.bytes[8191], 9);
    t.is(fixture.device.bytes[8192 + MIB], 9);
    t.is(fixture.device.log.at(-1)!.op, OP_FLUSH);
    const fast = client.zero(0, 4096, nbd.CMD_FLAG_FAST_ZERO);
    t.is(await fixture.errorOf(fast), nbd.NBD_ENOTSUP);
  });
});

test('a read-only export refuses everything that writes', async (t) => {
  for (const options of [
    { exporter: { readOnly: true } },
    { device: { geometry: { features: FEATURE_READ_ONLY } } },
  ]) {
    await withFixture(t, options, async (fixture) => {
      t.true(fixture.exporter.describe().read_only);
      const client = await fixture.client();
      t.not(client.transmissionFlags & nbd.TRANSMIT_READ_ONLY, 0);
      t.is(await fixture.errorOf(client.write(0, Buffer.alloc(65_536))), nbd.NBD_EPERM);
      t.is(await fixture.errorOf(client.trim(0, 4096)), nbd.NBD_EPERM);
      t.is(await fixture.errorOf(client.zero(0, 4096)), nbd.NBD_EPERM);
      t.is(await fixture.errorOf(client.read(0, 4096)), 0);
      t.is(await fixture.errorOf(client.flush()), 0);
    });
  }
});

test('errors of the device reach the client, also amid a large request', async (t) => {
  const bad = 300;
  for (const dialect of DIALECTS) {
    await withFixture(t, { device: { delayUsMax: 30 } }, async (fixture) => {
      const client = await fixture.client(dialect);
      const faults = new Map([
        [OP_READ, EILSEQ],
        [OP_WRITE, ENOSPC],
        [OP_FLUSH, EIO],
      ] as const);
      fixture.device.fault = (io) =>
        io.op === OP_FLUSH || (io.block <= bad && bad < io.block + io.blockCount)
          ? (faults.get(io.op as 0 | 1 | 2) ?? OK)
          : OK;
      t.is(await fixture.errorOf(client.read(bad * 4096, 4096)), nbd.NBD_EIO);
      t.is(await fixture.errorOf(client.read(MIB, MIB)), nbd.NBD_EIO);
      t.is(await fixture.errorOf(client.write(bad * 4096, Buffer.alloc(4096))), nbd.NBD_ENOSPC);
      t.is(await fixture.errorOf(client.write(0, Buffer.alloc(3 * MIB))), nbd.NBD_ENOSPC);
      t.is(await fixture.errorOf(client.flush()), nbd.NBD_EIO);
      t.is(await fixture.errorOf(client.read(0, 4096)), 0);
      t.is(await fixture.errorOf(client.read(2 * MIB, 3 * MIB)), 0);
    });
  }
});

test('a simple read that fails amid its reply ends the connection', async (t) => {
  const device = LARGE_DISK;
  await withFixture(t, { device, arenaBytes: 16 * MIB }, async (fixture) => {
    fixture.device.fault = (io) => (io.op === OP_READ && io.block > 7000 ? EIO : OK);
    const client = await fixture.client({ structuredReplies: false });
    await t.throwsAsync(fixture.drive(client.read(0, 32 * MIB)), { message: /closed/ });
    await fixture.drive(client.closed);
    fixture.ring.settle();
    t.regex(fixture.closed[0] ?? '', /failed after its reply had begun/);
    const early = await fixture.client({ structuredReplies: false });
    fixture.device.fault = (io) => (io.op === OP_READ && io.block < 10 ? EIO : OK);
    t.is(await fixture.errorOf(early.read(0, 32 * MIB)), nbd.NBD_EIO);
  });
});

test('other replies do not fall into one that is sent piece by piece', async (t) => {
  const device = { ...LARGE_DISK, delayUsMax: 200 };
  await withFixture(t, { device, arenaBytes: 16 * MIB }, async (fixture) => {
    const data = LARGEST;
    fixture.device.bytes.set(data);
    const client = await fixture.client({ structuredReplies: false });
    const all = [
      ...Array.from({ length: 20 }, (_, index) => client.read(index * MIB, 4096)),
      client.read(2 * MIB, 3 * MIB),
      client.readInto(LARGEST_READ, 0),
      ...Array.from({ length: 20 }, (_, index) => client.read(index * MIB, 8192)),
      client.read(MIB, 30 * MIB),
    ];
    const replies = await fixture.drive(Promise.all(all));
    for (const index of [0, 7, 19]) {
      t.true(replies[index]!.equals(data.subarray(index * MIB, index * MIB + 4096)));
    }
    t.true(replies[20]!.equals(data.subarray(2 * MIB, 5 * MIB)));
    t.true(replies[21]!.equals(data));
    t.true(replies[42]!.equals(data.subarray(MIB, 31 * MIB)));
  });
});

test('several connections see one disk, and a flush covers the writes of all', async (t) => {
  await withFixture(t, {}, async (fixture) => {
    const clients: NbdClient[] = [];
    for (let index = 0; index < 4; index += 1) clients.push(await fixture.client());
    t.not(clients[0]!.transmissionFlags & nbd.TRANSMIT_MULTI_CONN, 0);
    await fixture.drive(
      Promise.all(clients.map((client, index) => client.write(index * 4096, pattern(4096, index)))),
    );
    await fixture.drive(clients[3]!.flush());
    t.deepEqual(
      fixture.device.log.map((io) => io.op),
      [OP_WRITE, OP_WRITE, OP_WRITE, OP_WRITE, OP_FLUSH],
    );
    for (const [index, client] of clients.entries()) {
      const other = (index + 1) % 4;
      t.true((await fixture.drive(client.read(other * 4096, 4096))).equals(pattern(4096, other)));
    }
  });
});

test('a device that takes only whole stripes is refused unless read-only', async (t) => {
  const device = { geometry: { writeUnitBlocks: 24 } };
  await t.throwsAsync(NbdFixture.start({ device }), {
    message:
      'cannot export ram for writing: it takes only whole stripes of 98304 bytes, and clients write single blocks',
  });
  await withFixture(t, { device, exporter: { readOnly: true } }, async (fixture) => {
    const client = await fixture.client();
    t.is(await fixture.errorOf(client.read(4096, 4096)), 0);
  });
});
