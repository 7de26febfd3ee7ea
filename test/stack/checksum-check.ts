/** A check of a stack with an FTL: checksums first, then the members, and one end for clients. */

import test from 'ava';
import type { FtlCheckProgress, FtlCheckReport } from '../../src/ftl/check.ts';
import { arrayEvent } from '../../src/raid/array-events.ts';
import type { CheckedFtl } from '../../src/stack/checksum-check.ts';
import type { StackEvent } from '../../src/stack/worker-messages.ts';
import { inWorld, type World } from '../_helpers/control-world.ts';
import { processOf } from '../_helpers/fake-manager.ts';

const CLEAN: FtlCheckReport = {
  checkedBlocks: 100,
  wrong: [],
  wrongCount: 0,
  repairedCount: 0,
  lostCount: 0,
  stopped: false,
};

/** An FTL whose check ends when the test says so. */
class FakeFtl implements CheckedFtl {
  readonly asked: (boolean | undefined)[] = [];
  runningCheck: CheckedFtl['runningCheck'] = null;
  #end: (report: FtlCheckReport) => void = () => {};

  async check({ repair }: { repair?: boolean } = {}): Promise<FtlCheckReport> {
    this.asked.push(repair);
    const progress: { -readonly [Key in keyof FtlCheckProgress]: FtlCheckProgress[Key] } = {
      repair: repair ?? false,
      paused: false,
      doneBytes: 25,
      totalBytes: 100,
      rateBytesPerSecond: 5,
      etaSeconds: 15,
      wrongCount: 2,
      repairedCount: 0,
      lostCount: 0,
    };
    this.runningCheck = {
      progress,
      pause: () => {
        progress.paused = true;
      },
      resume: () => {
        progress.paused = false;
      },
      stop: () => this.end({ ...CLEAN, stopped: true }),
    };
    return await new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  end(report: FtlCheckReport): void {
    this.runningCheck = null;
    this.#end(report);
  }
}

const start = (world: World, repair: boolean, dry_run = false) =>
  world.control.processes.controlCheck({ action: 'start', repair, dry_run });
const act = (world: World, action: 'pause' | 'resume' | 'stop') =>
  world.control.processes.controlCheck({ action, repair: false, dry_run: false });

/** Lets promises run. */
async function settle(): Promise<void> {
  for (let round = 0; round < 10; round += 1) await null;
}

function told(events: readonly StackEvent[]): string[] {
  return events.flatMap((event) =>
    event.event === 'array' ? [`${event.array.kind}: ${event.array.message}`] : [],
  );
}

const ARRAY_END = arrayEvent({
  kind: 'check-finished',
  severity: 'warning',
  message: 'check is complete: 8 blocks disagreed, 0 blocks could not be read; 8 were repaired',
  details: { mismatched_blocks: 8, repaired_blocks: 8, lost_blocks: 0, waits: false },
});

test('checksums come first, the members after them, and clients hear of one check', async (t) => {
  const ftl = new FakeFtl();
  await inWorld(t, { ftl }, async (world) => {
    const { control, events, manager } = world;
    t.like(await start(world, true, true), { dry_run: true, activity: { kind: 'idle' } });
    t.deepEqual(ftl.asked, []);
    t.like(await start(world, true), {
      changed: true,
      activity: {
        kind: 'check',
        step: 'checksums',
        pace: 'running',
        done_bytes: 25,
        total_bytes: 100,
        mismatched_blocks: 2,
      },
    });
    t.like(await start(world, true), { changed: false });
    const busy = await world.refused(() => start(world, false));
    t.is(busy.message, 'cannot check tank: a check with repair is running');
    t.deepEqual(manager.calls, []);
    ftl.end({ ...CLEAN, wrongCount: 3, repairedCount: 2, lostCount: 1 });
    await settle();
    t.deepEqual(manager.calls, [['startCheck', { repair: true }]]);
    control.arrayEvent(arrayEvent({ kind: 'check-started', message: 'check started' }));
    manager.process = processOf({ kind: 'check', slot: null, repair: true, mismatches: 4 });
    t.like(control.status(() => null)!.activity, {
      kind: 'check',
      mismatched_blocks: 7,
      repaired_blocks: 2,
      lost_blocks: 1,
    });
    manager.process = null;
    control.arrayEvent(ARRAY_END);
    t.deepEqual(told(events), [
      'check-started: check with repair started',
      'check-finished: check is complete: 3 blocks had a wrong checksum, 8 blocks of the members disagreed, 1 block could not be restored from anything; 10 were repaired',
    ]);
    const last = events.at(-1)!;
    t.like(last.event === 'array' && last.array, {
      severity: 'warning',
      action: 'write what is lost again, or restore it from a backup',
      details: { mismatched_blocks: 11, repaired_blocks: 10, lost_blocks: 1 },
    });
    control.arrayEvent(ARRAY_END);
    t.true(
      told(events).at(-1)!.endsWith(ARRAY_END.message),
      'a later check of the array is its own',
    );
  });
});

test('between its halves a check goes on, for whoever waits for its end', async (t) => {
  const ftl = new FakeFtl();
  await inWorld(t, { ftl }, async (world) => {
    const { control, manager } = world;
    const activity = () => control.status(() => null)!.activity;
    await start(world, false);
    let compare = (): void => {};
    manager.startCheck = () =>
      new Promise((resolve) => {
        compare = resolve;
      });
    ftl.end({ ...CLEAN, wrongCount: 3 });
    await settle();
    t.like(activity(), { kind: 'check', done_bytes: 100 * 4096, mismatched_blocks: 3 });
    manager.process = processOf({ kind: 'check', slot: null, mismatches: 4 });
    compare();
    await settle();
    t.like(activity(), { kind: 'check', mismatched_blocks: 7 });
    manager.process = null;
    t.is(activity().kind, 'idle');
  });
});

test('where there is nothing to compare a check ends with the checksums', async (t) => {
  for (const level of ['raid0', 'raid1'] as const) {
    const ftl = new FakeFtl();
    await inWorld(t, { ftl, level }, async (world) => {
      if (level === 'raid1') world.manager.lose('missing', 1, 2);
      await start(world, false);
      ftl.end({ ...CLEAN, wrongCount: 1 });
      await settle();
      t.deepEqual(world.manager.calls, []);
      const last = world.events.at(-1)!;
      t.like(last.event === 'array' && last.array, {
        kind: 'check-finished',
        message:
          'check is complete: 1 block had a wrong checksum, 0 blocks could not be restored from anything; nothing was changed',
        action: 'bandstand check tank --repair',
      });
      const { reason } = last.event === 'array' ? last.array : { reason: null };
      t.regex(reason!, /^members were not compared: /);
      t.like(world.control.status(() => null)!.activity, { kind: 'idle' });
    });
  }
});

test('the first half is paused, resumed and stopped as any check', async (t) => {
  const ftl = new FakeFtl();
  await inWorld(t, { ftl }, async (world) => {
    await start(world, false);
    t.like(await act(world, 'pause'), { changed: true, activity: { pace: 'paused' } });
    t.like(await act(world, 'pause'), { changed: false });
    t.like(await act(world, 'resume'), { changed: true, activity: { pace: 'running' } });
    t.like(await act(world, 'stop'), {
      changed: true,
      activity: { kind: 'check', done_bytes: 25 },
    });
    await settle();
    t.deepEqual(world.manager.calls, []);
    t.deepEqual(told(world.events).slice(0, -1), [
      'check-started: check started',
      'process-paused: the check is paused',
      'process-resumed: the check goes on',
    ]);
    t.regex(told(world.events).at(-1)!, /^check-stopped: check has stopped: /);
    const error = await world.refused(() => act(world, 'stop'));
    t.is(error.code, 'BANDSTAND_ACTIVITY_NONE');
    world.manager.process = processOf();
    const busy = await world.refused(() => start(world, false));
    t.is(busy.message, 'cannot check tank: a rebuild is running');
  });
});

test('a check that makes way for a rebuild keeps what its first half has found', async (t) => {
  const ftl = new FakeFtl();
  await inWorld(t, { ftl }, async (world) => {
    await start(world, false);
    ftl.end({ ...CLEAN, wrongCount: 3 });
    await settle();
    const { control, events } = world;
    const stopped = { ...ARRAY_END, kind: 'check-stopped' as const, message: 'check has stopped' };
    control.arrayEvent({ ...stopped, details: { ...stopped.details, waits: true } });
    t.like(events.at(-1), { array: { details: { waits: true, mismatched_blocks: 11 } } });
    const details = { repair: false, resumed: true };
    const goesOn = arrayEvent({ kind: 'check-started', message: 'check goes on', details });
    control.arrayEvent(goesOn);
    t.is(told(events).at(-1), 'check-started: check goes on');
    control.arrayEvent(ARRAY_END);
    t.like(events.at(-1), { array: { details: { waits: false, mismatched_blocks: 11 } } });
  });
});
