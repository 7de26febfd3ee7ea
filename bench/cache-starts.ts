/**
 * The part `starts` of bench:cache: the real program, a cache of 1 GiB before an FTL over four
 * files, and SIGKILL in the middle of random writes.
 *
 * "Online" is the time from the start of the command `export` until it has ended, when clients can
 * connect: two starts of Node included. Meanwhile the whole ring is read; what was found is drained
 * afterwards.
 *
 * The rate of the scan is that of the product's own steps, run in this process on the device that
 * the killed server has left, against fio that reads the same device in sequence with the same
 * requests: 1 MiB each, four at a time. Both in turn; the median of the ratios counts. The device
 * lies in memory, which no SSD is as fast as: so it is judged at the rate of a fast one, to which
 * the kernel holds it where this process may ask for that (root, cgroup v1), and else as it is.
 */

import { closeSync, ftruncateSync, openSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FileDevice } from '../src/device/file-device.ts';
import { NullDevice } from '../src/device/null-device.ts';
import { loadAddon } from '../src/native/load.ts';
import { readCacheHeader } from '../src/nv-cache/cache-header-io.ts';
import { CacheRestore } from '../src/nv-cache/cache-restore.ts';
import { RingReactor } from '../src/reactor/ring-reactor.ts';
import { BenchDisk } from './bench-disk.ts';
import { runFio } from './fio.ts';
import { BLOCK_BYTES } from './ftl-stack.ts';
import { atLeast, atMost, mebibytes, median, tell } from './outcome.ts';
import { cpuSeconds, ServedStack, slowestStep } from './served-stack.ts';
import { joinThrottled, throttle } from './throttle.ts';

const CACHE_BYTES = 2 ** 30;
const MEMBER_BYTES = 2 ** 30;
const ARENA_BYTES = 32 * 2 ** 20;
const LOAD_SECONDS = 12;
const KILLED_AFTER_MS = 10_000;
const STARTS = 3;
/** Loads before the later starts. */
const AGAIN_MS = 2000;
const SCANS = 9;
const SCAN_BYTES = 2 ** 20;
const SCAN_DEPTH = 4;
/** What a fast SSD reads: all that four lanes of PCI Express 3 carry. */
const SSD_BYTES_PER_SECOND = 3.5e9;

/** In place of the FTL: a scan asks it for its size alone. */
class NothingBehind extends NullDevice {
  readonly acceptedMark = 0;
  readonly settledMark = 0;
  async settle(): Promise<void> {}
}

const folder = process.argv[2]!;
const stack = new ServedStack(folder);
const disk = BenchDisk.make(path.join(folder, 'cache'), CACHE_BYTES);

/** Bytes per second of the product's scan, as a start does it that writes nothing. */
async function scan(reactor: RingReactor, device: FileDevice): Promise<number> {
  const { header } = await readCacheHeader(reactor, device);
  const restore = new CacheRestore({
    reactor,
    cache: device,
    backing: new NothingBehind('nothing', { sizeBytes: 2 ** 40 }),
    expected: { owner: header.owner, uuid: null, epoch: 0 },
    readOnly: true,
    mirror: null,
    epochBegins: async () => {},
  });
  const [readHeader, scanRing] = restore.steps;
  await readHeader!.run();
  const begin = performance.now();
  await scanRing!.run();
  const seconds = (performance.now() - begin) / 1000;
  restore.dispose();
  return (restore.report.scannedBlocks * BLOCK_BYTES) / seconds;
}

function fioRate(): number {
  const job = {
    rw: 'read',
    requestBytes: SCAN_BYTES,
    depth: SCAN_DEPTH,
    seconds: 0.5,
    paths: [disk.path],
    regionBytes: CACHE_BYTES,
  };
  return runFio(job).bytes_per_second;
}

/** Null when the device cannot be held to the rate. */
function holdToRate(bytesPerSecond: number): string | null {
  try {
    if (!disk.isLoop) return null;
    joinThrottled();
    throttle(disk.path, bytesPerSecond);
    return `${disk.kind}, held to ${mebibytes(bytesPerSecond)}/s`;
  } catch {
    return null;
  }
}

async function compareScans(kind: string, isJudged: boolean): Promise<void> {
  const reactor = RingReactor.create({ native: loadAddon(), arenaBytes: ARENA_BYTES, pollUs: 50 });
  const device = new FileDevice(disk.path, { blockBytes: BLOCK_BYTES, readOnly: true });
  await reactor.drive(device.open(reactor));
  const ratios: number[] = [];
  let [ours, theirs] = [0, 0];
  await reactor.drive(scan(reactor, device));
  for (let round = 0; round < SCANS; round += 1) {
    ours = await reactor.drive(scan(reactor, device));
    theirs = fioRate();
    ratios.push(ours / theirs);
  }
  await reactor.drive(device.close());
  await reactor.close();
  tell(
    'starts: scan of the ring / fio reading it',
    median(ratios).toFixed(2),
    isJudged ? atLeast(median(ratios), 0.8) : null,
    `last: ${mebibytes(ours)}/s, fio ${mebibytes(theirs)}/s; ${kind}`,
  );
}

/** Ends the server in the middle of writes; gives the bytes that only the cache has. */
async function killUnderLoad(ms: number): Promise<number> {
  const loaded = stack.load(LOAD_SECONDS);
  await sleep(ms);
  const { cache, server } = await stack.status();
  process.kill(server.pid, 'SIGKILL');
  await loaded;
  return cache.undrained_bytes;
}

const members = ['a', 'b', 'c', 'd'].map((name) => path.join(folder, name));
for (const member of members) {
  const fd = openSync(member, 'w');
  ftruncateSync(fd, MEMBER_BYTES);
  closeSync(fd);
}
try {
  const create = ['create', 'tank', '--raid', 'raid5f', '--cache', disk.path, '--yes'];
  await stack.bandstand(...create, '--erase', disk.path, ...members);
  await stack.start();
  await stack.bandstand('wait', 'tank', '--for', 'resync');
  const times: number[] = [];
  let [undrained, note] = [0, ''];
  for (let start = 0; start < STARTS; start += 1) {
    undrained = await killUnderLoad(start === 0 ? KILLED_AFTER_MS : AGAIN_MS);
    if (start === 0) {
      const held = holdToRate(SSD_BYTES_PER_SECOND);
      if (held !== null) {
        await compareScans(held, true);
        throttle(disk.path, 0);
      }
      await compareScans(`${disk.kind} in memory`, held === null);
    }
    times.push(await stack.start());
    const cpu = cpuSeconds(await stack.pid());
    const slowest = slowestStep(stack.newestStart());
    note = `${slowest}; ${cpu.toFixed(2)} s of processor time; ${mebibytes(undrained)} undrained`;
  }
  tell(
    'starts: online after SIGKILL, cache of 1 GiB',
    `${median(times).toFixed(2)} s`,
    atMost(median(times), 2, '≤ 2 s'),
    `last: ${note}`,
  );
} finally {
  await stack.bandstand('stop', 'tank').catch(() => {});
  disk.close();
}
