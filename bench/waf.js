#!/usr/bin/env node
/**
 * `npm run bench:waf`: how many blocks the FTL writes for each block that a user writes.
 *
 *     npm run bench:waf -- [--seed N] [--only TEXT] [--warm-up N] [--measured N] [--json]
 *
 * The FTL's own placement and victim policy over a model without I/O, compared with theory, with
 * fixed goals and with the greedy policy (one open band, fewest valid blocks first). Exits with 1
 * when a goal is missed. The figures depend on the seed alone, not on the machine.
 *
 * What makes such numbers lie: too short a warm-up (relocation settles after several times the
 * device), bands of few blocks (random variation then favours relocation), free and open bands that
 * are left out of the spare space. Here all of them count.
 */

import { register } from 'tsx/esm/api';

register();
const { main } = await import('./waf.ts');
process.exitCode = main(process.argv.slice(2));
