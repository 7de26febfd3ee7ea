#!/usr/bin/env node
/**
 * `npm run bench`: bandstand against its peers, on the same files, in the same run.
 *
 *     npm run bench -- [--rounds N] [--seconds S] [--only TEXT] [--dir DIR] [--json FILE]
 *
 * What makes such numbers lie, and what is done about it
 *   - the machine drifts: rounds alternate between the two programs, and the figure is the median
 *     of the rounds' ratios;
 *   - a file without blocks is read for free: files are filled with random bytes first;
 *   - page cache: both sides use O_DIRECT, registered buffers and registered files;
 *   - a memory file system has no device: its figures show the cost of the software alone.
 *
 * The table is in cases.ts; TypeScript is loaded through tsx, as in the tests.
 */

import { register } from 'tsx/esm/api';

register();
const { main } = await import('./compare.ts');
process.exitCode = await main(process.argv.slice(2));
