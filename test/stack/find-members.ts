/** Looking for members: what cannot be looked at is told as that, and not as missing. */

import { mkdirSync, renameSync, rmSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { BandstandError } from '../../src/block/errors.ts';
import { findMembers } from '../../src/stack/find-members.ts';
import { withRing } from '../../src/stack/offline-ring.ts';
import { StateStore } from '../../src/stack/state-store.ts';
import type { StackPlan } from '../../src/stack/worker-messages.ts';
import { requires } from '../_helpers/requires.ts';
import { CliWorld } from '../_helpers/run-cli.ts';

const MIB = 2 ** 20;

interface Found {
  readonly cli: CliWorld;
  readonly disks: readonly string[];
  readonly plan: StackPlan;
}

/** A mirror of two that is remembered. */
async function mirror(t: ExecutionContext): Promise<Found> {
  const cli = new CliWorld(t);
  const disks = cli.files(2, 4 * MIB);
  t.is((await cli.run('create', 'tank', '--raid', 'raid1', ...disks)).status, 0);
  const remembered = new StateStore(cli.path('state')).load('tank')!;
  const { uuid } = remembered;
  const plan = { name: 'tank', uuid, devices: [], remembered, degraded: false, readOnly: false };
  return { cli, disks, plan };
}

async function refusal(t: ExecutionContext, plan: StackPlan): Promise<BandstandError> {
  const error = await t.throwsAsync(() => withRing((ring) => findMembers(ring, plan)));
  t.true(error instanceof BandstandError, String(error));
  return error as unknown as BandstandError;
}

test.serial('a member that has gone is missing', async (t) => {
  const { disks, plan } = await mirror(t);
  renameSync(disks[1]!, `${disks[1]}.away`);
  const error = await refusal(t, plan);
  t.is(error.code, 'BANDSTAND_ARRAY_DEGRADED');
  t.regex(error.message, /slot 1 \([-0-9a-f]+\): no device holds it$/);
  t.is(error.hint, 'give the missing devices, or add --degraded to start without them');
});

test.serial('a member that is there and cannot be used is told with its reason', async (t) => {
  const { disks, plan } = await mirror(t);
  const [, b] = disks as [string, string];
  rmSync(b);
  mkdirSync(b);
  const error = await refusal(t, plan);
  t.is(error.code, 'BANDSTAND_ARRAY_DEGRADED');
  t.true(
    error.message.endsWith(
      `: no device holds it; cannot use ${b}: it is neither a block device nor a regular file`,
    ),
    error.message,
  );
  t.is(error.hint, 'give the path of a block device or of a regular file');
  const found = await withRing((ring) => findMembers(ring, { ...plan, degraded: true }));
  t.is(found.unreadable.get(b)?.code, 'BANDSTAND_DEVICE_INVALID');
});

const asRoot = requires('root');

asRoot('members that may not be opened are no reason to start without them', async (t) => {
  const { plan } = await mirror(t);
  process.seteuid!(65534);
  try {
    const error = await refusal(t, plan);
    t.regex(error.message, /; cannot (open|use) .*disk0\.img: permission denied; /);
    t.is(error.hint, 'run as root, or change the mode');
  } finally {
    process.seteuid!(0);
  }
});
