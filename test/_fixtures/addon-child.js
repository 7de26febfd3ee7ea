/**
 * A process that does one thing with the addon and prints the outcome as JSON: what changes a whole
 * process must not be done to the one that runs the tests.
 */

import { once } from 'node:events';
import { constants, readFileSync, readlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';

const addon = createRequire(import.meta.url)(process.argv[2]);

const lockedKiB = () =>
  Number(/^VmLck:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]);

const ACTIONS = {
  ioFlusher: () => [
    addon.getIoFlusher(),
    addon.setIoFlusher(true),
    addon.getIoFlusher(),
    addon.setIoFlusher(false),
    addon.getIoFlusher(),
  ],
  lockMemory: async () => {
    addon.memoryMap(1 << 22, false);
    const result = addon.lockMemory();
    const before = lockedKiB();
    const later = addon.memoryMap(1 << 24, false);
    const after = lockedKiB();
    addon.memoryUnmap(later.memory);
    // Heaps that grow, shrink and end must not disturb V8, here and in a thread.
    const churn = `
      let kept = [];
      for (let index = 0; index < 300_000; index += 1) kept[index % 50_000] = [index];
      for (let index = 0; index < 1000; index += 1) new Function('a', 'return a + ' + index)(1);
      kept = null;
      globalThis.gc?.();
    `;
    for (let round = 0; round < 3; round += 1) {
      new Function(churn)();
      await once(new Worker(churn, { eval: true }), 'exit');
    }
    return [result, before, after - before, lockedKiB() - before];
  },
  lockPlacedFile: () => {
    const { memory } = addon.memoryMap(1 << 22, false);
    const result = addon.lockMemory();
    const before = lockedKiB();
    const fd = addon.fileOpen(process.argv[4], constants.O_RDWR | constants.O_CREAT, 0o600);
    addon.fileAllocate(fd, 1 << 21);
    addon.memoryPlaceFile(memory, 1 << 20, fd, 1 << 21);
    const after = lockedKiB();
    addon.memoryUnmap(memory);
    return [result, after - before, before - lockedKiB()];
  },
  parentDeathSignal: () => [addon.setParentDeathSignal(15), addon.setParentDeathSignal(0)],
  processName: () => {
    addon.setProcessName('bandstand-tank-and-more');
    return readFileSync('/proc/self/comm', 'utf8').trim();
  },
  privateMounts: () => {
    const before = readlinkSync('/proc/thread-self/ns/mnt');
    const result = addon.privateMounts();
    const shared = readFileSync('/proc/thread-self/mountinfo', 'utf8').includes(' shared:');
    return [result, readlinkSync('/proc/thread-self/ns/mnt') !== before, shared];
  },
  notify: () => process.argv.slice(4).map((state) => addon.sdNotify(state)),
};

console.log(JSON.stringify(await ACTIONS[process.argv[3]]()));
