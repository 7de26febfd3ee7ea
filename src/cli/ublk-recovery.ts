/**
 * Taking over the ublk device of a server that was killed.                          (control plane)
 *
 * Such a device waits in state `quiesced`: /dev/ublkbN is there, its users' I/O waits. A new server
 * of the same stack recovers it, and the I/O goes on as if nothing had happened. That is right only
 * for a device that is ours, whose server is the one that was noted, and that has the size and the
 * access that the new server would give it. Runs in the helper process.
 */

import type { Geometry } from '../block/block-device.ts';
import { BandstandError } from '../block/errors.ts';
import type { UblkControl } from '../exporter/ublk/control.ts';
import { ublkParamsFor } from '../exporter/ublk/control-params.ts';
import { processAlive } from './process-alive.ts';
import type { UblkAddReply } from './ublk-helper.ts';
import type { UblkRecord } from './ublk-record.ts';

/** How long the driver may say that a device is served, in milliseconds. */
export interface RecoveryWaits {
  /** By a process that lives: it may be about to end. */
  readonly alive: number;
  /** By one that is gone: the driver notices within a second or so, on a busy machine later. */
  readonly gone: number;
}

const WAITS: RecoveryWaits = { alive: 5000, gone: 60_000 };
const RETRY_MS = 50;

/**
 * What the device was made with, ready to be served again; null when there is nothing to take over.
 * Throws BANDSTAND_STACK_RUNNING when its server is alive, BANDSTAND_UBLK_REFUSED when it does not
 * fit the stack any more.
 */
export async function beginRecovery(
  control: UblkControl,
  record: UblkRecord,
  geometry: Geometry,
  readOnly: boolean,
  waits = WAITS,
): Promise<UblkAddReply | null> {
  const info = await settled(control, record, waits);
  if (info === null) return null;
  const { id, queues, depth, maxIoBytes } = info;
  const params = await control.getParams(id);
  const wanted = ublkParamsFor(geometry, { bufferBytes: maxIoBytes, readOnly });
  const fits =
    params !== null &&
    params.devSectors === wanted.devSectors &&
    params.logicalBlockShift === wanted.logicalBlockShift &&
    params.attributes === wanted.attributes;
  if (!fits) {
    throw new BandstandError('BANDSTAND_UBLK_REFUSED', {
      message: `cannot recover /dev/ublkb${id}: it has another size or access than the stack has now`,
      hint: 'remove it with bandstand stop, and export again',
      details: { id },
    });
  }
  const waitMs = processAlive(info.serverPid) ? waits.alive : waits.gone;
  await retryWhileBusy(() => control.startRecovery(id), waitMs);
  const { attributes } = params;
  return { id, queues, depth, bufferBytes: maxIoBytes, attributes, missing: [] };
}

async function settled(control: UblkControl, record: UblkRecord, waits: RecoveryWaits) {
  const begin = Date.now();
  for (;;) {
    const info = (await control.list()).find((one) => one.id === record.id);
    if (info === undefined || !control.isOurs(info)) return null;
    if (info.state === 'quiesced' && record.serverPids.includes(info.serverPid)) return info;
    // One without user recovery, or one that was never started: nobody waits for it.
    if (info.state === 'dead') {
      await control.delete(info.id);
      return null;
    }
    const isAlive = processAlive(info.serverPid);
    if (Date.now() - begin > (isAlive ? waits.alive : waits.gone)) {
      const server = `a server of pid ${info.serverPid}${isAlive ? '' : ', which is gone'}`;
      throw new BandstandError('BANDSTAND_STACK_RUNNING', {
        message: `cannot recover /dev/ublkb${info.id}: it is ${info.state}, with ${server}`,
        hint: isAlive
          ? 'end that server first'
          : 'look at the kernel log (dmesg) for what the driver waits for, and try again',
        details: { id: info.id, state: info.state, server_pid: info.serverPid },
      });
    }
    await pause();
  }
}

async function retryWhileBusy(work: () => Promise<void>, waitMs: number): Promise<void> {
  const deadline = Date.now() + waitMs;
  for (;;) {
    try {
      await work();
      return;
    } catch (error) {
      const busy = error instanceof BandstandError && error.code === 'BANDSTAND_UBLK_BUSY';
      if (!busy || Date.now() > deadline) throw error;
    }
    await pause();
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, RETRY_MS));
}
