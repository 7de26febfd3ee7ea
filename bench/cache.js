#!/usr/bin/env node
/**
 * `npm run bench:cache`: what an NV cache gives, and how fast it starts.
 *
 *     npm run bench:cache -- [--only PART] [--dir DIR] [--json FILE]
 *
 *   flush    writes of 4 KiB, each with a flush, by one writer and by sixteen, against fio on a
 *            device like the cache device; units that were padded on the array for it
 *   absorb   what is drained of a load with favourites (Zipf 1.0) that fits the cache
 *   starts   a cache of 1 GiB, served by the real program: online after SIGKILL under load, and
 *            the rate of the scan against fio that reads the same device
 *
 * The cache device is a loop device over a file in DIR (root), otherwise the file. On a memory file
 * system that shows the cost of the software; give a directory on the SSD to have the SSD in it.
 *
 * What makes such numbers lie: a ring that is not full yet (nothing is drained), a peer that is not
 * flushed, and a machine that has no processor left for the kernel's part. The exit status is 1
 * when a target is missed.
 */

import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { runParts } from './parts.js';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    dir: { type: 'string', default: existsSync('/dev/shm') ? '/dev/shm' : tmpdir() },
    json: { type: 'string' },
  },
});

const PARTS = { flush: 'cache-flush.ts', absorb: 'cache-absorb.ts', starts: 'cache-starts.ts' };

process.exitCode = runParts(PARTS, { ...options, name: 'cache' });
