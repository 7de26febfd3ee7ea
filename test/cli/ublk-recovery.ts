import test from 'ava';
import type { Geometry } from '../../src/block/block-device.ts';
import { BandstandError } from '../../src/block/errors.ts';
import { beginRecovery, type RecoveryWaits } from '../../src/cli/ublk-recovery.ts';
import type { UblkControl } from '../../src/exporter/ublk/control.ts';
import { ublkParamsFor } from '../../src/exporter/ublk/control-params.ts';
import { OWNER_TAG, type UblkDeviceInfo } from '../../src/exporter/ublk/uapi.ts';
import { RamDevice } from '../_helpers/ram-device.ts';

/** No process has it: pids end below. */
const GONE = 2 ** 22 + 1;
const BUFFER_BYTES = 65_536;
const GEOMETRY: Geometry = new RamDevice('ram', { blockCount: 2048 }).geometry;

function infoOf(changes: Partial<UblkDeviceInfo>): UblkDeviceInfo {
  return {
    id: 0,
    queues: 1,
    depth: 64,
    state: 'live',
    maxIoBytes: BUFFER_BYTES,
    serverPid: GONE,
    flags: 0n,
    ownerTag: OWNER_TAG,
    ownerUid: 0,
    ...changes,
  };
}

/** A driver that shows one state after another; the last one stays. */
function driver(states: readonly UblkDeviceInfo[], busy = 0) {
  const calls: string[] = [];
  let looks = 0;
  let left = busy;
  const control: Partial<Record<keyof UblkControl, unknown>> = {
    list: async () => {
      looks += 1;
      return [states[Math.min(looks, states.length) - 1]!];
    },
    isOurs: () => true,
    getParams: async () => ublkParamsFor(GEOMETRY, { bufferBytes: BUFFER_BYTES, readOnly: false }),
    startRecovery: async () => {
      calls.push('start');
      left -= 1;
      if (left < 0) return;
      throw new BandstandError('BANDSTAND_UBLK_BUSY', { message: 'it is busy', hint: 'wait' });
    },
    delete: async () => calls.push('delete'),
  };
  return { control: control as unknown as UblkControl, calls, looks: () => looks };
}

const begin = (control: UblkControl, waits: RecoveryWaits) =>
  beginRecovery(control, { id: 0, serverPids: [GONE] }, GEOMETRY, false, waits);

test('a device whose server is gone is waited for until the driver says so', async (t) => {
  const states = [...Array.from({ length: 3 }, () => infoOf({})), infoOf({ state: 'quiesced' })];
  const { calls, control, looks } = driver(states, 2);
  const reply = await begin(control, { alive: 0, gone: 60_000 });
  t.like(reply, { id: 0, queues: 1, depth: 64, bufferBytes: BUFFER_BYTES });
  t.is(looks(), 4);
  t.deepEqual(calls, ['start', 'start', 'start']);
});

test('one with a server that lives is left to it', async (t) => {
  const { calls, control } = driver([infoOf({ serverPid: process.pid })]);
  const error = await t.throwsAsync(begin(control, { alive: 0, gone: 60_000 }));
  t.like(error, { code: 'BANDSTAND_STACK_RUNNING', hint: 'end that server first' });
  t.is(
    error!.message,
    `cannot recover /dev/ublkb0: it is live, with a server of pid ${process.pid}`,
  );
  t.deepEqual(calls, []);
});

test('where the driver does not notice the end of a server, that is told', async (t) => {
  const { control } = driver([infoOf({})]);
  const error = await t.throwsAsync(begin(control, { alive: 60_000, gone: 0 }));
  t.regex(error!.message, /it is live, with a server of pid \d+, which is gone$/);
  t.regex((error as BandstandError).hint!, /kernel log \(dmesg\)/);
});

test('a device that nobody can take over is removed, and another one is made', async (t) => {
  const { calls, control } = driver([infoOf({ state: 'dead' })]);
  t.is(await begin(control, { alive: 0, gone: 0 }), null);
  t.deepEqual(calls, ['delete']);
});
