/**
 * FileDevice over real block devices: loop devices with 512 and 4096-byte sectors.
 */

import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { FEATURE_READ_ONLY, FEATURE_TRIM } from '../../src/block/block-device.ts';
import { FLAG_FUA, OP_TRIM } from '../../src/block/block-io.ts';
import { readBlocks, submitStatus, writeBlocks } from '../../src/block/control-io.ts';
import { FileDevice } from '../../src/device/file-device.ts';
import { conformance } from '../_helpers/conformance.ts';
import { missing, requires } from '../_helpers/requires.ts';
import { openRingReactor } from '../_helpers/ring-reactor.ts';

const NEEDS = ['root', 'loop devices', 'losetup'] as const;
const SIZE_BYTES = 4 * 2 ** 20;

const folder = mkdtempSync(
  path.join(missing('/dev/shm') === null ? '/dev/shm' : tmpdir(), 'bandstand-loop-'),
);
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

let loops = 0;

/** A loop device over a file of its own. */
function attachLoop(sectorBytes: number, flags: readonly string[] = []) {
  loops += 1;
  const file = path.join(folder, `loop-${loops}`);
  closeSync(openSync(file, 'w'));
  truncateSync(file, SIZE_BYTES);
  const args = ['--find', '--show', '--sector-size', String(sectorBytes), ...flags, file];
  const device = execFileSync('losetup', args).toString().trim();
  return {
    device,
    file,
    detach(): void {
      execFileSync('losetup', ['--detach', device]);
      rmSync(file);
    },
  };
}

for (const sectorBytes of [512, 4096]) {
  conformance(
    `loop device, ${sectorBytes}-byte sectors`,
    () => {
      const loop = attachLoop(sectorBytes);
      const reactor = openRingReactor();
      return {
        reactor,
        device: new FileDevice(loop.device),
        async dispose() {
          await reactor.close();
          loop.detach();
        },
      };
    },
    { operations: 800, burst: 1000 },
    requires(...NEEDS),
  );
}

requires(...NEEDS)(
  'a block device has its own geometry, and blocks not below its sectors',
  async (t) => {
    const loop = attachLoop(4096);
    const reactor = openRingReactor();
    const device = new FileDevice(loop.device);
    await reactor.drive(device.open(reactor));
    t.is(device.geometry.blockBytes, 4096);
    t.is(device.geometry.blockCount, SIZE_BYTES / 4096);
    t.is(device.describe().kind, 'block');
    t.is(device.describe().details['access'], 'direct');
    await reactor.drive(device.close());
    const error = await t.throwsAsync(
      reactor.drive(new FileDevice(loop.device, { blockBytes: 512 }).open(reactor)),
      { code: 'BANDSTAND_DEVICE_INVALID' },
    );
    t.regex(error?.message ?? '', /with blocks of 512 bytes: its own are 4096 bytes/);
    await reactor.close();
    loop.detach();
  },
);

requires(...NEEDS)(
  'a block device is claimed: a second writer is refused, a reader is not',
  async (t) => {
    const loop = attachLoop(512);
    const reactor = openRingReactor();
    const device = new FileDevice(loop.device);
    await reactor.drive(device.open(reactor));
    await t.throwsAsync(reactor.drive(new FileDevice(loop.device).open(reactor)), {
      code: 'BANDSTAND_DEVICE_BUSY',
      message: `cannot open ${loop.device}: device is busy`,
    });
    const reader = new FileDevice(loop.device, { readOnly: true });
    await reactor.drive(reader.open(reactor));
    t.is(reader.geometry.features, FEATURE_READ_ONLY);
    await reactor.drive(writeBlocks(reactor, device, 3, new Uint8Array(512).fill(7)));
    const seen = await reactor.drive(readBlocks(reactor, reader, 3, 1));
    t.true(seen.every((byte) => byte === 7));
    await reactor.drive(reader.close());
    await reactor.drive(device.close());
    await reactor.close();
    loop.detach();
  },
);

requires(...NEEDS)('a read-only block device is refused for writing and readable', async (t) => {
  const loop = attachLoop(512, ['--read-only']);
  const reactor = openRingReactor();
  await t.throwsAsync(reactor.drive(new FileDevice(loop.device).open(reactor)), {
    code: 'BANDSTAND_DEVICE_PERMISSION',
  });
  const device = new FileDevice(loop.device, { readOnly: true });
  await reactor.drive(device.open(reactor));
  t.true((await reactor.drive(readBlocks(reactor, device, 0, 1))).every((byte) => byte === 0));
  await reactor.drive(device.close());
  await reactor.close();
  loop.detach();
});

requires(...NEEDS)('a trim reaches the blocks below', async (t) => {
  const loop = attachLoop(4096);
  const reactor = openRingReactor();
  const device = new FileDevice(loop.device);
  await reactor.drive(device.open(reactor));
  if ((device.geometry.features & FEATURE_TRIM) === 0) {
    t.pass('loop devices cannot discard here');
  } else {
    await reactor.drive(writeBlocks(reactor, device, 0, new Uint8Array(64 * 4096).fill(5)));
    const trim = submitStatus(device, OP_TRIM, 16, 32, 0, FLAG_FUA);
    t.is(await reactor.drive(trim), 0);
    const content = readFileSync(loop.file);
    const isAll = (from: number, to: number, value: number): boolean =>
      content.subarray(from * 4096, to * 4096).every((byte) => byte === value);
    t.true(isAll(0, 16, 5));
    t.true(isAll(16, 48, 0));
    t.true(isAll(48, 64, 5));
  }
  await reactor.drive(device.close());
  await reactor.close();
  loop.detach();
});
