/** What all requests of clients have in common, and the events and the status of the array. */

import test from 'ava';
import type { ArrayEvent } from '../../src/raid/array-events.ts';
import { add, change, inWorld, type WorldOptions } from '../_helpers/control-world.ts';

const MIB = 2 ** 20;

test('without redundancy or superblock, and read-only, nothing changes', async (t) => {
  const cases: readonly (readonly [options: WorldOptions, code: string, why: string])[] = [
    [{ level: 'raid0' }, 'BANDSTAND_LEVEL_REDUNDANCY', 'tank is raid0, which '],
    [{ unmanaged: true }, 'BANDSTAND_ARRAY_UNRECORDED', 'tank has no superblock'],
    [{ readOnly: true }, 'BANDSTAND_STACK_READ_ONLY', 'tank was started with --read-only'],
  ];
  for (const [options, code, why] of cases) {
    await inWorld(t, options, async ({ cli, manager, control, refused }) => {
      const device = cli.file('new.img', 4 * MIB);
      for (const act of [
        () => control.members.addMember(add(device)),
        () => control.members.failMember(change('0')),
        () => control.members.removeMember(change('0')),
        () => control.members.replaceMember({ ...change('0'), device }),
        () => control.processes.controlCheck({ action: 'start', repair: true, dry_run: false }),
      ]) {
        const error = await refused(act);
        t.is(error.code as string, code);
        t.true(error.message.includes(why), error.message);
      }
      t.deepEqual(manager.calls, []);
    });
  }
});

test('events of the array are passed on; those about members are followed by their state', (t) =>
  inWorld(t, {}, async ({ manager, control, events }) => {
    const event: ArrayEvent = {
      kind: 'member-failed',
      severity: 'error',
      message: '/dev/none1 has failed',
      reason: 'a write failed (EIO)',
      action: null,
      slot: 1,
      device: '/dev/none1',
      details: {},
    };
    manager.lose('failed', 1);
    control.arrayEvent(event);
    control.arrayEvent({ ...event, kind: 'blocks-repaired' });
    t.deepEqual(
      events.map((one) => (one.event === 'array' ? one.array.kind : one.event)),
      ['member-failed', 'members-changed', 'blocks-repaired'],
    );
    const why = () => 'it was not there at the start';
    t.is(control.status(why)?.reason, '/dev/none1 (slot 1) is failed (a write failed (EIO))');
    control.arrayEvent({ ...event, kind: 'member-removed', severity: 'info' });
    manager.lose('missing', 1);
    t.is(
      control.status(why)?.reason,
      'the member in slot 1 is missing (it was not there at the start)',
    );
  }));
