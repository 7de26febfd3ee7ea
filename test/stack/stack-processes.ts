/** Rebuild, resync and check as clients control them: what is asked, and what is refused. */

import test from 'ava';
import { inWorld } from '../_helpers/control-world.ts';
import { processOf } from '../_helpers/fake-manager.ts';

test('a read-only stack is not checked: nothing could be kept of it', async (t) => {
  const start = { action: 'start' as const, repair: false };
  await inWorld(t, { readOnly: true }, async ({ manager, control, refused }) => {
    for (const dry_run of [true, false]) {
      const error = await refused(() => control.processes.controlCheck({ ...start, dry_run }));
      t.is(error.code, 'BANDSTAND_STACK_READ_ONLY');
      t.is(error.message, 'cannot check tank: tank was started with --read-only');
      t.is(error.hint, 'start it for writing: bandstand stop tank, then bandstand export tank');
    }
    const rate = { action: 'rate' as const, of_cache: false, rate_bytes_per_second: 1000 };
    const limited = await refused(() => control.processes.controlRebuild(rate));
    t.is(limited.code, 'BANDSTAND_STACK_READ_ONLY');
    const show = { action: 'show' as const, of_cache: false, rate_bytes_per_second: null };
    t.like(await control.processes.controlRebuild(show), { activity: { kind: 'idle' } });
    t.deepEqual(manager.calls, []);
  });
  const parity = { level: 'raid5f', readOnly: true } as const;
  await inWorld(t, parity, async ({ control, refused }) => {
    const request = { ...start, dry_run: false };
    const error = await refused(() => control.processes.controlCheck(request));
    t.is(
      error.message,
      'cannot check tank: tank is raid5f without an FTL, which is exported read-only',
    );
    t.regex(error.hint!, /^copy the data to a stack with an FTL/);
  });
});

test('a rebuild is paused, resumed, limited and cancelled', (t) =>
  inWorld(t, {}, async ({ manager, control, refused }) => {
    const act = (action: 'show' | 'pause' | 'resume' | 'cancel') =>
      control.processes.controlRebuild({ action, of_cache: false, rate_bytes_per_second: null });
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
      control.processes.controlRebuild({
        action: 'rate',
        of_cache: false,
        rate_bytes_per_second: rate,
      });
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
    const request = { of_cache: false, rate_bytes_per_second: null };
    t.like(await control.processes.controlRebuild({ action: 'pause', ...request }), {
      changed: true,
    });
    const error = await refused(() =>
      control.processes.controlRebuild({ action: 'cancel', ...request }),
    );
    t.is(error.message, 'cannot cancel the resync of tank: its members would stay unequal');
  }));

test('a check is started once, and not beside a rebuild or without two members', (t) =>
  inWorld(t, {}, async ({ manager, control, refused }) => {
    const start = (repair: boolean, dry_run = false) =>
      control.processes.controlCheck({ action: 'start', repair, dry_run });
    t.like(await start(true, true), { changed: true, dry_run: true });
    t.deepEqual(manager.calls, []);
    t.like(await start(false), { changed: true, activity: { kind: 'check' } });
    t.like(await start(false), { changed: false });
    const other = await refused(() => start(true));
    t.is(other.message, 'cannot check and repair tank: a check without repair is running');
    t.is(other.hint, 'stop it first: bandstand check tank --stop');
    t.like(
      await control.processes.controlCheck({ action: 'stop', repair: false, dry_run: false }),
      {
        changed: true,
        activity: { kind: 'check', done_bytes: 410 },
      },
    );
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

test('a level that keeps everything once has nothing to check', (t) =>
  inWorld(t, { level: 'raid0' }, async ({ control, refused }) => {
    const request = { action: 'start' as const, repair: false, dry_run: false };
    const error = await refused(() => control.processes.controlCheck(request));
    t.is(error.code, 'BANDSTAND_LEVEL_REDUNDANCY');
    t.is(
      error.message,
      'cannot check tank: tank is raid0, which keeps everything once, so there is nothing to compare',
    );
    t.regex(error.hint!, /^see what is on its members: bandstand status tank/);
  }));
