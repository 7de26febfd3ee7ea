/**
 * Members and processes of a running stack: what is asked of the array, and what is refused before.
 * The array is a fake; devices are real files on a real ring, so that opening and closing is real.
 */

import { linkSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { BandstandError } from '../../src/block/errors.ts';
import { FileDevice } from '../../src/device/file-device.ts';
import { loadAddon } from '../../src/native/load.ts';
import type { ArrayEvent } from '../../src/raid/array-events.ts';
import type { LevelName } from '../../src/raid/level-rules.ts';
import { labelSpare } from '../../src/raid/spare-label.ts';
import { withDevice, withRing } from '../../src/stack/offline-ring.ts';
import { StackControl } from '../../src/stack/stack-control.ts';
import type { StackEvent } from '../../src/stack/worker-messages.ts';
import { FakeManager, memberOf, NEW_UUID, processOf } from '../_helpers/fake-manager.ts';
import { CliWorld } from '../_helpers/run-cli.ts';

const MIB = 2 ** 20;
const ARRAY_UUID = '5f0c9d1e-71c2-4c36-9d0e-2f6f3a1b8c44';

interface World {
  readonly cli: CliWorld;
  readonly manager: FakeManager;
  readonly control: StackControl;
  readonly events: StackEvent[];
  /** Runs `work`; the error that it throws. */
  refused(work: () => Promise<unknown>): Promise<BandstandError>;
}

interface WorldOptions {
  readonly level?: LevelName;
  readonly readOnly?: boolean;
  readonly unmanaged?: boolean;
}

/** A mirror of three with 3 MiB of data, of which only the manager's words exist. */
async function inWorld(
  t: ExecutionContext,
  options: WorldOptions,
  work: (world: World) => Promise<void>,
): Promise<void> {
  const cli = new CliWorld(t);
  const manager = new FakeManager();
  const events: StackEvent[] = [];
  await withRing(async (ring) => {
    const control = new StackControl({
      ring,
      name: 'tank',
      readOnly: options.readOnly ?? false,
      manager: () => (options.unmanaged === true ? null : manager),
      spec: () => ({
        name: 'tank',
        uuid: ARRAY_UUID,
        level: options.level ?? 'raid1',
        blockBytes: 4096,
        stripBlocks: 0,
        blockCount: 768,
        members: manager.members.map(({ uuid }) => ({
          uuid,
          device: null,
          dataOffset: 256,
          dataSize: 768,
        })),
      }),
      emit: (event) => events.push(event),
    });
    const refused = async (act: () => Promise<unknown>): Promise<BandstandError> => {
      const error = await t.throwsAsync(act);
      t.true(error instanceof BandstandError, String(error));
      return error as unknown as BandstandError;
    };
    try {
      await work({ cli, manager, control, events, refused });
    } finally {
      for (const device of manager.given) await device.close();
    }
  });
}

const add = (device: string) => ({ device, spare_only: false, dry_run: false });
const change = (member: string) => ({
  member,
  member_path: null,
  member_key: null,
  dry_run: false,
});

/** True when nobody has the file locked. */
function isFree(path: string): boolean {
  const native = loadAddon();
  const fd = native.fileOpen(path, 2, 0);
  const result = native.fileLock(fd, true);
  native.fileClose(fd);
  return result === 0;
}

test('a new device is opened exclusively and given to the array', (t) =>
  inWorld(t, {}, async ({ cli, manager, control, events }) => {
    const file = cli.file('new.img', 4 * MIB);
    manager.lose('missing', 2);
    manager.outcome = { role: 'rebuild', slot: 2, uuid: NEW_UUID, mode: 'full' };
    const reply = await control.addMember(add(file));
    t.deepEqual(manager.calls, [['addMember', file, { spareOnly: false }]]);
    t.deepEqual(reply, {
      action: 'add',
      dry_run: false,
      changed: true,
      device: file,
      uuid: NEW_UUID,
      slot: 2,
      was: null,
      role: 'rebuild',
      mode: 'full',
      replaces: null,
      rebuild_device: null,
      rebuild_slot: null,
      waits_for: null,
      health: 'degraded',
    });
    t.false(isFree(file));
    t.deepEqual(
      events.map(({ event }) => event),
      ['members-changed'],
    );
  }));

test('a dry run looks at everything, foretells the outcome and lets go', (t) =>
  inWorld(t, {}, async ({ cli, manager, control, events }) => {
    const file = cli.file('new.img', 4 * MIB);
    const healthy = await control.addMember({ ...add(file), dry_run: true });
    t.like(healthy, { role: 'spare', slot: null, uuid: null, dry_run: true });
    manager.lose('failed', 1);
    const lost = await control.addMember({ ...add(file), dry_run: true });
    t.like(lost, { role: 'rebuild', slot: 1, rebuild_device: file, rebuild_slot: 1 });
    const kept = await control.addMember({ ...add(file), dry_run: true, spare_only: true });
    t.is(kept.role, 'spare');
    t.deepEqual(manager.calls, []);
    t.deepEqual(events, []);
    t.true(isFree(file));
    t.true(readFileSync(file).every((byte) => byte === 0));
  }));

test('a device that the array refuses is closed again', (t) =>
  inWorld(t, {}, async ({ cli, manager, control, refused }) => {
    const file = cli.file('new.img', 4 * MIB);
    manager.refusal = new BandstandError('BANDSTAND_DEVICE_IO', { message: 'broken' });
    t.is((await refused(() => control.addMember(add(file)))).message, 'broken');
    t.true(isFree(file));
  }));

test('a device is refused, with its reason, and closed', (t) =>
  inWorld(t, {}, async ({ cli, manager, control, refused }) => {
    const small = cli.file('small.img', 4 * MIB - 4096);
    const odd = cli.file('odd.img', 512 * 8193);
    const xfs = cli.file('xfs.img', 4 * MIB);
    writeFileSync(xfs, Buffer.concat([Buffer.from('XFSB'), Buffer.alloc(4 * MIB - 4)]));
    const gpt = cli.file('gpt.img', 4 * MIB);
    const table = Buffer.alloc(4 * MIB);
    table.write('EFI PART', 4 * MIB - 512);
    writeFileSync(gpt, table);
    const cases: readonly (readonly [device: string, code: string, text: string])[] = [
      [
        small,
        'BANDSTAND_DEVICE_TOO_SMALL',
        `it has ${4 * MIB - 4096} bytes, at least ${4 * MIB} (4 MiB) are needed`,
      ],
      [xfs, 'BANDSTAND_DEVICE_IN_USE', 'it holds an XFS file system'],
      [gpt, 'BANDSTAND_DEVICE_IN_USE', 'it holds a GPT partition table'],
      [cli.folder, 'BANDSTAND_DEVICE_INVALID', ''],
      [cli.path('nowhere'), 'BANDSTAND_DEVICE_MISSING', ''],
      ['mem:16M', 'BANDSTAND_DEVICE_INVALID', 'it would be gone with the server'],
      ['raid0(/a,/b)', 'BANDSTAND_DEVICE_INVALID', 'it would be gone with the server'],
      [
        `${odd}=${NEW_UUID}`,
        'BANDSTAND_DEVICE_INVALID',
        'a new member is given its UUID by the stack',
      ],
    ];
    for (const [device, code, text] of cases) {
      const error = await refused(() => control.addMember(add(device)));
      t.is(error.code as string, code, error.message);
      if (text !== '') t.is(error.message, `cannot add ${device} to tank: ${text}`);
      t.not(error.hint, null);
    }
    t.deepEqual(manager.calls, []);
    for (const file of [small, xfs, gpt]) t.true(isFree(file), file);
  }));

test('a device that another program has locked is in use', (t) =>
  inWorld(t, {}, async ({ cli, control, refused }) => {
    const file = cli.file('new.img', 4 * MIB);
    const native = loadAddon();
    const fd = native.fileOpen(file, 2, 0);
    t.is(native.fileLock(fd, true), 0);
    const error = await refused(() => control.addMember(add(file)));
    native.fileClose(fd);
    t.is(error.code, 'BANDSTAND_DEVICE_BUSY');
    t.is(error.message, `cannot add ${file} to tank: another program uses it`);
  }));

test('a device joins once, whatever it is called', (t) =>
  inWorld(t, {}, async ({ cli, manager, control, refused }) => {
    const file = cli.file('disk.img', 4 * MIB);
    const link = cli.path('link.img');
    linkSync(file, link);
    manager.members = [memberOf(0, { device: file }), memberOf(1), memberOf(2)];
    const error = await refused(() => control.addMember(add(link)));
    t.is(error.code, 'BANDSTAND_MEMBER_DUPLICATE');
    t.is(error.message, `cannot add ${link} to tank: it is in slot 0 already`);
    manager.members = [memberOf(0, { device: file, health: 'failed' }), memberOf(1), memberOf(2)];
    const failed = await refused(() => control.addMember(add(file)));
    t.is(failed.message, `cannot add ${file} to tank: it is in slot 0 already, and has failed`);
    t.is(failed.hint, `take it out first: bandstand member remove tank ${file}`);
    manager.members = [memberOf(0), memberOf(1), memberOf(2)];
    manager.spares = [{ uuid: NEW_UUID, device: file }];
    const spare = await refused(() => control.addMember(add(file)));
    t.is(spare.message, `cannot add ${file} to tank: it is a spare of it already`);
  }));

test('metadata of this array is welcome, of another one refused, a twin refused', (t) =>
  inWorld(t, {}, async ({ cli, manager, control, refused }) => {
    const file = cli.file('label.img', 4 * MIB);
    const label = async (memberUuid: string, uuid: string): Promise<void> => {
      await withRing(async (ring) => {
        const device = new FileDevice(file, { blockBytes: 4096 });
        const work = () => labelSpare(ring, device, { uuid, seq: 1 }, memberUuid);
        await withDevice(ring, device, work);
      });
    };
    await label(NEW_UUID, NEW_UUID);
    const other = await refused(() => control.addMember(add(file)));
    t.is(other.code, 'BANDSTAND_DEVICE_IN_USE');
    t.is(other.message, `cannot add ${file} to tank: it belongs to another array (${NEW_UUID})`);
    t.is(other.hint, `erase it if nothing on it is needed: bandstand wipe ${file}`);
    await label(manager.members[1]!.uuid!, ARRAY_UUID);
    const twin = await refused(() => control.addMember(add(file)));
    t.is(twin.code, 'BANDSTAND_MEMBER_DUPLICATE');
    t.regex(twin.message, /it says that it is the member in slot 1, which is in use/);
    manager.lose('missing', 1);
    await control.addMember(add(file));
    t.is(manager.calls.length, 1);
    t.is(statSync(file).size, 4 * MIB);
  }));

test('a member is failed only where the level bears it', (t) =>
  inWorld(t, {}, async ({ manager, control, refused }) => {
    const dry = await control.failMember({ ...change('2'), dry_run: true });
    t.like(dry, { changed: true, slot: 2, was: 'ok', health: 'healthy' });
    t.deepEqual(manager.calls, []);
    const reply = await control.failMember(change('none2'));
    t.like(reply, { changed: true, slot: 2, was: 'ok', health: 'degraded', device: '/dev/none2' });
    t.like(await control.failMember(change('2')), { changed: false, was: 'failed' });
    await control.failMember(change('1'));
    t.deepEqual(manager.calls, [
      ['failMember', 2],
      ['failMember', 1],
    ]);
    const last = await refused(() => control.failMember(change('none0')));
    t.is(last.code, 'BANDSTAND_MEMBER_NEEDED');
    t.is(
      last.message,
      'cannot fail none0: tank is already degraded and raid1 of 3 members survives 2 failures',
    );
    t.is(last.hint, 'add a device first: bandstand member add tank DEVICE');
    manager.process = processOf();
    const rebuilding = await refused(() => control.failMember(change('none0')));
    t.is(rebuilding.hint, 'wait for the rebuild (bandstand wait tank --for rebuild)');
  }));

test('raid5f survives one failure, and a raid5f that has one says so', (t) =>
  inWorld(t, { level: 'raid5f' }, async ({ manager, control, refused }) => {
    manager.lose('failed', 0);
    const error = await refused(() => control.failMember(change('none1')));
    t.is(
      error.message,
      'cannot fail none1: tank is already degraded and raid5f survives one failure',
    );
  }));

test('only what is out of service is removed', (t) =>
  inWorld(t, {}, async ({ manager, control, events, refused }) => {
    const inUse = await refused(() => control.removeMember(change('none1')));
    t.is(inUse.code, 'BANDSTAND_MEMBER_IN_SERVICE');
    t.is(inUse.message, 'cannot remove none1: it is in use in slot 1 of tank');
    t.is(inUse.hint, 'fail it first: bandstand member fail tank none1');
    manager.lose('failed', 1);
    t.like(await control.removeMember(change('none1')), { changed: true, slot: 1, was: 'failed' });
    t.like(await control.removeMember(change('1')), { changed: false, slot: 1, was: 'missing' });
    manager.spares = [{ uuid: NEW_UUID, device: '/dev/none9' }];
    t.like(await control.removeMember(change('eeeeeeee')), { changed: true, was: 'spare' });
    t.deepEqual(manager.calls, [
      ['removeMember', 1],
      ['removeSpare', NEW_UUID],
    ]);
    t.deepEqual(
      events.map(({ event }) => event),
      ['members-changed', 'members-changed'],
    );
  }));

test('what is being filled is neither failed, removed nor replaced', (t) =>
  inWorld(t, {}, async ({ cli, manager, control, refused }) => {
    manager.process = processOf();
    manager.members = [memberOf(0), memberOf(1), memberOf(2, { health: 'rebuilding' })];
    const file = cli.file('new.img', 4 * MIB);
    for (const act of [
      () => control.failMember(change('none2')),
      () => control.removeMember(change('none2')),
      () => control.replaceMember({ ...change('none2'), device: file }),
    ]) {
      const error = await refused(act);
      t.is(error.code, 'BANDSTAND_MEMBER_STATE');
      t.regex(error.message, /none2.*: it is being filled for slot 2$/);
      t.is(error.hint, 'end the rebuild first: bandstand rebuild tank --cancel');
    }
    t.deepEqual(manager.calls, []);
  }));

test('a member in use is replaced by a copy, one at a time', (t) =>
  inWorld(t, {}, async ({ cli, manager, control, refused }) => {
    const file = cli.file('new.img', 4 * MIB);
    const request = { ...change('none1'), device: file };
    const dry = await control.replaceMember({ ...request, dry_run: true });
    t.like(dry, { role: 'rebuild', slot: 1, was: 'ok', replaces: '/dev/none1', changed: true });
    t.true(isFree(file));
    manager.process = processOf();
    const busy = await refused(() => control.replaceMember(request));
    t.is(busy.code, 'BANDSTAND_ACTIVITY_BUSY');
    t.is(busy.message, `cannot replace none1 with ${file}: slot 2 of tank is being rebuilt`);
    manager.process = null;
    manager.outcome = { role: 'rebuild', slot: 1, uuid: NEW_UUID, mode: 'full' };
    await control.replaceMember(request);
    t.deepEqual(manager.calls, [['replaceMember', 1, file]]);
    manager.spares = [{ uuid: NEW_UUID, device: '/dev/none9' }];
    const spare = await refused(() => control.replaceMember({ ...change('none9'), device: file }));
    t.is(spare.code, 'BANDSTAND_MEMBER_STATE');
    manager.process = processOf({ kind: 'check', slot: null, target: null });
    for (const dry_run of [true, false]) {
      const checked = await refused(() => control.replaceMember({ ...request, dry_run }));
      t.is(checked.message, `cannot replace none1 with ${file}: a check is running`);
    }
  }));

test('the slot of a lost member is rebuilt onto the new device: there is nothing to copy', (t) =>
  inWorld(t, {}, async ({ cli, manager, control }) => {
    const file = cli.file('new.img', 4 * MIB);
    manager.outcome = { role: 'rebuild', slot: 1, uuid: NEW_UUID, mode: 'full' };
    for (const health of ['failed', 'missing'] as const) {
      manager.lose(health, 1);
      const request = { ...change('1'), device: file };
      const dry = await control.replaceMember({ ...request, dry_run: true });
      t.like(dry, { role: 'rebuild', slot: 1, was: health, rebuild_slot: 1, changed: true });
      const reply = await control.replaceMember(request);
      const replaces = health === 'failed' ? '/dev/none1' : null;
      t.like(reply, { role: 'rebuild', slot: 1, was: health, replaces, mode: 'full' });
      await manager.given.pop()!.close();
    }
    t.deepEqual(
      manager.calls.map(([call]) => call),
      ['addMember', 'addMember'],
    );
  }));

test('a slot that the array would not fill next is not promised to a device', (t) =>
  inWorld(t, {}, async ({ cli, manager, control, refused }) => {
    const device = cli.file('new.img', 4 * MIB);
    manager.lose('missing', 1, 2);
    for (const dry_run of [true, false]) {
      const request = { ...change('2'), device, dry_run };
      const error = await refused(() => control.replaceMember(request));
      t.is(error.code, 'BANDSTAND_MEMBER_STATE');
      t.regex(error.message, /: slot 1 is lost, too, and is filled first$/);
      t.regex(error.hint!, /: bandstand member add tank \/.*new\.img$/);
    }
    manager.spares = [{ uuid: NEW_UUID, device: '/dev/none9' }];
    const spare = await refused(() => control.replaceMember({ ...change('1'), device }));
    t.regex(spare.message, /: the spare \/dev\/none9 takes the place of what is lost$/);
    const dry = await control.addMember({ ...add(device), dry_run: true });
    t.is(dry.role, 'spare', 'the spare that is there already goes first');
    t.deepEqual(manager.calls, []);
  }));

test('a device that is added during a resync says what it waits for', (t) =>
  inWorld(t, {}, async ({ cli, manager, control }) => {
    const device = cli.file('new.img', 4 * MIB);
    manager.lose('missing', 2);
    manager.process = processOf({ kind: 'resync', slot: null, target: null });
    t.like(await control.addMember({ ...add(device), dry_run: true }), { role: 'spare' });
    t.like(await control.addMember(add(device)), { role: 'spare', waits_for: 'resync' });
  }));

test('without redundancy or superblock, and read-only, nothing changes', async (t) => {
  const cases: readonly (readonly [options: WorldOptions, code: string, why: string])[] = [
    [{ level: 'raid0' }, 'BANDSTAND_LEVEL_REDUNDANCY', 'tank is raid0, which needs every member'],
    [{ unmanaged: true }, 'BANDSTAND_ARRAY_UNRECORDED', 'tank has no superblock'],
    [{ readOnly: true }, 'BANDSTAND_STACK_READ_ONLY', 'tank was started with --read-only'],
  ];
  for (const [options, code, why] of cases) {
    await inWorld(t, options, async ({ cli, manager, control, refused }) => {
      const device = cli.file('new.img', 4 * MIB);
      for (const act of [
        () => control.addMember(add(device)),
        () => control.failMember(change('0')),
        () => control.removeMember(change('0')),
        () => control.replaceMember({ ...change('0'), device }),
        () => control.controlCheck({ action: 'start', repair: true, dry_run: false }),
      ]) {
        const error = await refused(act);
        t.is(error.code as string, code);
        t.true(error.message.includes(why), error.message);
      }
      t.deepEqual(manager.calls, []);
    });
  }
});

test('a read-only stack can be checked', (t) =>
  inWorld(t, { readOnly: true }, async ({ manager, control }) => {
    await control.controlCheck({ action: 'start', repair: false, dry_run: false });
    t.deepEqual(manager.calls, [['startCheck', { repair: false }]]);
  }));

test('a rebuild is paused, resumed, limited and cancelled', (t) =>
  inWorld(t, {}, async ({ manager, control, refused }) => {
    const act = (action: 'show' | 'pause' | 'resume' | 'cancel') =>
      control.controlRebuild({ action, rate_bytes_per_second: null });
    const nothing = await refused(() => act('pause'));
    t.is(nothing.code, 'BANDSTAND_ACTIVITY_NONE');
    t.is(nothing.message, 'cannot pause the rebuild of tank: no rebuild is running');
    t.like(await act('show'), { changed: false, activity: { kind: 'idle' } });
    manager.process = processOf();
    t.like(await act('pause'), { changed: true, activity: { pace: 'paused', eta_seconds: null } });
    t.like(await act('pause'), { changed: false });
    t.like(await act('resume'), { changed: true, activity: { pace: 'running' } });
    t.like(await act('resume'), { changed: false });
    const limit = (rate: number | null) =>
      control.controlRebuild({ action: 'rate', rate_bytes_per_second: rate });
    t.like(await limit(1000), { changed: true, limit_before: null });
    t.like(await limit(1000), { changed: false, limit_before: 1000 });
    t.like(await limit(null), { changed: true, limit_before: 1000 });
    t.like(await act('cancel'), { changed: true, activity: { kind: 'rebuild', done_bytes: 410 } });
    t.deepEqual(manager.calls, [
      ['pauseProcess'],
      ['resumeProcess'],
      ['setRate', 1000],
      ['setRate', 1000],
      ['setRate', null],
      ['cancelProcess'],
    ]);
  }));

test('a resync can be paused but not cancelled', (t) =>
  inWorld(t, {}, async ({ manager, control, refused }) => {
    manager.process = processOf({ kind: 'resync', slot: null, target: null });
    const request = { rate_bytes_per_second: null };
    t.like(await control.controlRebuild({ action: 'pause', ...request }), { changed: true });
    const error = await refused(() => control.controlRebuild({ action: 'cancel', ...request }));
    t.is(error.message, 'cannot cancel the resync of tank: its members would stay unequal');
  }));

test('a check is started once, and not beside a rebuild or without two members', (t) =>
  inWorld(t, {}, async ({ manager, control, refused }) => {
    const start = (repair: boolean, dry_run = false) =>
      control.controlCheck({ action: 'start', repair, dry_run });
    t.like(await start(true, true), { changed: true, dry_run: true });
    t.deepEqual(manager.calls, []);
    t.like(await start(false), { changed: true, activity: { kind: 'check' } });
    t.like(await start(false), { changed: false });
    const other = await refused(() => start(true));
    t.is(other.message, 'cannot check and repair tank: a check without repair is running');
    t.is(other.hint, 'stop it first: bandstand check tank --stop');
    t.like(await control.controlCheck({ action: 'stop', repair: false, dry_run: false }), {
      changed: true,
      activity: { kind: 'check', done_bytes: 410 },
    });
    manager.process = processOf();
    const busy = await refused(() => start(false));
    t.is(busy.message, 'cannot check tank: a rebuild is running');
    t.is(busy.hint, 'wait for it: bandstand wait tank --for rebuild');
    manager.process = null;
    manager.lose('missing', 1, 2);
    const alone = await refused(() => start(false));
    t.is(alone.code, 'BANDSTAND_ARRAY_DEGRADED');
    t.is(
      alone.message,
      'cannot check tank: 1 of 3 members is in use, so there is nothing to compare',
    );
  }));

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
    control.arrayEvent(event);
    control.arrayEvent({ ...event, kind: 'blocks-repaired' });
    t.deepEqual(
      events.map((one) => (one.event === 'array' ? one.array.kind : one.event)),
      ['member-failed', 'members-changed', 'blocks-repaired'],
    );
    manager.lose('failed', 1);
    const why = () => 'it was not there at the start';
    t.is(control.status(why)?.reason, '/dev/none1 (slot 1) is failed (a write failed (EIO))');
    control.arrayEvent({ ...event, kind: 'member-removed' });
    manager.lose('missing', 1);
    t.is(
      control.status(why)?.reason,
      'the member in slot 1 is missing (it was not there at the start)',
    );
  }));
