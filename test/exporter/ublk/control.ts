import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { BandstandError } from '../../../src/block/errors.ts';
import { listIds, UblkControl } from '../../../src/exporter/ublk/control.ts';
import {
  CMD_ADD_DEV,
  CMD_DEL_DEV_ASYNC,
  CMD_END_USER_RECOVERY,
  CMD_GET_DEV_INFO,
  CMD_GET_FEATURES,
  CMD_GET_PARAMS,
  CMD_SET_PARAMS,
  CMD_START_DEV,
  CMD_START_USER_RECOVERY,
  CMD_STOP_DEV,
  decodeDeviceInfo,
  encodeDeviceInfo,
  encodeParams,
  OWNER_TAG,
  type UblkParams,
} from '../../../src/exporter/ublk/uapi.ts';
import { FakeControl, type Handler, type SeenCommand } from './_fake-control.ts';

const FEATURES = 0x1fen;
const TIMEOUT_MS = 50;

/** Answers GET_FEATURES as Linux 6.12 does, and everything else from `handler`. */
function withFeatures(handler: Handler): Handler {
  return (command) => {
    if (command.op !== CMD_GET_FEATURES) return handler(command);
    if (command.payload.length !== 8) return -22;
    new DataView(command.payload.buffer).setBigUint64(0, FEATURES, true);
    return 0;
  };
}

async function open(handler: Handler): Promise<{ fake: FakeControl; control: UblkControl }> {
  const fake = new FakeControl(withFeatures(handler));
  const options = { native: fake.native, timeoutMs: TIMEOUT_MS, loadModule: false };
  return { fake, control: await UblkControl.open(options) };
}

async function failure(promise: Promise<unknown>): Promise<BandstandError> {
  return promise.then(
    () => {
      throw new Error('the command fails');
    },
    (error: unknown) => {
      if (!(error instanceof BandstandError)) throw error;
      return error;
    },
  );
}

const PARAMS: UblkParams = {
  attributes: 4,
  logicalBlockShift: 9,
  physicalBlockShift: 12,
  ioMinShift: 12,
  ioOptShift: 16,
  maxSectors: 512,
  chunkSectors: 0,
  devSectors: 2048,
  discard: null,
};

test('opening asks the driver what it can do', async (t) => {
  const { fake, control } = await open(() => 0);
  t.is(control.features.flags, FEATURES);
  t.true(control.features.names.includes('user-recovery-reissue'));
  control.close();
  t.is(fake.openFiles, 0);
  t.is(fake.openRings, 0);
  t.is(fake.mappings.size, 0);
});

test('adding a device asks for recovery and returns what was granted', async (t) => {
  const { fake, control } = await open((command) => {
    t.is(command.op, CMD_ADD_DEV);
    const asked = decodeDeviceInfo(command.payload);
    t.is(asked.id, command.deviceId);
    const granted = { ...asked, id: 3, queues: 2, flags: (asked.flags & 0x48n) | 2n };
    command.payload.set(encodeDeviceInfo(granted));
    return 0;
  });
  const device = await control.add({ id: null, queues: 16, depth: 128, maxIoBytes: 262144 });
  const [, asked] = fake.commands;
  t.is(asked!.deviceId, 0xffffffff);
  t.is(asked!.queueId, 0xffff);
  t.is(decodeDeviceInfo(asked!.payload).flags, 0x58n);
  t.is(decodeDeviceInfo(asked!.payload).ownerTag, OWNER_TAG);
  t.is(device.id, 3);
  t.is(device.queues, 2);
  t.deepEqual(device.missing, ['user-recovery-reissue']);
  control.close();
});

test('a device without recovery does not ask for it', async (t) => {
  const { fake, control } = await open(() => 0);
  const options = { id: 0, queues: 1, depth: 1, maxIoBytes: 4096, userRecovery: false };
  t.deepEqual((await control.add(options)).missing, []);
  t.is(decodeDeviceInfo(fake.commands[1]!.payload).flags, 0x40n);
  control.close();
});

test('each command carries its number, device and argument', async (t) => {
  const { fake, control } = await open((command) => {
    if (command.op === CMD_GET_PARAMS) command.payload.set(encodeParams(PARAMS));
    return command.op === CMD_GET_DEV_INFO ? -19 : 0;
  });
  await control.setParams(4, PARAMS);
  t.deepEqual(await control.getParams(4), PARAMS);
  await control.start(4, 4711);
  await control.stop(4);
  await control.delete(4);
  await control.startRecovery(4);
  await control.endRecovery(4, 815);
  const summary = (command: SeenCommand) => [
    command.op,
    command.deviceId,
    command.payload.length,
    command.data,
  ];
  t.deepEqual(fake.commands.slice(1).map(summary), [
    [CMD_SET_PARAMS, 4, 112, 0],
    [CMD_GET_PARAMS, 4, 112, 0],
    [CMD_START_DEV, 4, 0, 4711],
    [CMD_STOP_DEV, 4, 0, 0],
    [CMD_DEL_DEV_ASYNC, 4, 0, 0],
    [CMD_GET_DEV_INFO, 4, 64, 0],
    [CMD_START_USER_RECOVERY, 4, 0, 0],
    [CMD_END_USER_RECOVERY, 4, 0, 815],
  ]);
  t.deepEqual(fake.commands[1]!.payload, encodeParams(PARAMS));
  control.close();
});

for (const [errno, code, message] of [
  [16, 'BANDSTAND_UBLK_BUSY', 'cannot start /dev/ublkb7: it is in use (EBUSY)'],
  [17, 'BANDSTAND_UBLK_ID_TAKEN', 'cannot start /dev/ublkb7: it exists already (EEXIST)'],
  [
    19,
    'BANDSTAND_UBLK_NO_DEVICE',
    'cannot start /dev/ublkb7: there is no such ublk device (ENODEV)',
  ],
  [1, 'BANDSTAND_UBLK_PERMISSION', 'cannot start /dev/ublkb7: operation not permitted (EPERM)'],
  [13, 'BANDSTAND_UBLK_PERMISSION', 'cannot start /dev/ublkb7: permission denied (EACCES)'],
  [
    22,
    'BANDSTAND_UBLK_REFUSED',
    'cannot start /dev/ublkb7: the driver does not accept these values (EINVAL)',
  ],
  [
    95,
    'BANDSTAND_UBLK_REFUSED',
    'cannot start /dev/ublkb7: the driver of this kernel cannot do that (EOPNOTSUPP)',
  ],
  [12, 'BANDSTAND_UBLK_REFUSED', 'cannot start /dev/ublkb7: out of memory (ENOMEM)'],
] as const) {
  test(`a refused command says why: ${errno}`, async (t) => {
    const { control } = await open(() => -errno);
    const error = await failure(control.start(7, 1));
    t.is(error.code, code);
    t.is(error.message, message);
    t.regex(error.hint!, /^[a-z]/);
    t.deepEqual(error.details['errno'], errno);
    control.close();
  });
}

test('a command that waits is cancelled at its time limit', async (t) => {
  const { fake, control } = await open((command) => (command.op === CMD_START_DEV ? 'wait' : 0));
  const error = await failure(control.start(7, 1));
  t.is(error.code, 'BANDSTAND_UBLK_TIMEOUT');
  t.is(error.message, 'cannot start /dev/ublkb7: the kernel has not answered for 0.05 seconds');
  t.regex(error.hint!, /dmesg/);
  // The ring goes on, and the page of the command is used again.
  await control.stop(7);
  t.is(fake.mappings.size, 1);
  control.close();
  t.is(fake.mappings.size, 0);
});

test('a command that cannot be cancelled is given up, and its buffer stays mapped', async (t) => {
  const { fake, control } = await open((command) => (command.op === CMD_STOP_DEV ? 'hang' : 0));
  const error = await failure(control.stop(7));
  t.is(error.code, 'BANDSTAND_UBLK_TIMEOUT');
  await control.start(7, 1);
  control.close();
  t.is(fake.mappings.size, 1);
});

test('commands wait independently of each other', async (t) => {
  const { control } = await open((command) => (command.deviceId === 1 ? 'wait' : 0));
  const [first] = await Promise.all([failure(control.start(1, 1)), control.start(2, 1)]);
  t.is(first.code, 'BANDSTAND_UBLK_TIMEOUT');
  control.close();
});

test('many commands in a row use one page and wrap the ring', async (t) => {
  const { fake, control } = await open(() => 0);
  for (let count = 0; count < 100; count += 1) await control.getInfo(count);
  t.is(fake.commands.length, 101);
  t.is(fake.mappings.size, 1);
  control.close();
});

test('removing stops and deletes, and a device that is gone is no error', async (t) => {
  const { fake, control } = await open(({ deviceId, op }) =>
    deviceId === 1 && op !== CMD_GET_DEV_INFO ? 0 : -19,
  );
  await control.remove(1);
  await control.remove(2);
  t.deepEqual(
    fake.commands.slice(1).map(({ op }) => op),
    [CMD_STOP_DEV, CMD_DEL_DEV_ASYNC, CMD_GET_DEV_INFO, CMD_STOP_DEV],
  );
  control.close();
});

test('a device that stays mounted is removed without waiting for that', async (t) => {
  const { fake, control } = await open(() => 0);
  await control.delete(1);
  const asked = fake.commands.slice(2).map(({ op }) => op);
  t.true(asked.length > 1 && asked.every((op) => op === CMD_GET_DEV_INFO));
  control.close();
});

test('removing a device that is held fails', async (t) => {
  const { control } = await open((command) => (command.op === CMD_DEL_DEV_ASYNC ? -16 : 0));
  t.is((await failure(control.remove(1))).code, 'BANDSTAND_UBLK_BUSY');
  control.close();
});

test('a machine without the driver says so', async (t) => {
  const fake = new FakeControl(() => 0);
  fake.openResults.push(-2, -2);
  const options = { native: fake.native, loadModule: false };
  const error = await failure(UblkControl.open(options));
  t.is(error.code, 'BANDSTAND_UBLK_UNAVAILABLE');
  t.regex(
    error.message,
    /^cannot use ublk on Linux \S+: opening \/dev\/ublk-control: no such file or directory \(ENOENT\)$/,
  );
  t.is(error.hint, 'use `--via nbd`, or a kernel from 6.12 on with the module ublk_drv');
});

test('a user without rights is told so', async (t) => {
  const fake = new FakeControl(() => 0);
  fake.openResults.push(-13);
  const error = await failure(UblkControl.open({ native: fake.native, loadModule: false }));
  t.is(error.code, 'BANDSTAND_UBLK_PERMISSION');
  t.is(error.message, 'cannot use ublk: opening /dev/ublk-control: permission denied (EACCES)');
});

test('a driver that does not know its features is too old', async (t) => {
  const fake = new FakeControl(() => -95);
  const error = await failure(UblkControl.open({ native: fake.native, loadModule: false }));
  t.is(error.code, 'BANDSTAND_UBLK_UNAVAILABLE');
  t.is(fake.openFiles, 0);
  t.is(fake.openRings, 0);
});

test('a machine that forbids io_uring is told apart from one without ublk', async (t) => {
  const fake = new FakeControl(() => 0);
  fake.ringErrno = 1;
  const error = await failure(UblkControl.open({ native: fake.native, loadModule: false }));
  t.is(error.code, 'BANDSTAND_URING_UNAVAILABLE');
  t.is(fake.openFiles, 0);
});

test('a device is described by what the driver answers', async (t) => {
  const { fake, control } = await open((command) => {
    const info = { id: 6, queues: 1, depth: 64, maxIoBytes: 65536, flags: 0x18n, ownerTag: 0n };
    command.payload.set(encodeDeviceInfo(info));
    return 0;
  });
  const info = await control.getInfo(6);
  t.is(fake.commands[1]!.op, CMD_GET_DEV_INFO);
  t.like(info, { id: 6, queues: 1, depth: 64, state: 'dead', maxIoBytes: 65536, serverPid: 0 });
  control.close();
});

test('devices are listed by their nodes in sysfs, in order', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'bandstand-'));
  for (const name of ['ublkc10', 'ublkc2', 'ublkc0', 'ublk-control', 'ublkc1x']) {
    mkdirSync(path.join(directory, name));
  }
  t.deepEqual(await listIds(directory), [0, 2, 10]);
  rmSync(directory, { recursive: true });
  t.deepEqual(await listIds(directory), []);
});
