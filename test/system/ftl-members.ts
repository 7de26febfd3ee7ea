/**
 * A log-structured parity array while its members fail: under load onto a spare, killed in the
 * middle of the rebuild, and started without one of them.
 *
 * BANDSTAND_SEED chooses other blocks.
 */

import { renameSync } from 'node:fs';
import test from 'ava';
import { processAlive } from '../../src/cli/process-alive.ts';
import { AcknowledgedWrites, generator, LOG_BLOCK_BYTES } from '../_helpers/acknowledged-writes.ts';
import { eventually, StackWorld } from '../_helpers/running-stack.ts';

const SEED = Number(process.env['BANDSTAND_SEED'] ?? 20261128);
const MIB = 2 ** 20;
const BLOCKS = 3000;
const ENOUGH = 2000;

test.serial('a parity array with an FTL is made whole again under load', async (t) => {
  t.log(`seed ${SEED}`);
  t.timeout(100_000);
  const world = new StackWorld(t);
  const disks = world.files(3, 48 * MIB);
  const spare = world.file('spare.img', 48 * MIB);
  const words = ['--raid', 'raid5f', '--strip-size', '32K', '--spare', spare];
  await world.ok('create', 'tank', ...words, ...disks);
  await world.export('tank');
  const client = await world.connect('tank');
  const all = Math.floor(client.sizeBytes / LOG_BLOCK_BYTES);
  const random = generator(SEED);
  const blocks = new Set<number>();
  while (blocks.size < BLOCKS) blocks.add(Math.floor(random() * all));
  const log = new AcknowledgedWrites([...blocks], SEED);

  await world.ok('rebuild', 'tank', '--rate', '8M');
  let enough = false;
  const load = log.load(client, {
    depth: 16,
    until: () => enough,
    acknowledged: (count) => {
      enough = count >= ENOUGH;
    },
  });
  await world.ok('member', 'fail', 'tank', disks[1]!);
  t.false(await load, 'the server lives');
  await log.verify(client);

  // In the middle of the rebuild, or just behind it.
  const pid = await world.serverPid('tank');
  process.kill(pid, 'SIGKILL');
  await eventually('the server is gone', () => !processAlive(pid));
  await world.export('tank');
  const second = await world.connect('tank');
  await log.verify(second);
  await world.ok('wait', 'tank', '--for', 'rebuild', '--timeout', '60s');
  t.is((await world.status('tank'))['health'], 'healthy' as never);
  await log.load(second, {
    depth: 16,
    acknowledged: () => {},
    until: () => log.total > 2 * ENOUGH,
  });
  await second.disconnect();
  await world.ok('stop', 'tank');

  renameSync(disks[0]!, `${disks[0]}.away`);
  await world.export('tank', '--degraded');
  const third = await world.connect('tank');
  await log.verify(third);
  await third.disconnect();
  await world.ok('stop', 'tank');
});
