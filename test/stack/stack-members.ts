/** Members of a running stack: what is asked of the array, and what is refused before. */

import { linkSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import test from 'ava';
import { BandstandError } from '../../src/block/errors.ts';
import { FileDevice } from '../../src/device/file-device.ts';
import { loadAddon } from '../../src/native/load.ts';
import { labelSpare } from '../../src/raid/spare-label.ts';
import { withDevice, withRing } from '../../src/stack/offline-ring.ts';
import { ARRAY_UUID, add, change, inWorld, isFree } from '../_helpers/control-world.ts';
import { memberOf, NEW_UUID, processOf } from '../_helpers/fake-manager.ts';

const MIB = 2 ** 20;

test('a new device is opened exclusively and given to the array', (t) =>
  inWorld(t, {}, async ({ cli, manager, control, events }) => {
    const file = cli.file('new.img', 4 * MIB);
    manager.lose('missing', 2);
    manager.outcome = { role: 'rebuild', slot: 2, uuid: NEW_UUID, mode: 'full' };
    const reply = await control.members.addMember(add(file));
    t.deepEqual(manager.calls, [['addMember', file, { spareOnly: false }]]);
    t.deepEqual(reply, {
      action: 'add',
      dry_run: false,
      of_cache: false,
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
    const healthy = await control.members.addMember({ ...add(file), dry_run: true });
    t.like(healthy, { role: 'spare', slot: null, uuid: null, dry_run: true });
    manager.lose('failed', 1);
    const lost = await control.members.addMember({ ...add(file), dry_run: true });
    t.like(lost, { role: 'rebuild', slot: 1, rebuild_device: file, rebuild_slot: 1 });
    const spare = { ...add(file), dry_run: true, spare_only: true };
    t.is((await control.members.addMember(spare)).role, 'rebuild', 'a lost slot takes a spare');
    control.members.rebuildsHeld = true;
    t.is((await control.members.addMember(spare)).role, 'spare', 'not after a rebuild was ended');
    t.deepEqual(manager.calls, []);
    t.deepEqual(events, []);
    t.true(isFree(file));
    t.true(readFileSync(file).every((byte) => byte === 0));
  }));

test('a device that the array refuses is closed again', (t) =>
  inWorld(t, {}, async ({ cli, manager, control, refused }) => {
    const file = cli.file('new.img', 4 * MIB);
    manager.refusal = new BandstandError('BANDSTAND_DEVICE_IO', { message: 'broken' });
    t.is((await refused(() => control.members.addMember(add(file)))).message, 'broken');
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
        `it has 4 MiB (${4 * MIB - 4096} bytes), at least 4 MiB (${4 * MIB} bytes) are needed`,
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
      const error = await refused(() => control.members.addMember(add(device)));
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
    const error = await refused(() => control.members.addMember(add(file)));
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
    const error = await refused(() => control.members.addMember(add(link)));
    t.is(error.code, 'BANDSTAND_MEMBER_DUPLICATE');
    t.is(error.message, `cannot add ${link} to tank: it is in slot 0 already`);
    manager.members = [memberOf(0, { device: file, health: 'failed' }), memberOf(1), memberOf(2)];
    const failed = await refused(() => control.members.addMember(add(file)));
    t.is(failed.message, `cannot add ${file} to tank: it is in slot 0 already, and has failed`);
    const takeOut = `take it out first, then add it again: bandstand member remove tank ${file}`;
    t.is(failed.hint, takeOut);
    manager.members = [memberOf(0), memberOf(1), memberOf(2)];
    manager.spares = [{ uuid: NEW_UUID, device: file }];
    const spare = await refused(() => control.members.addMember(add(file)));
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
    const other = await refused(() => control.members.addMember(add(file)));
    t.is(other.code, 'BANDSTAND_DEVICE_IN_USE');
    t.is(other.message, `cannot add ${file} to tank: it belongs to another array (${NEW_UUID})`);
    t.is(other.hint, `erase it if nothing on it is needed: bandstand wipe ${file}`);
    await label(manager.members[1]!.uuid!, ARRAY_UUID);
    const twin = await refused(() => control.members.addMember(add(file)));
    t.is(twin.code, 'BANDSTAND_MEMBER_DUPLICATE');
    t.regex(twin.message, /it says that it is the member in slot 1, which is in use/);
    manager.lose('missing', 1);
    await control.members.addMember(add(file));
    t.is(manager.calls.length, 1);
    t.is(statSync(file).size, 4 * MIB);
  }));

test('a member is failed only where the level bears it', (t) =>
  inWorld(t, {}, async ({ manager, control, refused }) => {
    const dry = await control.members.failMember({ ...change('2'), dry_run: true });
    t.like(dry, { changed: true, slot: 2, was: 'ok', health: 'healthy' });
    t.deepEqual(manager.calls, []);
    const reply = await control.members.failMember(change('none2'));
    t.like(reply, { changed: true, slot: 2, was: 'ok', health: 'degraded', device: '/dev/none2' });
    t.like(await control.members.failMember(change('2')), { changed: false, was: 'failed' });
    await control.members.failMember(change('1'));
    t.deepEqual(manager.calls, [
      ['failMember', 2],
      ['failMember', 1],
    ]);
    const last = await refused(() => control.members.failMember(change('none0')));
    t.is(last.code, 'BANDSTAND_MEMBER_NEEDED');
    t.is(
      last.message,
      'cannot fail none0: tank is already degraded and raid1 of 3 members survives 2 failures',
    );
    t.is(last.hint, 'add a device first: bandstand member add tank DEVICE');
    manager.process = processOf();
    const rebuilding = await refused(() => control.members.failMember(change('none0')));
    t.is(rebuilding.hint, 'wait for the rebuild (bandstand wait tank --for rebuild)');
  }));

test('raid5f survives one failure, and a raid5f that has one says so', (t) =>
  inWorld(t, { level: 'raid5f' }, async ({ manager, control, refused }) => {
    manager.lose('failed', 0);
    const error = await refused(() => control.members.failMember(change('none1')));
    t.is(
      error.message,
      'cannot fail none1: tank is already degraded and raid5f survives one failure',
    );
  }));

test('only what is out of service is removed', (t) =>
  inWorld(t, {}, async ({ manager, control, events, refused }) => {
    const inUse = await refused(() => control.members.removeMember(change('none1')));
    t.is(inUse.code, 'BANDSTAND_MEMBER_IN_SERVICE');
    t.is(inUse.message, 'cannot remove none1: it is in use in slot 1 of tank');
    t.is(inUse.hint, 'fail it first: bandstand member fail tank none1');
    manager.lose('failed', 1);
    t.like(await control.members.removeMember(change('none1')), {
      changed: true,
      slot: 1,
      was: 'failed',
    });
    t.like(await control.members.removeMember(change('1')), {
      changed: false,
      slot: 1,
      was: 'missing',
    });
    manager.spares = [{ uuid: NEW_UUID, device: '/dev/none9' }];
    t.like(await control.members.removeMember(change('eeeeeeee')), { changed: true, was: 'spare' });
    t.deepEqual(manager.calls, [
      ['removeMember', 1],
      ['removeSpare', NEW_UUID],
    ]);
    t.deepEqual(
      events.map(({ event }) => event),
      ['members-changed', 'members-changed'],
    );
  }));

test('a device that has failed is known while its slot is being rebuilt onto another', (t) =>
  inWorld(t, {}, async ({ cli, manager, control, refused }) => {
    const file = cli.file('failed.img', 4 * MIB);
    const base = { severity: 'error' as const, message: 'out of service', action: null };
    const event = { ...base, kind: 'member-failed' as const, reason: 'EIO', slot: 2, details: {} };
    manager.lose('failed', 2);
    control.arrayEvent({ ...event, device: file });
    manager.members[2] = memberOf(2, { device: '/dev/none9', health: 'rebuilding' });
    manager.process = processOf();
    // The target fails: that is not the member that has left.
    control.arrayEvent({ ...event, device: '/dev/none9' });
    const added = await refused(() => control.members.addMember(add(file)));
    t.is(added.code, 'BANDSTAND_MEMBER_DUPLICATE');
    t.is(
      added.message,
      `cannot add ${file} to tank: it has failed in slot 2, which is being rebuilt onto another device`,
    );
    t.is(added.hint, `take it out first, then add it again: bandstand member remove tank ${file}`);
    const target = await refused(() => control.members.removeMember(change('2')));
    t.regex(target.message, /it is being filled for slot 2$/, 'the slot is called by its number');
    const removed = await control.members.removeMember(change(file));
    t.like(removed, { changed: true, device: file, slot: 2, was: 'failed' });
    t.deepEqual(manager.calls, [['removeMember', 2]]);
    control.arrayEvent({ ...event, kind: 'member-removed', severity: 'info', device: file });
    const again = await refused(() => control.members.removeMember(change(file)));
    t.is(again.code, 'BANDSTAND_MEMBER_NOT_FOUND');
  }));

test('what is being filled is neither failed, removed nor replaced', (t) =>
  inWorld(t, {}, async ({ cli, manager, control, refused }) => {
    manager.process = processOf();
    manager.members = [memberOf(0), memberOf(1), memberOf(2, { health: 'rebuilding' })];
    const file = cli.file('new.img', 4 * MIB);
    for (const act of [
      () => control.members.failMember(change('none2')),
      () => control.members.removeMember(change('none2')),
      () => control.members.replaceMember({ ...change('none2'), device: file }),
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
    const dry = await control.members.replaceMember({ ...request, dry_run: true });
    t.like(dry, { role: 'rebuild', slot: 1, was: 'ok', replaces: '/dev/none1', changed: true });
    t.true(isFree(file));
    manager.process = processOf();
    const busy = await refused(() => control.members.replaceMember(request));
    t.is(busy.code, 'BANDSTAND_ACTIVITY_BUSY');
    t.is(busy.message, `cannot replace none1 with ${file}: slot 2 of tank is being rebuilt`);
    manager.process = null;
    manager.outcome = { role: 'rebuild', slot: 1, uuid: NEW_UUID, mode: 'full' };
    await control.members.replaceMember(request);
    t.deepEqual(manager.calls, [['replaceMember', 1, file]]);
    manager.spares = [{ uuid: NEW_UUID, device: '/dev/none9' }];
    const spare = await refused(() =>
      control.members.replaceMember({ ...change('none9'), device: file }),
    );
    t.is(spare.code, 'BANDSTAND_MEMBER_STATE');
    manager.process = processOf({ kind: 'check', slot: null, target: null });
    for (const dry_run of [true, false]) {
      const checked = await refused(() => control.members.replaceMember({ ...request, dry_run }));
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
      const dry = await control.members.replaceMember({ ...request, dry_run: true });
      t.like(dry, { role: 'rebuild', slot: 1, was: health, rebuild_slot: 1, changed: true });
      const reply = await control.members.replaceMember(request);
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
      const error = await refused(() => control.members.replaceMember(request));
      t.is(error.code, 'BANDSTAND_MEMBER_STATE');
      t.regex(error.message, /: slot 1 is lost, too, and is filled first$/);
      t.regex(error.hint!, /: bandstand member add tank \/.*new\.img$/);
    }
    manager.spares = [{ uuid: NEW_UUID, device: '/dev/none9' }];
    const spare = await refused(() => control.members.replaceMember({ ...change('1'), device }));
    t.regex(spare.message, /: the spare \/dev\/none9 takes the place of what is lost$/);
    const dry = await control.members.addMember({ ...add(device), dry_run: true });
    t.is(dry.role, 'spare', 'the spare that is there already goes first');
    t.deepEqual(manager.calls, []);
  }));

test('a device that is added during a resync says what it waits for', (t) =>
  inWorld(t, {}, async ({ cli, manager, control }) => {
    const device = cli.file('new.img', 4 * MIB);
    manager.lose('missing', 2);
    manager.process = processOf({ kind: 'resync', slot: null, target: null });
    t.like(await control.members.addMember({ ...add(device), dry_run: true }), { role: 'spare' });
    t.like(await control.members.addMember(add(device)), { role: 'spare', waits_for: 'resync' });
  }));
