/**
 * A log-structured stack whose server is killed in the middle of writes, again and again: every
 * write that was acknowledged is there, flushed or not, because a file system on the export has
 * forgotten it.
 *
 * BANDSTAND_SEED chooses other blocks, BANDSTAND_KILLS more kills than six.
 */

import test from 'ava';
import { processAlive } from '../../src/cli/process-alive.ts';
import { AcknowledgedWrites, generator, LOG_BLOCK_BYTES } from '../_helpers/acknowledged-writes.ts';
import { eventually, StackWorld } from '../_helpers/running-stack.ts';

const SEED = Number(process.env['BANDSTAND_SEED'] ?? 20261127);
const KILLS = Number(process.env['BANDSTAND_KILLS'] ?? 6);
const MIB = 2 ** 20;
const DISK_BYTES = 32 * MIB;
const ACKNOWLEDGED_MAX = 3000;
const BLOCKS = 4000;

for (const [level, members] of [
  ['raid5f', 3],
  ['raid1', 2],
] as const) {
  test.serial(
    `${level} with an FTL loses nothing that was acknowledged when it is killed`,
    async (t) => {
      t.log(`seed ${SEED}`);
      t.timeout(100_000 + KILLS * 10_000);
      const world = new StackWorld(t);
      const disks = world.files(members, DISK_BYTES);
      const strip = level === 'raid5f' ? ['--strip-size', '32K'] : [];
      await world.ok('create', 'tank', '--raid', level, '--ftl', ...strip, ...disks);
      await world.export('tank');
      const { sizeBytes } = await world.connect('tank').then(async (client) => {
        await client.disconnect();
        return client;
      });
      const random = generator(SEED);
      const all = Math.floor(sizeBytes / LOG_BLOCK_BYTES);
      const blocks = new Set<number>();
      while (blocks.size < Math.min(BLOCKS, all / 2)) blocks.add(Math.floor(random() * all));
      const log = new AcknowledgedWrites([...blocks], SEED);
      for (let kill = 0; kill < KILLS; kill += 1) {
        const client = await world.connect('tank');
        const pid = await world.serverPid('tank');
        const after = 1 + Math.floor(random() * ACKNOWLEDGED_MAX);
        const gone = await log.load(client, {
          depth: 32,
          acknowledged: (count) => {
            if (count === after) process.kill(pid, 'SIGKILL');
          },
        });
        t.true(gone, 'the load ends with its server');
        await eventually('the server is gone', () => !processAlive(pid));
        await world.export('tank');
        const again = await world.connect('tank');
        await log.verify(again);
        await again.disconnect();
      }
      t.log(`${log.total} writes acknowledged, ${KILLS} kills`);
      await world.ok('stop', 'tank');
      await world.export('tank');
      const last = await world.connect('tank');
      await log.verify(last);
      await last.disconnect();
      await world.ok('stop', 'tank');
    },
  );
}
