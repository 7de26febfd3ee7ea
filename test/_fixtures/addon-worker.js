/**
 * A worker thread that loads the addon, uses it on its own and on memory of the main thread, and
 * ends in the way that `workerData.ending` says.
 */

import { createRequire } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';

const addon = createRequire(import.meta.url)(workerData.addon);

const ring = addon.ringCreate(8, 0, workerData.flags);
const sqes = new Uint32Array(ring.sqes);
sqes[8] = 42;
const ready = addon.ringEnter(ring.handle, 1, 1, 0, -1);
const userData = new Uint32Array(ring.cqes)[0];
const mapping = addon.memoryMap(1 << 20, true);
new Uint8Array(mapping.memory).fill(workerData.fill);
const own = addon.crc32c(mapping.address, 1 << 20);
const shared = addon.crc32c(workerData.address, workerData.bytes);
parentPort.postMessage({ ready, userData, own, shared, address: mapping.address });

if (workerData.ending === 'tidy') {
  addon.ringClose(ring.handle);
  addon.memoryUnmap(mapping.memory);
}
if (workerData.ending === 'exit') process.exit(0);
if (workerData.ending === 'terminated') {
  // Until the main thread ends this thread, in the middle of native calls.
  for (;;) {
    addon.ringEnter(ring.handle, 0, 0, 1, 0);
    addon.ringEnter(ring.handle, 1, 1, 0, -1);
    addon.crc32c(mapping.address, 4096);
  }
}
