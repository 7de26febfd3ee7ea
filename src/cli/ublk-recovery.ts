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
import type { UblkAddReply } from './ublk-helper.ts';
import type { UblkRecord } from './ublk-record.ts';

/** The driver notices the death of a server within a second or so. */
const QUIESCE_WAIT_MS = 5000;
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
): Promise<UblkAddReply | null> {
  const info = await settled(control, record);
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
  await retryWhileBusy(() => control.startRecovery(id));
  const { attributes } = params;
  return { id, queues, depth, bufferBytes: maxIoBytes, attributes, missing: [] };
}

async function settled(control: UblkControl, record: UblkRecord) {
  const deadline = Date.now() + QUIESCE_WAIT_MS;
  for (;;) {
    const info = (await control.list()).find((one) => one.id === record.id);
    if (info === undefined || !control.isOurs(info)) return null;
    if (info.state === 'quiesced' && record.serverPids.includes(info.serverPid)) return info;
    // One without user recovery, or one that was never started: nobody waits for it.
    if (info.state === 'dead') {
      await control.delete(info.id);
      return null;
    }
    if (Date.now() > deadline) {
      throw new BandstandError('BANDSTAND_STACK_RUNNING', {
        message: `cannot recover /dev/ublkb${info.id}: it is ${info.state}, with a server of pid ${info.serverPid}`,
        hint: 'end that server first',
        details: { id: info.id, state: info.state, server_pid: info.serverPid },
      });
    }
    await pause();
  }
}

async function retryWhileBusy(work: () => Promise<void>): Promise<void> {
  const deadline = Date.now() + QUIESCE_WAIT_MS;
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
