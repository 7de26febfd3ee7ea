/** The status of a stack without a server: what is remembered, and what is still there. */

import test from 'ava';
import type { RememberedStack } from '../../src/stack/state-store.ts';
import { stoppedStatus } from '../../src/stack/stopped-status.ts';
import { memberOf } from '../_helpers/fake-manager.ts';
import { CliWorld } from '../_helpers/run-cli.ts';

test('members are what they were when the server ended, or missing', (t) => {
  const world = new CliWorld(t);
  const paths = world.files(4, 4096);
  const stack: RememberedStack = {
    name: 'tank',
    uuid: '5f0c9d1e-71c2-4c36-9d0e-2f6f3a1b8c44',
    level: 'raid1',
    stripBytes: 0,
    blockBytes: 4096,
    sizeBytes: 2 ** 30,
    superblock: true,
    ftl: false,
    members: [...paths, '/nowhere'].map((path, slot) => ({
      slot,
      uuid: memberOf(slot).uuid,
      path,
      health: (['ok', 'failed', 'missing', 'rebuilding', 'ok'] as const)[slot]!,
    })),
    spares: [],
    cache: null,
  };
  const { health, reason, array } = stoppedStatus(stack, false);
  t.is(health, 'stopped');
  t.deepEqual(
    array!.members.map((member) => member.health),
    ['ok', 'failed', 'missing', 'rebuilding', 'missing'],
  );
  t.is(
    reason,
    [
      `member ${paths[1]} (slot 1) has failed`,
      `member ${paths[2]} (slot 2) was out of service`,
      'slot 3 was being rebuilt',
      'member /nowhere (slot 4) cannot be found',
    ].join('; '),
  );
  t.is(stoppedStatus(stack, true).reason, 'its server ended without a clean stop');
});

test('what an NV cache lies on is looked for, too', (t) => {
  const world = new CliWorld(t);
  const [path] = world.files(1, 4096);
  const uuid = '0ca40ca4-0000-4000-8000-000000000001';
  const reason = (cache: RememberedStack['cache']): string | null =>
    stoppedStatus(
      {
        name: 'tank',
        uuid,
        level: 'raid1',
        stripBytes: 0,
        blockBytes: 4096,
        sizeBytes: 2 ** 30,
        superblock: true,
        ftl: true,
        members: [],
        spares: [],
        cache,
      },
      false,
    ).reason;
  t.is(reason({ uuid, path: path!, members: [], spares: [] }), null);
  t.is(
    reason({ uuid, path: '/nowhere', members: [], spares: [] }),
    'its NV cache /nowhere cannot be found',
  );
  const members = [path!, '/nowhere'].map((one, slot) => ({
    slot,
    uuid,
    path: one,
    health: 'ok' as const,
  }));
  t.is(
    reason({ uuid, path: null, members, spares: [] }),
    'member /nowhere (slot cache:1) cannot be found',
  );
});
