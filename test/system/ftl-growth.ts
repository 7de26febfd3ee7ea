/** Members that grow under a stack with an FTL: it uses them from its next start on. */

import { truncateSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { noise, StackWorld } from '../_helpers/running-stack.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

const MIB = 2 ** 20;
/** The server looks at the sizes of its members every ten seconds. */
const LOOKS = 100;
const LOOK_MS = 300;

test.serial('an FTL grows with its mirrors, and keeps what it had', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(2, 64 * MIB);
  const content = noise(2 * MIB, 23);
  await world.ok('create', 'tank', '--raid', 'raid1', '--ftl', ...disks);
  await world.export('tank');
  await world.write('tank', content);
  const size = async (): Promise<number> => Number((await world.status('tank'))['size_bytes']);
  const before = await size();
  for (const disk of disks) truncateSync(disk, 128 * MIB);
  let events = '';
  for (let look = 0; look < LOOKS && !events.includes('the array has grown'); look += 1) {
    await sleep(LOOK_MS);
    events = (await world.run('events', 'tank', '-v')).stdout;
  }
  t.regex(events, /the array has grown from 63 MiB to 127 MiB/);
  t.regex(events, /action: stop and export tank again: what lies on the array grows at its next/);
  t.is(await size(), before, 'for now');
  await world.ok('stop', 'tank');
  await world.export('tank');
  const grown = await size();
  t.true(grown > 1.9 * before, `${before} to ${grown}`);
  t.regex((await world.ok('events', 'tank')).stdout, / I the stack has grown from .* to .* MiB/);
  sameBytes(t, await world.read('tank', content.length), content);
  await world.write('tank', content, grown - content.length);
  await world.ok('stop', 'tank');
  t.regex((await world.ok('check', 'tank')).stdout, /blocks verified; the members agree/);
  await world.export('tank', '--read-only');
  sameBytes(t, await world.read('tank', content.length, grown - content.length), content);
  sameBytes(t, await world.read('tank', content.length), content);
  await world.ok('stop', 'tank');
});
