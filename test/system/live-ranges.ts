/**
 * A new member of an array with an FTL gets what the FTL uses, and the array can do without any
 * other one then; also where the server is killed in the middle of the rebuild.
 */

import { renameSync, statSync } from 'node:fs';
import test from 'ava';
import { processAlive } from '../../src/cli/process-alive.ts';
import { eventually, noise, StackWorld } from '../_helpers/running-stack.ts';

const MIB = 2 ** 20;
const MEMBER_BYTES = 192 * MIB;

function bytesOnDisk(file: string): number {
  return statSync(file).blocks * 512;
}

/** Levels, and a tenth of what their FTL holds. */
const STACKS = [
  ['raid5f', 3, ['--strip-size', '32K'], 30 * MIB],
  ['raid1', 2, ['--ftl'], 15 * MIB],
] as const;

for (const [level, members, words, bytes] of STACKS) {
  test.serial(`${level}: a new member of an array with an FTL gets what is used`, async (t) => {
    t.timeout(100_000);
    const world = new StackWorld(t);
    const disks = world.files(members, MEMBER_BYTES);
    await world.ok('create', 'tank', '--raid', level, ...words, ...disks);
    await world.export('tank');
    const content = noise(bytes, members);
    await world.write('tank', content);
    await world.ok('wait', 'tank', '--for', 'resync', '--timeout', '60s');
    const [first, second] = disks as [string, string];
    const blank = world.file('blank.img', MEMBER_BYTES);
    await world.ok('rebuild', 'tank', '--rate', '8M');
    await world.ok('member', 'fail', 'tank', second);
    await world.ok('member', 'add', 'tank', blank);
    const { activity } = (await world.status('tank')) as unknown as {
      activity: { kind: string; total_bytes: number };
    };
    t.is(activity.kind, 'rebuild');
    t.true(activity.total_bytes < 0.15 * MEMBER_BYTES, `of ${activity.total_bytes} bytes`);

    const pid = await world.serverPid('tank');
    process.kill(pid, 'SIGKILL');
    await eventually('the server is gone', () => !processAlive(pid));
    await world.export('tank');
    await world.ok('wait', 'tank', '--for', 'rebuild', '--timeout', '60s');
    t.is((await world.status('tank'))['health'], 'healthy' as never);
    const used = bytesOnDisk(blank);
    t.log(`${Math.round(used / MIB)} of ${MEMBER_BYTES / MIB} MiB were written to the new member`);
    t.true(used < 0.15 * MEMBER_BYTES);
    await world.ok('check', 'tank');
    await world.ok('wait', 'tank', '--for', 'check', '--exit-code', '--timeout', '60s');
    await world.ok('stop', 'tank');

    renameSync(first, `${first}.away`);
    await world.export('tank', '--degraded');
    t.true((await world.read('tank', bytes)).equals(content));
    const beyond = await world.read('tank', 4 * MIB, bytes);
    t.true(beyond.every((byte) => byte === 0));
    await world.ok('stop', 'tank');
  });
}
