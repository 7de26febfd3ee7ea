import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import test from 'ava';
import { addonPath, loadAddon } from '../../src/native/load.ts';
import { ROOT } from '../_helpers/repository.ts';

const addon = loadAddon();
const FIXTURE = path.join(ROOT, 'test/_fixtures/addon-worker.js');
const ENDINGS = ['tidy', 'leave', 'exit', 'terminated'] as const;
const WORKERS = 52;

interface Answer {
  ready: number;
  userData: number;
  own: number;
  shared: number;
  address: number;
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

test.serial('workers load, use and leave the addon in every way, again and again', async (t) => {
  const { memory, address } = addon.memoryMap(1 << 16, false);
  new Uint8Array(memory).fill(7);
  const shared = addon.crc32c(address, 1 << 16);
  const filled = addon.memoryMap(1 << 20, false);
  const descriptors = openDescriptors();
  for (let round = 0; round < WORKERS; round += 1) {
    const ending = ENDINGS[round % ENDINGS.length]!;
    const worker = new Worker(FIXTURE, {
      execArgv: [],
      workerData: {
        addon: addonPath(),
        address,
        bytes: 1 << 16,
        fill: round,
        flags: 0,
        ending,
      },
    });
    const exited = once(worker, 'exit');
    const [answer] = (await once(worker, 'message')) as [Answer];
    if (ending === 'terminated') await worker.terminate();
    await exited;
    new Uint8Array(filled.memory).fill(round);
    t.deepEqual(
      { ...answer, address: 0 },
      { ready: 1, userData: 42, own: addon.crc32c(filled.address, 1 << 20), shared, address: 0 },
    );
    // The memory of the worker went with it, however it ended.
    t.throws(() => addon.isZero(answer.address, 1 << 20), { instanceOf: RangeError }, ending);
  }
  t.true(openDescriptors() - descriptors < 20);
  t.is(addon.crc32c(address, 1 << 16), shared);
  addon.memoryUnmap(memory);
  addon.memoryUnmap(filled.memory);
});

test.serial('several workers at once do not disturb each other', async (t) => {
  const { memory, address } = addon.memoryMap(1 << 16, false);
  const workers = Array.from(
    { length: 6 },
    (_, fill) =>
      new Worker(FIXTURE, {
        execArgv: [],
        workerData: {
          addon: addonPath(),
          address,
          bytes: 1 << 16,
          fill,
          flags: 0,
          ending: 'leave',
        },
      }),
  );
  const shared = addon.crc32c(address, 1 << 16);
  const answers = await Promise.all(
    workers.map(async (worker) => {
      const exited = once(worker, 'exit');
      const [answer] = (await once(worker, 'message')) as [Answer];
      await exited;
      return answer;
    }),
  );
  for (const answer of answers) {
    t.is(answer.userData, 42);
    t.is(answer.shared, shared);
  }
  t.is(new Set(answers.map(({ own }) => own)).size, 6);
  addon.memoryUnmap(memory);
});
