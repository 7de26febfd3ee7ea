import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import type { BlockDevice } from '../../src/block/block-device.ts';
import {
  FEATURE_FUA,
  FEATURE_READ_ONLY,
  FEATURE_TRIM,
  FEATURE_WRITE_ZEROES,
} from '../../src/block/block-device.ts';
import {
  BlockIo,
  FLAG_FUA,
  FLAG_NOUNMAP,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
  type Op,
} from '../../src/block/block-io.ts';
import { readBlocks, submitStatus, writeBlocks } from '../../src/block/control-io.ts';
import { EAGAIN, EINTR, EIO, ENODEV, ENXIO } from '../../src/block/status.ts';
import { FileDevice } from '../../src/device/file-device.ts';
import type { FileDeviceOptions } from '../../src/device/file-open.ts';
import { loadAddon } from '../../src/native/load.ts';
import type { Ring } from '../../src/reactor/ring.ts';
import type { RingReactor } from '../../src/reactor/ring-reactor.ts';
import { conformance } from '../_helpers/conformance.ts';
import { missing } from '../_helpers/requires.ts';
import { openRingReactor } from '../_helpers/ring-reactor.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

const folder = mkdtempSync(
  path.join(missing('/dev/shm') === null ? '/dev/shm' : tmpdir(), 'bandstand-'),
);
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function makeFile(sizeBytes: number, where = folder): string {
  files += 1;
  const file = path.join(where, `disk-${files}`);
  closeSync(openSync(file, 'w'));
  truncateSync(file, sizeBytes);
  return file;
}

const kinds: readonly (readonly [name: string, options: FileDeviceOptions])[] = [
  ['in memory, at once', { blockBytes: 4096 }],
  ['direct, 4096-byte blocks', { blockBytes: 4096, atOnce: false }],
  ['direct, 512-byte blocks', { blockBytes: 512, atOnce: false }],
  ['buffered, 512-byte blocks', { blockBytes: 512, direct: false, atOnce: false }],
  ['direct, four operations in flight', { depth: 4, atOnce: false }],
];
for (const [name, options] of kinds) {
  conformance(`file, ${name}`, () => {
    const reactor = openRingReactor();
    const file = makeFile(1024 * 4096);
    return {
      reactor,
      device: new FileDevice(file, options),
      async dispose() {
        await reactor.close();
        rmSync(file);
      },
    };
  });
}

/** Opens a file of `sizeBytes`, runs `body` with it and closes everything. */
async function withFile(
  sizeBytes: number,
  options: FileDeviceOptions,
  body: (reactor: RingReactor, device: FileDevice, file: string) => Promise<void>,
): Promise<void> {
  const reactor = openRingReactor();
  const file = makeFile(sizeBytes);
  const device = new FileDevice(file, options);
  try {
    await reactor.drive(device.open(reactor));
    await body(reactor, device, file);
  } finally {
    await reactor.drive(device.close());
    await reactor.close();
    rmSync(file);
  }
}

test.serial('what is written lies in the file at its place', (t) =>
  withFile(1 << 20, {}, async (reactor, device, file) => {
    const bytes = Uint8Array.from({ length: 3 * 4096 }, (_, index) => index * 7);
    await reactor.drive(writeBlocks(reactor, device, 5, bytes));
    const content = readFileSync(file);
    sameBytes(t, new Uint8Array(content.subarray(5 * 4096, 8 * 4096)), bytes);
    t.true(content.subarray(0, 5 * 4096).every((byte) => byte === 0));
    t.true(content.subarray(8 * 4096).every((byte) => byte === 0));
  }),
);

test.serial('the block size follows the size of the file unless it is given', async (t) => {
  await withFile(1 << 20, {}, async (_reactor, { geometry }) => {
    t.is(geometry.blockBytes, 4096);
    t.is(geometry.blockCount, 256);
  });
  await withFile((1 << 20) + 512, {}, async (_reactor, { geometry }) => {
    t.is(geometry.blockBytes, 512);
    t.is(geometry.blockCount, 2049);
  });
  await withFile((1 << 20) + 700, {}, async (_reactor, { geometry }) => {
    t.is(geometry.blockBytes, 512);
    t.is(geometry.blockCount, 2049);
  });
  await withFile((1 << 20) + 512, { blockBytes: 4096 }, async (_reactor, { geometry }) => {
    t.is(geometry.blockBytes, 4096);
    t.is(geometry.blockCount, 256);
  });
});

test.serial('a buffered device says so and promises durability only by flush and FUA', (t) =>
  withFile(1 << 20, { direct: false }, async (_reactor, device) => {
    t.is(device.describe().details['access'], 'buffered');
    t.true(device.geometry.volatileCache);
    t.not(device.geometry.features & FEATURE_FUA, 0);
  }),
);

test.serial('trim frees the space of a file and write-zeroes keeps it when told to', (t) =>
  withFile(1 << 20, {}, async (reactor, device, file) => {
    const both = FEATURE_TRIM | FEATURE_WRITE_ZEROES;
    if ((device.geometry.features & both) !== both) {
      t.pass('this file system has no holes');
      return;
    }
    await reactor.drive(writeBlocks(reactor, device, 0, new Uint8Array(1 << 20).fill(1)));
    const full = statSync(file).blocks;
    const run = (flags: number): Promise<number> =>
      reactor.drive(submitStatus(device, OP_WRITE_ZEROES, 0, 128, 0, flags));
    t.is(await run(FLAG_NOUNMAP | FLAG_FUA), 0);
    t.is(statSync(file).blocks, full);
    t.true(
      readFileSync(file)
        .subarray(0, 128 * 4096)
        .every((byte) => byte === 0),
    );
    t.is(await run(0), 0);
    t.true(statSync(file).blocks <= full / 2 + 8);
    t.true(
      readFileSync(file)
        .subarray(128 * 4096)
        .every((byte) => byte === 1),
    );
  }),
);

test.serial('a read-only device refuses writes and takes no lock', (t) =>
  withFile(1 << 20, {}, async (reactor, device, file) => {
    const reader = new FileDevice(file, { readOnly: true });
    await reactor.drive(reader.open(reactor));
    t.is(reader.geometry.features, FEATURE_READ_ONLY);
    await reactor.drive(writeBlocks(reactor, device, 1, new Uint8Array(4096).fill(9)));
    const seen = await reactor.drive(readBlocks(reactor, reader, 1, 1));
    t.true(seen.every((byte) => byte === 9));
    const io = new BlockIo();
    io.op = OP_WRITE;
    io.blockCount = 1;
    t.throws(() => reader.submit(io), { name: 'InvariantError' });
    await reactor.drive(reader.close());
  }),
);

test.serial('a file in use is refused, and is free again after close', (t) =>
  withFile(1 << 20, {}, async (reactor, device, file) => {
    const second = new FileDevice(file);
    const error = await t.throwsAsync(reactor.drive(second.open(reactor)), {
      code: 'BANDSTAND_DEVICE_BUSY',
    });
    t.is(error?.message, `cannot open ${file}: device is busy`);
    await reactor.drive(device.close());
    await reactor.drive(second.open(reactor));
    await reactor.drive(second.close());
  }),
);

test.serial('a lock held by another process is respected', async (t) => {
  const file = makeFile(1 << 20);
  const reactor = openRingReactor();
  const holder = spawn('flock', ['--exclusive', file, 'sh', '-c', 'echo held; read line'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  await t.throwsAsync(reactor.drive(new FileDevice(file).open(reactor)), {
    code: 'BANDSTAND_DEVICE_BUSY',
  });
  holder.stdin.end('\n');
  await once(holder, 'exit');
  const device = new FileDevice(file);
  await reactor.drive(device.open(reactor));
  await reactor.drive(device.close());
  await reactor.close();
});

test.serial(
  'what cannot be opened is refused by name, with a code and nothing left open',
  async (t) => {
    const reactor = openRingReactor();
    const refuse = async (
      file: string,
      code: string,
      message: string,
      options = {},
    ): Promise<void> => {
      const error = await t.throwsAsync(
        reactor.drive(new FileDevice(file, options).open(reactor)),
        {
          code,
        },
      );
      t.is(error?.message, message);
    };
    const gone = path.join(folder, 'gone');
    await refuse(gone, 'BANDSTAND_DEVICE_MISSING', `cannot open ${gone}: it does not exist`);
    const neither = 'it is neither a block device nor a regular file';
    await refuse(folder, 'BANDSTAND_DEVICE_INVALID', `cannot use ${folder}: ${neither}`);
    await refuse('/dev/null', 'BANDSTAND_DEVICE_INVALID', `cannot use /dev/null: ${neither}`);
    const empty = makeFile(0);
    await refuse(
      empty,
      'BANDSTAND_DEVICE_TOO_SMALL',
      `cannot use ${empty}: it has 0 bytes, less than one block of 4096`,
    );
    const small = makeFile(1000);
    await refuse(
      small,
      'BANDSTAND_DEVICE_TOO_SMALL',
      `cannot use ${small}: it has 1000 bytes, less than one block of 4096`,
      { blockBytes: 4096 },
    );
    const odd = makeFile(8192);
    await refuse(
      odd,
      'BANDSTAND_DEVICE_INVALID',
      `cannot use ${odd} with blocks of 1024 bytes: its own are 512 bytes, and 512 and 4096 are supported`,
      { blockBytes: 1024 },
    );
    // Nobody may write it, root included. A sysfs that is mounted read-only gives another reason.
    const fixed = '/sys/devices/system/cpu/online';
    await t.throwsAsync(reactor.drive(new FileDevice(fixed).open(reactor)), {
      code: 'BANDSTAND_DEVICE_PERMISSION',
      message: /^cannot open \S+: (permission denied|it is read-only)$/,
    });
    await reactor.close();
  },
);

test.serial('a file that was cut short fails the reads beyond its end, not the device', (t) =>
  withFile(1 << 20, {}, async (reactor, device, file) => {
    truncateSync(file, 1 << 19);
    const at = reactor.arena.allocate(8192);
    t.is(await reactor.drive(submitStatus(device, OP_READ, 200, 1, at)), EIO);
    // Half inside: the kernel gives what there is, and the rest fails.
    t.is(await reactor.drive(submitStatus(device, OP_READ, 127, 2, at)), EIO);
    t.is(await reactor.drive(submitStatus(device, OP_READ, 0, 2, at)), 0);
    reactor.arena.release(at, 8192);
  }),
);

test.serial('large transfers of a file in memory are whole, at once or through the ring', (t) =>
  withFile(8 << 20, { blockBytes: 4096 }, async (reactor, device, file) => {
    const blocks = 32;
    const words = (blocks * 4096) / 4;
    const at = reactor.arena.allocate(8 * blocks * 4096);
    const { u32 } = reactor.arena;
    const buffer = (index: number): number => at + index * blocks * 4096;
    const all = (op: Op, first: number): Promise<number[]> =>
      reactor.drive(
        Promise.all(
          Array.from({ length: 8 }, (_, index) =>
            submitStatus(device, op, (first + index) * blocks, blocks, buffer(index)),
          ),
        ),
      );
    // Enough operations for several windows, so that both ways are gone.
    for (let round = 0; round < 80; round += 1) {
      const first = (round % 8) * 8;
      for (let index = 0; index < 8; index += 1) {
        u32.fill(round * 8 + index, buffer(index) / 4, buffer(index) / 4 + words);
      }
      t.deepEqual(await all(OP_WRITE, first), new Array(8).fill(0));
      u32.fill(0xffffffff, at / 4, at / 4 + 8 * words);
      t.deepEqual(await all(OP_READ, first), new Array(8).fill(0));
      for (let index = 0; index < 8; index += 1) {
        const from = buffer(index) / 4;
        t.true(u32.subarray(from, from + words).every((word) => word === round * 8 + index));
      }
    }
    // What is not there to its end does not go through whole at once, and fails.
    truncateSync(file, (8 << 20) - 4096);
    t.is(await reactor.drive(submitStatus(device, OP_READ, 63 * blocks, blocks, at)), EIO);
    reactor.arena.release(at, 8 * blocks * 4096);
  }),
);

/** The ring, except that every `every`-th completion of a read or write goes through `tamper`. */
function tampering(
  ring: Ring,
  tamper: (result: number, bytes: number) => number,
  every: number,
): Ring {
  let count = 0;
  const lengths = new Map<number, number>();
  return new Proxy(ring, {
    get(target, key) {
      const value = Reflect.get(target, key, target) as unknown;
      if (key === 'registerHandler') {
        return (handler: { ringComplete(token: number, result: number, flags: number): void }) =>
          target.registerHandler({
            ringComplete(token, result, flags) {
              const bytes = lengths.get(token);
              lengths.delete(token);
              count += 1;
              const changed =
                bytes !== undefined && count % every === 0 ? tamper(result, bytes) : result;
              handler.ringComplete(token, changed, flags);
            },
          });
      }
      if (key === 'readAt' || key === 'writeAt') {
        return (...parameters: number[]) => {
          lengths.set(parameters.at(-1)!, parameters[3]!);
          (value as (...values: number[]) => void).apply(target, parameters);
        };
      }
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

async function withTampering(
  tamper: (result: number, bytes: number) => number,
  every: number,
  body: (ring: Ring, device: BlockDevice) => Promise<void>,
): Promise<void> {
  const reactor = openRingReactor();
  const file = makeFile(1 << 20);
  const device = new FileDevice(file, { atOnce: false });
  let armed = false;
  const whenArmed = (result: number, bytes: number): number =>
    armed ? tamper(result, bytes) : result;
  const ring = tampering(reactor, whenArmed, every);
  await reactor.drive(device.open(ring));
  armed = true;
  await body(ring, device);
  await reactor.drive(device.close());
  await reactor.close();
  rmSync(file);
}

test.serial('a transfer that the kernel cuts short is resubmitted for the rest', (t) =>
  withTampering(
    (_result, bytes) => (bytes > 8192 ? bytes - 4096 - 100 : bytes),
    1,
    async (ring, device) => {
      const bytes = Uint8Array.from({ length: 16 * 4096 }, (_, index) => index % 251);
      await ring.drive(writeBlocks(ring, device, 3, bytes));
      t.deepEqual(await ring.drive(readBlocks(ring, device, 3, 16)), bytes);
    },
  ),
);

for (const errno of [EINTR, EAGAIN]) {
  test.serial(`errno ${errno} is retried, and passed up when it does not end`, async (t) => {
    await withTampering(
      () => -errno,
      2,
      async (ring, device) => {
        const at = ring.arena.allocate(4096);
        for (let round = 0; round < 10; round += 1) {
          t.is(await ring.drive(submitStatus(device, OP_READ, round, 1, at)), 0);
        }
        ring.arena.release(at, 4096);
      },
    );
    await withTampering(
      () => -errno,
      1,
      async (ring, device) => {
        const at = ring.arena.allocate(4096);
        t.is(await ring.drive(submitStatus(device, OP_READ, 0, 1, at)), errno);
        ring.arena.release(at, 4096);
      },
    );
  });
}

for (const errno of [ENODEV, ENXIO]) {
  test.serial(
    `errno ${errno} is a status, and the observer hears once that the device is gone`,
    (t) =>
      withTampering(
        () => -errno,
        1,
        async (ring, device) => {
          const told: number[] = [];
          device.observer = {
            deviceFailed: (which, status) => {
              t.is(which, device);
              told.push(status);
            },
            deviceResized: () => t.fail(),
            deviceOverdue: () => false,
          };
          const at = ring.arena.allocate(4096);
          for (let round = 0; round < 3; round += 1) {
            t.is(await ring.drive(submitStatus(device, OP_READ, 0, 1, at)), errno);
          }
          ring.arena.release(at, 4096);
          t.deepEqual(told, [errno]);
        },
      ),
  );
}

test.serial('a medium error is a status and no reason to report the device', (t) =>
  withTampering(
    () => -EIO,
    1,
    async (ring, device) => {
      device.observer = {
        deviceFailed: () => t.fail(),
        deviceResized: () => t.fail(),
        deviceOverdue: () => false,
      };
      const at = ring.arena.allocate(4096);
      t.is(await ring.drive(submitStatus(device, OP_READ, 0, 1, at)), EIO);
      ring.arena.release(at, 4096);
    },
  ),
);

test.serial('closing leaves no descriptor and no slot behind', async (t) => {
  const reactor = openRingReactor({ fileSlots: 4 });
  const file = makeFile(1 << 20);
  let highest = 0;
  for (let round = 0; round < 50; round += 1) {
    const device = new FileDevice(file);
    await reactor.drive(device.open(reactor));
    await reactor.drive(device.close());
    const fd = openSync(file, 'r');
    if (round === 0) highest = fd;
    t.is(fd, highest);
    closeSync(fd);
  }
  await reactor.close();
});

for (const direct of [true, false]) {
  test(`a disk without a cache has one behind the page cache, direct ${direct}`, async (t) => {
    const native = loadAddon();
    const deviceInfo = (fd: number) => ({ ...native.deviceInfo(fd), volatileCache: false });
    const reactor = openRingReactor({ native: { ...native, deviceInfo } });
    const file = makeFile(2 ** 20, tmpdir());
    const device = new FileDevice(file, { blockBytes: 4096, direct });
    await reactor.drive(device.open(reactor));
    // Not every file system takes direct I/O.
    const { access } = device.describe().details;
    if (!direct) t.is(access, 'buffered');
    t.is(device.geometry.volatileCache, access === 'buffered');
    await reactor.drive(device.close());
    await reactor.close();
    rmSync(file);
  });
}
