#!/usr/bin/env node
/**
 * `npm run bench:ftl`: what the log-structured layer costs, and how fast it starts.
 *
 *     npm run bench:ftl -- [--only PART] [--dir DIR] [--throttle MIB_PER_SECOND] [--json FILE]
 *
 *   speed    an FTL over raid5f(4) with members that cost nothing per byte (forgetful-device.ts):
 *            4 KiB random writes at depth 64 after the device was filled and overwritten three
 *            times; bytes that come to the members; reads that the array adds; growth of the heap
 *   files    the same over files in DIR: random writes against what the members take in sequence,
 *            random reads against those of the array alone. With --throttle the members are
 *            loop devices that the kernel holds to that rate each (root, cgroup v1)
 *   starts   an FTL of 64 GiB over four sparse files in DIR, served over NBD by the real program:
 *            the start after SIGKILL in the middle of random writes, a clean start, memory
 *
 * Rates count per second of processor time of the reactor's thread where the target is "one core",
 * because others may use the machine; windows of what is compared alternate, and the median of
 * their ratios counts. The load generator runs on the same thread and is part of what is measured.
 *
 * What makes such numbers lie: a device that is not full (nothing is relocated), one that was
 * filled in order (relocation settles after several times the device), and a disk behind DIR that
 * is slower than the program (then the disk is measured). The exit status is 1 when a target is
 * missed.
 */

import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { runParts } from './parts.js';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    dir: { type: 'string', default: existsSync('/dev/shm') ? '/dev/shm' : tmpdir() },
    throttle: { type: 'string' },
    json: { type: 'string' },
  },
});

const PARTS = { speed: 'ftl-speed.ts', files: 'ftl-files.ts', starts: 'ftl-starts.ts' };

const { throttle, ...common } = options;
const words = throttle === undefined ? [] : [throttle];
process.exitCode = runParts(PARTS, { ...common, name: 'ftl', words });
