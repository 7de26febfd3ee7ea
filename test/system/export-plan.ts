/** What `export --dry-run` says, and that nothing is written or started for it. */

import { readFileSync, renameSync } from 'node:fs';
import test from 'ava';
import { printedError } from '../_helpers/run-cli.ts';
import { DISK_BYTES, StackWorld } from '../_helpers/running-stack.ts';

const MIB = 2 ** 20;

test('a plan names what a start would use, and changes none of it', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(3, DISK_BYTES);
  const ssd = world.file('ssd.img', 6 * MIB);
  await world.ok('create', 'tank', '--raid', 'raid5f', ...disks, '--cache', ssd);
  const files = [...disks, ssd];
  const before = files.map((file) => readFileSync(file));
  const { stdout } = await world.ok('export', 'tank', '--dry-run', '--read-only', '--via', 'nbd');
  t.is(
    stdout,
    `tank would be assembled from 3 of 3 members
  0  ${disks[0]}
  1  ${disks[1]}
  2  ${disks[2]}
with its FTL
with its NV cache: ${ssd}
and exported read-only, by NBD
`,
  );
  const plan = JSON.parse((await world.ok('export', 'tank', '--dry-run', '--json')).stdout);
  t.deepEqual(plan.data, {
    name: 'tank',
    via: 'auto',
    read_only: false,
    members: disks.map((device, slot) => ({ slot, device })),
    ftl: true,
    cache: ssd,
  });
  t.deepEqual(
    files.map((file, index) => Buffer.compare(readFileSync(file), before[index]!)),
    [0, 0, 0, 0],
  );
  const { stdout: status } = await world.ok('status', 'tank', '--json');
  t.is(JSON.parse(status).data.health, 'stopped');
  // It is what the start then does; and of one that runs there is nothing to plan.
  await world.export('tank');
  const running = await world.ok('export', 'tank', '--dry-run');
  t.is(running.stdout, (await world.ok('export', 'tank')).stdout);
  await world.ok('stop', 'tank');
});

test('what a start would be refused with is the error of its plan', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(2, 32 * MIB);
  const ssd = world.file('ssd.img', 6 * MIB);
  await world.ok('create', 'tank', '--raid', 'raid1', '--ftl', ...disks, '--cache', ssd);
  const away = `${disks[1]}.away`;
  renameSync(disks[1]!, away);
  const refused = await world.spawn('export', 'tank', '--dry-run', '--json');
  t.is(
    printedError(refused).code,
    printedError(await world.spawn('export', 'tank', '--json')).code,
  );
  t.is(printedError(refused).code, 'BANDSTAND_ARRAY_DEGRADED');
  const degraded = await world.ok('export', 'tank', '--dry-run', '--degraded', '--plain');
  t.is(degraded.stdout, `0\t${disks[0]}\n1\t-\n`);
  renameSync(away, disks[1]!);
  renameSync(ssd, `${ssd}.away`);
  const cacheless = await world.spawn('export', 'tank', '--dry-run', '--json');
  t.is(printedError(cacheless).code, 'BANDSTAND_CACHE_MISSING');
  const unknown = await world.spawn(
    'export',
    'other',
    '--device',
    disks[0]!,
    '--dry-run',
    '--json',
  );
  t.like(printedError(unknown), {
    code: 'BANDSTAND_STACK_NOT_FOUND',
    hint: `look at its devices: bandstand examine ${disks[0]}`,
  });
});
