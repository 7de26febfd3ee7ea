/**
 * Holds loop devices to a rate, for this process and those that it starts (cgroup v1, blkio).
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const CGROUP = '/sys/fs/cgroup/blkio/bandstand-bench';

/** From now on what this process asks of a device can be limited. Throws where it cannot. */
export function joinThrottled(): void {
  mkdirSync(CGROUP, { recursive: true });
  writeFileSync(`${CGROUP}/cgroup.procs`, String(process.pid));
}

/** Reads and writes of the device, in bytes per second each; 0: as fast as it is. */
export function throttle(device: string, bytesPerSecond: number): void {
  const number = readFileSync(`/sys/block/${path.basename(device)}/dev`, 'utf8').trim();
  for (const op of ['read', 'write']) {
    writeFileSync(`${CGROUP}/blkio.throttle.${op}_bps_device`, `${number} ${bytesPerSecond}`);
  }
}
