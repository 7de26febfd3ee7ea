/** Commands that work on a stack themselves tell their steps: to the line, and with --verbose. */

import test from 'ava';
import { CliWorld } from '../_helpers/run-cli.ts';

const MIB = 2 ** 20;

async function told(world: CliWorld, ...words: string[]): Promise<string[]> {
  const { status, stderr } = await world.run(...words, '--verbose');
  if (status !== 0) throw new Error(stderr);
  return stderr.split('\n').filter((line) => line !== '');
}

/** In this order, and none twice. */
function includesInOrder(lines: readonly string[], steps: readonly string[]): boolean {
  const own = lines.filter((line) => steps.includes(line));
  return own.join('\n') === steps.join('\n');
}

for (const count of [1, 2]) {
  test(`every step is told once, with a cache on ${count} of the devices`, async (t) => {
    const world = new CliWorld(t);
    const members = world.files(2, 64 * MIB);
    const cache = ['a.img', 'b.img'].slice(0, count).map((name) => world.file(name, 32 * MIB));
    const words = ['--raid', 'raid1', '--ftl', '--cache', cache.join(','), ...members];
    t.deepEqual(await told(world, 'create', 'tank', ...words), [
      'tank: Look at the devices',
      'tank: Write the metadata',
      'tank: Scrub the NV cache',
    ]);
    t.true(
      includesInOrder(await told(world, 'export', 'tank', '--discard-cache', '--dry-run'), [
        'tank: Look at the NV cache',
        'tank: Close the stack',
      ]),
    );
    t.true(
      includesInOrder(await told(world, 'check', 'tank'), [
        'tank: Find the members',
        'tank: Read the superblocks',
        'tank: Load the map',
      ]),
    );
    t.true(
      includesInOrder(await told(world, 'check', 'tank', '--rebuild-map', '--yes'), [
        'tank: Find the members',
        'tank: Rebuild the map',
        'tank: Scan the NV cache',
        'tank: Close the stack',
      ]),
    );
  });
}
