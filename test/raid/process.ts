/**
 * The background process as a copy: rebuild and replace. What it compares: process-verify.ts.
 */

import test from 'ava';
import { OP_READ, OP_WRITE } from '../../src/block/block-io.ts';
import { BandstandError } from '../../src/block/errors.ts';
import type { LiveRanges } from '../../src/block/live-ranges.ts';
import { ENODEV } from '../../src/block/status.ts';
import { LiveWork } from '../../src/raid/work-ranges.ts';
import {
  BLOCK,
  FakeHost,
  type HostOptions,
  isBackground,
  Run,
  Writer,
} from '../_helpers/process-host.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

interface Shape {
  readonly name: string;
  readonly replace: boolean;
  readonly options: HostOptions;
}

function shape(redundancy: 'mirror' | 'parity', members: number, replace: boolean): Shape {
  const targetSlot = 1;
  return {
    name: `${replace ? 'replace' : 'rebuild'} in a ${redundancy} of ${members}`,
    replace,
    options: { redundancy, members, blocks: 60, targetSlot, missing: replace ? [] : [targetSlot] },
  };
}

const SHAPES: readonly Shape[] = [
  shape('mirror', 2, false),
  shape('mirror', 3, false),
  shape('mirror', 3, true),
  shape('parity', 3, false),
  shape('parity', 4, true),
];

function open({ options, replace }: Shape, more: Partial<HostOptions> = {}) {
  const host = new FakeHost({ ...options, ...more });
  return { host, start: { kind: 'rebuild', replaceSlot: replace ? 1 : -1 } as const };
}

for (const one of SHAPES) {
  test(`${one.name} fills the target with what its slot holds`, (t) => {
    for (const delayUsMax of [0, 300]) {
      const { host, start } = open(one, { delayUsMax });
      const free = host.reactor.arena.freeBytes;
      const run = new Run(host, start);
      t.is(run.finish(), 'done');
      t.true(host.holds(host.target, 1));
      t.true(isBackground(host.target));
      t.is(run.process.watermark, 60);
      t.is(run.process.doneBlocks, 60);
      t.is(run.process.totalBlocks, 60);
      t.true(run.watermarks.length > 1);
      t.true(host.locks.idle);
      t.is(host.reactor.arena.freeBytes, free);
    }
  });

  test(`${one.name} keeps several chunks in flight`, (t) => {
    const { host, start } = open(one, { delayUsMax: 300 });
    const run = new Run(host, start);
    run.finish();
    t.true(host.inFlightMost >= 4, `${host.inFlightMost}`);
  });

  test(`${one.name} loses no write of a user`, (t) => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const { host, start } = open(one, { delayUsMax: 200, seed });
      const run = new Run(host, start);
      const writers = [new Writer(host, seed, 25), new Writer(host, seed + 100, 25)];
      for (const writer of writers) writer.next();
      run.process.start();
      run.until(() => !run.ended || writers.some((writer) => !writer.done));
      t.is(run.outcome, 'done', `seed ${seed}`);
      t.true(host.holds(host.target, 1), `seed ${seed}`);
      t.true(host.locks.idle, `seed ${seed}`);
    }
  });

  test(`${one.name} ends cleanly when any write to the target fails`, (t) => {
    for (let k = 1; k <= 15; k += 1) {
      const { host, start } = open(one, { delayUsMax: 100, seed: k });
      host.breakNth(host.target, OP_WRITE, k);
      const run = new Run(host, start);
      t.regex(run.finish(), /^failed 5 slot null/, `${k}`);
      t.true(host.locks.idle, `${k}`);
      const done = run.process.watermark * BLOCK;
      const image = host.images()[1]!.subarray(0, done);
      sameBytes(t, host.data(host.target).subarray(0, done), image, `${k}`);
    }
  });

  test(`${one.name} survives the loss of the target at any completion`, (t) => {
    let k = 0;
    for (let ended = 'failed'; ended !== 'done'; ) {
      k += 1;
      const { host, start } = open(one, { delayUsMax: 100, seed: k });
      const run = new Run(host, start);
      host.beforeCompletion = (count) => {
        if (count === k) run.loseTarget();
      };
      ended = run.finish();
      t.true(ended === 'done' || ended.startsWith(`failed ${ENODEV} slot null`), `${k} ${ended}`);
      t.true(host.locks.idle, `${k}`);
    }
    t.true(k > 15);
  });

  test(`${one.name} can be paused, resumed and stopped at any completion`, (t) => {
    for (let k = 1; k <= 30; k += 1) {
      const { host, start } = open(one, { delayUsMax: 100, seed: k });
      const first = new Run(host, start);
      host.beforeCompletion = (count) => {
        if (count === k) first.process.pause();
      };
      first.process.start();
      first.until(() => !(first.process.paused && first.process.idle));
      while (first.step()) t.true(first.process.idle, `${k}`);
      t.is(first.outcome, 'running', `${k}`);
      t.true(host.locks.idle, `${k}`);
      host.beforeCompletion = (count) => {
        if (count === 2 * k) first.process.stop();
      };
      first.process.resume();
      first.until();
      t.true(host.locks.idle, `${k}`);
      if (first.outcome === 'done') t.true(host.holds(host.target, 1), `${k}`);
      else t.is(first.outcome, 'stopped');
      const second = new Run(host, { ...start, startBlock: first.process.watermark });
      t.is(second.finish(), 'done', `${k}`);
      t.true(host.holds(host.target, 1), `${k}`);
    }
  });
}

test('a copy is nearly as fast as its devices, because reads and writes overlap', (t) => {
  for (const one of SHAPES) {
    const bytesPerSecond = 10 * 2 ** 20;
    const { host, start } = open(one, { blocks: 2048, strip: 16, bytesPerSecond });
    const run = new Run(host, { ...start, tuning: { chunkBytes: 16 * BLOCK, depth: 8 } });
    t.is(run.finish(), 'done');
    const rate = (2048 * BLOCK * 1e6) / host.reactor.nowUs();
    t.true(rate >= 0.9 * bytesPerSecond, `${one.name}: ${rate / bytesPerSecond}`);
    t.true(host.holds(host.target, 1));
  }
});

test('a stopped process says so once, in a later turn, even when nothing is in flight', (t) => {
  const { host, start } = open(SHAPES[0]!);
  const run = new Run(host, start);
  run.process.start();
  run.process.pause();
  while (run.step());
  run.process.stop();
  run.process.stop();
  t.false(run.ended);
  run.until();
  while (run.step());
  t.is(run.outcomes.length, 1);
  t.is(run.outcome, 'stopped');
  t.is(run.process.watermark, 0);
});

test('a paused process that has nothing left to do ends when it is resumed', (t) => {
  const { host, start } = open(SHAPES[0]!);
  const run = new Run(host, start);
  run.advanced = () => {
    if (run.process.watermark === 60) run.process.pause();
  };
  run.process.start();
  while (run.step());
  t.is(run.outcome, 'running');
  run.process.resume();
  run.until();
  t.is(run.outcome, 'done');
});

test('a source of a mirror that is ejected at any completion is replaced by another', (t) => {
  for (const one of [SHAPES[1]!, SHAPES[2]!]) {
    const source = one.replace ? 1 : 0;
    for (let k = 1; k <= 30; k += 1) {
      const { host, start } = open(one, { delayUsMax: 100, seed: k });
      const run = new Run(host, start);
      host.beforeCompletion = (count) => {
        if (count !== k) return;
        host.eject(source);
        // What it still returns is not believed.
        host.devices[source]!.bytes.fill(0x11);
      };
      t.is(run.finish(), 'done', `${one.name} ${k}`);
      t.true(host.holds(host.target, 1), `${one.name} ${k}`);
    }
  }
});

test('what an ejected source returns is not copied', (t) => {
  const { host, start } = open(SHAPES[1]!);
  const run = new Run(host, start);
  // The content turns bad together with the ejection, while reads are in flight.
  let turned = false;
  host.breakBlocks(host.devices[0]!, OP_READ, (block) => {
    if (block < 20 || turned) return false;
    turned = true;
    host.devices[0]!.bytes.fill(0x11);
    return false;
  });
  host.beforeCompletion = () => {
    if (turned) host.eject(0);
  };
  t.is(run.finish(), 'done');
  t.true(turned);
  t.true(host.holds(host.target, 1));
});

test('a parity rebuild fails with the slot that was ejected, at any completion', (t) => {
  for (let k = 1; k <= 30; k += 1) {
    const { host, start } = open(SHAPES[3]!, { delayUsMax: 100, seed: k });
    const run = new Run(host, start);
    host.beforeCompletion = (count) => {
      if (count !== k) return;
      host.eject(2);
      host.devices[2]!.bytes.fill(0x11);
    };
    t.regex(run.finish(), new RegExp(`^failed ${ENODEV} slot 2 `), `${k}`);
    t.true(host.locks.idle);
    // Nothing was computed from what the ejected member still returned.
    const image = host.images()[1]!;
    const data = host.data(host.target);
    for (let at = 0; at < data.length; at += BLOCK) {
      const block = data.subarray(at, at + BLOCK);
      const untouched = block.every((byte) => byte === 0xee);
      t.true(untouched || Buffer.compare(block, image.subarray(at, at + BLOCK)) === 0, `${k}`);
    }
  }
});

test('a parity replace goes on from the others when the replaced member is ejected', (t) => {
  for (let k = 1; k <= 40; k += 1) {
    const { host, start } = open(SHAPES[4]!, { delayUsMax: 100, seed: k });
    const run = new Run(host, start);
    host.beforeCompletion = (count) => {
      if (count === k) host.eject(1);
    };
    t.is(run.finish(), 'done', `${k}`);
    t.true(host.holds(host.target, 1), `${k}`);
  }
});

test('a parity replace does not need the others while the replaced member can be read', (t) => {
  const { host, start } = open(SHAPES[4]!);
  host.eject(3);
  t.is(new Run(host, start).finish(), 'done');
  t.true(host.holds(host.target, 1));
});

test('unreadable blocks of one source come from redundancy', (t) => {
  for (const one of [SHAPES[1]!, SHAPES[2]!, SHAPES[4]!]) {
    const { host, start } = open(one, { delayUsMax: 50 });
    const source = one.replace ? 1 : 0;
    host.breakBlocks(host.devices[source]!, OP_READ, (block) => block % 7 === 3);
    const run = new Run(host, start);
    t.is(run.finish(), 'done', one.name);
    t.true(host.holds(host.target, 1), one.name);
    t.deepEqual(run.lost, []);
  }
});

test('unreadable blocks of all sources that nowhere meet are no loss', (t) => {
  const mirror = open(SHAPES[1]!);
  mirror.host.breakBlocks(mirror.host.devices[0]!, OP_READ, (block) => block % 2 === 0);
  mirror.host.breakBlocks(mirror.host.devices[2]!, OP_READ, (block) => block % 2 === 1);
  t.is(new Run(mirror.host, mirror.start).finish(), 'done');
  t.true(mirror.host.holds(mirror.host.target, 1));
  const parity = open(SHAPES[4]!);
  parity.host.breakBlocks(parity.host.devices[1]!, OP_READ, (block) => block % 2 === 0);
  parity.host.breakBlocks(parity.host.devices[0]!, OP_READ, (block) => block % 2 === 1);
  t.is(new Run(parity.host, parity.start).finish(), 'done');
  t.true(parity.host.holds(parity.host.target, 1));
});

test('a copy names exactly the blocks that are lost, and fails', (t) => {
  for (const one of SHAPES) {
    const { host, start } = open(one, { delayUsMax: 50 });
    const bad = (block: number) => block === 21 || block === 22 || block === 25;
    for (const device of host.devices) host.breakBlocks(device, OP_READ, bad);
    const run = new Run(host, { ...start, tuning: { chunkBytes: 8 * BLOCK, depth: 2 } });
    t.regex(run.finish(), /^failed 5 slot [0-3] block (?:21|25)$/, one.name);
    t.true(run.lost.includes('21+2'), `${one.name} ${run.lost}`);
    t.true(run.process.watermark <= 21, one.name);
    t.true(host.locks.idle);
  }
});

test('a copy from sources that cannot be read at all stops naming what is lost', (t) => {
  const { host, start } = open(SHAPES[0]!, { blocks: 1024, arenaBytes: 2 ** 23 });
  host.breakBlocks(host.devices[0]!, OP_READ, (block) => block % 2 === 0);
  const run = new Run(host, { ...start, tuning: { chunkBytes: 1024 * BLOCK } });
  t.is(run.finish(), 'failed 5 slot 0 block 0');
  t.is(run.lost.length, 64);
  t.deepEqual(run.lost.slice(0, 2), ['0+1', '2+1']);
  t.is(run.process.watermark, 0);
});

test('a read that fails once is made good, whichever it is', (t) => {
  for (const one of SHAPES) {
    for (let k = 1; k <= 15; k += 1) {
      const { host, start } = open(one, { delayUsMax: 100, seed: k });
      host.breakNth(host.devices[one.replace ? 1 : 0]!, OP_READ, k);
      const run = new Run(host, start);
      t.is(run.finish(), 'done', `${one.name} ${k}`);
      t.true(host.holds(host.target, 1), `${one.name} ${k}`);
    }
  }
});

/** A set of array blocks that a test changes. */
class Blocks implements LiveRanges {
  readonly live: boolean[];

  constructor(count: number, live: (block: number) => boolean) {
    this.live = Array.from({ length: count }, (_, block) => live(block));
  }

  nextLive(from: number): number {
    return this.live.indexOf(true, from);
  }

  nextDead(from: number): number {
    const dead = this.live.indexOf(false, from);
    return dead === -1 ? this.live.length : dead;
  }
}

test('only what is needed is copied, in whole strips, and counted', (t) => {
  for (const one of [SHAPES[0]!, SHAPES[3]!]) {
    const { host, start } = open(one, { delayUsMax: 50 });
    const strip = host.stripBlocks || 1;
    const data = host.stripBlocks === 0 ? 1 : 2;
    const live = new Blocks(60 * data, (block) => block >= 17 * data && block < 29 * data);
    const ranges = new LiveWork(live, {
      stripBlocks: host.stripBlocks,
      dataStrips: data,
      memberDataBlocks: 60,
    });
    const run = new Run(host, { ...start, ranges });
    t.is(run.finish(), 'done');
    const first = Math.floor(17 / strip) * strip;
    const end = Math.ceil(29 / strip) * strip;
    const image = host.images()[1]!;
    const data0 = host.data(host.target);
    sameBytes(
      t,
      data0.subarray(first * BLOCK, end * BLOCK),
      image.subarray(first * BLOCK, end * BLOCK),
    );
    t.true(data0.subarray(0, first * BLOCK).every((byte) => byte === 0xee));
    t.true(data0.subarray(end * BLOCK).every((byte) => byte === 0xee));
    t.is(run.process.totalBlocks, end - first);
    t.is(run.process.doneBlocks, end - first);
    t.is(run.process.watermark, 60);
  }
});

test('ranges that shrink are not copied, and the total follows', (t) => {
  for (const depth of [1, 4]) {
    const { host, start } = open(SHAPES[0]!, { delayUsMax: 50 });
    const live = new Blocks(60, (block) => block % 20 < 10);
    const ranges = new LiveWork(live, { stripBlocks: 0, dataStrips: 1, memberDataBlocks: 60 });
    const run = new Run(host, { ...start, ranges, tuning: { depth } });
    host.beforeCompletion = (count) => {
      if (count === 3) live.live.fill(false, 20, 50);
    };
    run.process.start();
    t.is(run.process.totalBlocks, 30);
    run.until();
    t.is(run.outcome, 'done');
    t.true(run.process.totalBlocks < 30);
    t.is(run.process.doneBlocks, run.process.totalBlocks);
    t.is(run.process.watermark, 60);
  }
});

test('a chunk that is found unneeded under its lock is skipped', (t) => {
  const { host, start } = open(SHAPES[0]!);
  const live = new Blocks(60, () => true);
  const ranges = new LiveWork(live, { stripBlocks: 0, dataStrips: 1, memberDataBlocks: 60 });
  const run = new Run(host, { ...start, ranges });
  const writer = new Writer(host, 1, 1);
  writer.next();
  live.live.fill(false);
  ranges.next = (from) => {
    ranges.first = from;
    ranges.count = 60 - from;
    return from < 60;
  };
  t.is(run.finish(), 'done');
  t.is(run.process.totalBlocks, 0);
  t.is(run.process.watermark, 60);
  t.true(host.locks.idle);
});

test('strips larger than a request are copied slice by slice', (t) => {
  const one = SHAPES[3]!;
  const { host, start } = open(one, { strip: 20, memberBlocksMax: 7, delayUsMax: 50 });
  t.is(new Run(host, start).finish(), 'done');
  t.true(host.holds(host.target, 1));
});

test('small strips are copied several at a time', (t) => {
  const { host, start } = open(SHAPES[3]!, { strip: 2 });
  t.is(new Run(host, { ...start, tuning: { chunkBytes: 9 * BLOCK } }).finish(), 'done');
  t.true(host.holds(host.target, 1));
  t.deepEqual(
    host.target.log.map(({ blockCount }) => blockCount),
    [8, 8, 8, 8, 8, 8, 8, 4],
  );
});

test('buffers stay within 8 MiB however wide the array', (t) => {
  for (const members of [3, 9, 40, 255]) {
    const { host, start } = open(shape('parity', members, false), {
      blocks: 64,
      strip: 16,
      arenaBytes: 2 ** 24,
    });
    const before = host.reactor.arena.freeBytes;
    const run = new Run(host, { ...start, tuning: { chunkBytes: 2 ** 20, depth: 16 } });
    run.process.start();
    t.true(before - host.reactor.arena.freeBytes <= 8 * 2 ** 20, `${members}`);
    run.until();
    t.is(run.outcome, 'done');
    t.true(host.holds(host.target, 1));
  }
});

test('a full arena is said by start, and nothing has begun', (t) => {
  const { host, start } = open(SHAPES[0]!);
  const { arena } = host.reactor;
  const bytes = arena.freeBytes - 4096;
  const taken = arena.allocate(bytes);
  const run = new Run(host, { ...start, tuning: { chunkBytes: 64 * BLOCK } });
  const error = t.throws(() => run.process.start(), { instanceOf: BandstandError });
  t.is(error?.code, 'BANDSTAND_ARENA_FULL');
  while (run.step());
  t.false(run.ended);
  t.is(host.completions, 0);
  arena.release(taken, bytes);
  t.is(run.finish(), 'done');
  t.true(host.holds(host.target, 1));
});
