/**
 * The background process as a comparison: resync and check. What it copies: process.ts.
 */

import test from 'ava';
import { OP_READ, OP_WRITE } from '../../src/block/block-io.ts';
import { ENODEV } from '../../src/block/status.ts';
import { Process } from '../../src/raid/process.ts';
import type { WorkRanges } from '../../src/raid/work-ranges.ts';
import { Random } from '../_helpers/array-fixture.ts';
import {
  BLOCK,
  DATA_OFFSET,
  FakeHost,
  type HostOptions,
  isBackground,
  Run,
  Writer,
} from '../_helpers/process-host.ts';
import { sameImages } from '../_helpers/same-bytes.ts';

const SHAPES: readonly HostOptions[] = [
  { redundancy: 'mirror', members: 2, blocks: 60 },
  { redundancy: 'mirror', members: 3, blocks: 60 },
  { redundancy: 'parity', members: 3, blocks: 60 },
  { redundancy: 'parity', members: 4, blocks: 60 },
];

function nameOf({ redundancy, members }: HostOptions): string {
  return `${redundancy} of ${members}`;
}

function open(shape: HostOptions, more: Partial<HostOptions> = {}): FakeHost {
  return new FakeHost({ ...shape, ...more });
}

/** One range of member blocks. */
class SomeBlocks implements WorkRanges {
  first: number;
  count: number;

  constructor(first: number, count: number) {
    this.first = first;
    this.count = count;
  }

  next(from: number): boolean {
    return from <= this.first;
  }

  needed(first: number, count: number): boolean {
    return first < this.first + this.count && first + count > this.first;
  }
}

/** Spoils a member block of a slot. */
function spoil(host: FakeHost, slot: number, block: number, value = 0x5a): void {
  host.data(host.devices[slot]!).fill(value, block * BLOCK, (block + 1) * BLOCK);
}

/** The slot that a repair of that block writes to: not the lowest, or the parity. */
function mendable(host: FakeHost, block: number): number {
  if (host.redundancy === 'mirror') return host.members.length - 1;
  return host.paritySlot(Math.floor(block / host.stripBlocks));
}

function allHold(host: FakeHost): boolean {
  return host.members.every(
    ({ device }, slot) => device === null || host.holds(host.devices[slot]!, slot),
  );
}

function writesTo(host: FakeHost): number {
  return host.devices.flatMap(({ log }) => log).filter(({ op }) => op === OP_WRITE).length;
}

for (const shape of SHAPES) {
  const name = nameOf(shape);

  test(`a check of a ${name} that agrees finds nothing and writes nothing`, (t) => {
    for (const kind of ['check', 'resync'] as const) {
      const host = open(shape, { delayUsMax: 100 });
      const free = host.reactor.arena.freeBytes;
      const run = new Run(host, { kind, repair: true });
      t.is(run.finish(), 'done');
      t.is(run.process.mismatchBlocks, 0);
      t.is(run.process.doneBlocks, 60);
      t.is(run.process.watermark, 60);
      t.is(writesTo(host), 0);
      t.true(host.inFlightMost >= 8, `${host.inFlightMost}`);
      t.true(host.devices.every(isBackground));
      t.true(host.locks.idle);
      t.is(host.reactor.arena.freeBytes, free);
    }
  });

  test(`a check of a ${name} finds exactly what differs and leaves it`, (t) => {
    const host = open(shape);
    for (const block of [5, 6, 11, 12, 59]) spoil(host, mendable(host, block), block);
    const before = host.devices.map(({ bytes }) => Buffer.from(bytes));
    const run = new Run(host, { kind: 'check' });
    t.is(run.finish(), 'done');
    t.deepEqual(run.mismatches.toSorted(), ['11+1', '12+1', '5+2', '59+1']);
    t.is(run.process.mismatchBlocks, 5);
    t.is(run.process.repairedBlocks, 0);
    sameImages(
      t,
      host.devices.map(({ bytes }) => bytes),
      before,
    );
  });

  test(`a resync of an unflushed ${name} writes what agrees, where a cache may lose it`, (t) => {
    const cached = [0, 1];
    const host = open(shape, { cached, delayUsMax: 100 });
    // Whole strips, in the middle of two chunks.
    const unflushed = new SomeBlocks(8, 16);
    const run = new Run(host, { kind: 'resync', unflushed });
    t.is(run.finish(), 'done');
    host.devices.forEach(({ log }, slot) => {
      const written = log.filter(({ op }) => op === OP_WRITE);
      const blocks = written.flatMap(({ block, blockCount }) => {
        return Array.from({ length: blockCount }, (_, index) => block + index - DATA_OFFSET);
      });
      const all = Array.from({ length: 16 }, (_, index) => 8 + index);
      t.deepEqual(
        blocks.toSorted((a, b) => a - b),
        cached.includes(slot) ? all : [],
        `${slot}`,
      );
    });
    t.deepEqual(run.mismatches, [], 'nothing differed');
    t.true(allHold(host));
  });

  test(`a resync of an unflushed ${name} mends what differs and tells only that`, (t) => {
    const host = open(shape, { cached: [0, 1, 2].slice(0, shape.members) });
    for (const block of [5, 6, 11, 59]) spoil(host, mendable(host, block), block);
    const run = new Run(host, { kind: 'resync', unflushed: new SomeBlocks(0, 60) });
    t.is(run.finish(), 'done');
    t.deepEqual(run.mismatches.toSorted(), ['11+1 repaired', '5+2 repaired', '59+1 repaired']);
    t.true(allHold(host));
  });

  for (const kind of ['check', 'resync'] as const) {
    test(`a ${kind} of a ${name} repairs what differs`, (t) => {
      for (let seed = 1; seed <= 10; seed += 1) {
        const host = open(shape, { delayUsMax: 100, seed });
        const random = new Random(seed);
        const spoilt = new Set(Array.from({ length: 12 }, () => random.below(60)));
        for (const block of spoilt) spoil(host, mendable(host, block), block);
        const run = new Run(host, { kind, repair: true, tuning: { chunkBytes: 16 * BLOCK } });
        t.is(run.finish(), 'done', `seed ${seed}`);
        t.true(allHold(host), `seed ${seed}`);
        t.is(run.process.mismatchBlocks, spoilt.size, `seed ${seed}`);
        t.is(run.process.repairedBlocks, spoilt.size, `seed ${seed}`);
        t.true(run.mismatches.every((text) => text.endsWith('repaired')));
      }
    });

    test(`a ${kind} of a ${name} loses no write of a user`, (t) => {
      for (let seed = 1; seed <= 10; seed += 1) {
        const host = open(shape, { delayUsMax: 200, seed });
        for (let block = 0; block < 60; block += 3) spoil(host, mendable(host, block), block);
        const run = new Run(host, { kind, repair: true });
        const writers = [new Writer(host, seed, 25), new Writer(host, seed + 100, 25)];
        for (const writer of writers) writer.next();
        run.process.start();
        run.until(() => !run.ended || writers.some((writer) => !writer.done));
        t.is(run.outcome, 'done', `seed ${seed}`);
        t.true(allHold(host), `seed ${seed}`);
        t.true(host.locks.idle, `seed ${seed}`);
      }
    });
  }

  test(`a check of a ${name} rebuilds what one member cannot read`, (t) => {
    for (let slot = 0; slot < shape.members; slot += 1) {
      const bad = (block: number) => block === 7 || block === 8 || block === 30;
      const plain = open(shape);
      plain.breakBlocks(plain.devices[slot]!, OP_READ, bad);
      const look = new Run(plain, { kind: 'check' });
      t.is(look.finish(), 'done');
      t.is(look.process.mismatchBlocks, 3);
      t.is(writesTo(plain), 0);
      const host = open(shape);
      host.breakBlocks(host.devices[slot]!, OP_READ, bad);
      for (const block of [7, 8, 30]) spoil(host, slot, block);
      const run = new Run(host, { kind: 'check', repair: true });
      t.is(run.finish(), 'done');
      t.is(run.process.repairedBlocks, 3);
      t.deepEqual(run.lost, []);
      t.true(host.holds(host.devices[slot]!, slot), `slot ${slot}`);
    }
  });

  test(`a check of a ${name} names what is lost and goes on`, (t) => {
    for (const repair of [false, true]) {
      const host = open(shape, { delayUsMax: 50 });
      for (const device of host.devices) {
        host.breakBlocks(device, OP_READ, (block) => block === 9 || block === 10 || block === 33);
      }
      const run = new Run(host, { kind: 'check', repair });
      t.is(run.finish(), 'done');
      t.deepEqual(run.lost.toSorted(), ['33+1', '9+2']);
      t.is(run.process.lostBlocks, 3);
      t.is(run.process.mismatchBlocks, 0);
      t.is(run.process.watermark, 60);
    }
  });

  test(`a read that fails once does not disturb a resync of a ${name}`, (t) => {
    for (let k = 1; k <= 15; k += 1) {
      const host = open(shape, { delayUsMax: 100, seed: k });
      for (let block = 0; block < 60; block += 2) spoil(host, mendable(host, block), block);
      host.breakNth(host.devices[0]!, OP_READ, k);
      const run = new Run(host, { kind: 'resync' });
      t.is(run.finish(), 'done', `${k}`);
      t.true(allHold(host), `${k}`);
    }
  });

  test(`a failed write of a resync of a ${name} ejects its member`, (t) => {
    for (let k = 1; k <= 3; k += 1) {
      const host = open(shape, { delayUsMax: 100, seed: k });
      // Several runs in each slice.
      for (let block = 0; block < 60; block += 2) spoil(host, mendable(host, block), block);
      const slot = shape.members - 1;
      host.breakNth(host.devices[slot]!, OP_WRITE, k);
      const run = new Run(host, { kind: 'resync', tuning: { chunkBytes: 16 * BLOCK } });
      t.is(run.finish(), 'done', `${k}`);
      t.deepEqual(host.failedWrites, [`${slot}:5`], `${k}`);
      t.is(host.members[slot]!.device, null);
      t.is(run.process.watermark, 60);
      t.true(host.locks.idle);
      if (shape.redundancy === 'mirror') t.true(allHold(host), `${k}`);
    }
  });

  test(`a check of a ${name} copes with an ejection at any completion`, (t) => {
    let failed = 0;
    for (let k = 1; k <= 40; k += 1) {
      const host = open(shape, { delayUsMax: 100, seed: k });
      for (let block = 0; block < 60; block += 5) spoil(host, mendable(host, block), block);
      const run = new Run(host, { kind: 'check', repair: true });
      host.beforeCompletion = (count) => {
        if (count === k) host.eject(1);
      };
      const ended = run.finish();
      t.true(host.locks.idle, `${k}`);
      if (ended === 'done') t.true(allHold(host), `${k}`);
      else t.regex(ended, new RegExp(`^failed ${ENODEV} slot 1 `), `${k}`);
      if (ended !== 'done') failed += 1;
    }
    if (shape.members === 3 && shape.redundancy === 'mirror') t.is(failed, 0);
    else t.true(failed > 30, `${failed}`);
  });

  test(`a resync of a ${name} can be paused, stopped and resumed at any completion`, (t) => {
    for (let k = 1; k <= 30; k += 1) {
      const host = open(shape, { delayUsMax: 100, seed: k });
      for (let block = 0; block < 60; block += 3) spoil(host, mendable(host, block), block);
      const first = new Run(host, { kind: 'resync' });
      host.beforeCompletion = (count) => {
        if (count === k) first.process.pause();
        if (count === 2 * k) first.process.stop();
      };
      first.process.start();
      while (first.step());
      if (first.outcome === 'running') first.process.stop();
      first.until();
      t.true(host.locks.idle, `${k}`);
      const second = new Run(host, { kind: 'resync', startBlock: first.process.watermark });
      host.beforeCompletion = () => {};
      t.is(second.finish(), 'done', `${k}`);
      t.true(allHold(host), `${k}`);
    }
  });
}

test('a resync of mirrors takes the lowest slot, a check with repair the majority', (t) => {
  for (const kind of ['resync', 'check'] as const) {
    const host = open({ redundancy: 'mirror', members: 3, blocks: 60 });
    const image = host.images()[0]!;
    spoil(host, 0, 10);
    const run = new Run(host, { kind, repair: true });
    t.is(run.finish(), 'done');
    const expected = Buffer.from(image);
    if (kind === 'resync') expected.fill(0x5a, 10 * BLOCK, 11 * BLOCK);
    for (const device of host.devices) {
      t.is(Buffer.compare(host.data(device), expected), 0, `${kind} ${device.name}`);
    }
    t.deepEqual(run.mismatches, ['10+1 repaired']);
  }
});

test('neighbours that differ on different members are each repaired where they differ', (t) => {
  const host = open({ redundancy: 'mirror', members: 3, blocks: 60 });
  spoil(host, 1, 8);
  spoil(host, 2, 9);
  spoil(host, 1, 10);
  spoil(host, 2, 10);
  const run = new Run(host, { kind: 'resync' });
  t.is(run.finish(), 'done');
  t.true(allHold(host));
  t.deepEqual(run.mismatches, ['8+1 repaired', '9+1 repaired', '10+1 repaired']);
});

test('what only looks shares its locks with readers, what repairs does not', (t) => {
  for (const [kind, repair, shared] of [
    ['check', false, true],
    ['check', true, false],
    ['resync', false, false],
    ['rebuild', false, true],
  ] as const) {
    const rebuilds = kind === 'rebuild';
    const more = rebuilds ? { targetSlot: 1, missing: [1] } : {};
    const host = open({ redundancy: 'parity', members: 3, blocks: 60 }, more);
    const acquire = host.locks.acquire.bind(host.locks);
    let taken = 0;
    host.locks.acquire = (lock) => {
      taken += 1;
      t.is(lock.shared, shared, kind);
      return acquire(lock);
    };
    t.is(new Run(host, { kind, repair }).finish(), 'done');
    t.is(taken, 15);
  }
});

test('of mirrors that all differ a check keeps the lowest slot', (t) => {
  const host = open({ redundancy: 'mirror', members: 4, blocks: 60 });
  spoil(host, 1, 20, 1);
  spoil(host, 2, 20, 2);
  spoil(host, 3, 20, 3);
  // Two against two.
  spoil(host, 2, 21, 4);
  spoil(host, 3, 21, 4);
  t.is(new Run(host, { kind: 'check', repair: true }).finish(), 'done');
  t.true(allHold(host));
});

test('a resync reads from the next slot what the lowest cannot read', (t) => {
  const host = open({ redundancy: 'mirror', members: 3, blocks: 60 });
  host.breakBlocks(host.devices[0]!, OP_READ, (block) => block === 4);
  spoil(host, 0, 4);
  spoil(host, 2, 4);
  t.is(new Run(host, { kind: 'resync' }).finish(), 'done');
  t.true(allHold(host));
});

test('a member that must stay and cannot be written ends the resync', (t) => {
  const host = open({ redundancy: 'mirror', members: 2, blocks: 60 });
  spoil(host, 1, 30);
  host.breakBlocks(host.devices[1]!, OP_WRITE, () => true);
  host.bearsLoss = () => false;
  t.is(new Run(host, { kind: 'resync' }).finish(), 'failed 5 slot 1 block 30');
  t.true(host.locks.idle);
});

test('without redundancy there is nothing to compare', (t) => {
  for (const [redundancy, members, missing, can] of [
    ['mirror', 2, [1], false],
    ['mirror', 3, [1], true],
    ['parity', 3, [1], false],
    ['parity', 3, [], true],
  ] as const) {
    const host = open({ redundancy, members, missing, blocks: 60 });
    t.is(Process.canCheck(host), can);
    if (can) continue;
    const check = new Run(host, { kind: 'check' });
    t.is(check.finish(), `failed ${ENODEV} slot 1 block 0`);
    const resync = new Run(host, { kind: 'resync' });
    t.is(resync.finish(), 'done');
    t.is(resync.process.watermark, 60);
    t.is(resync.process.totalBlocks, resync.process.doneBlocks);
    t.is(host.completions, 0);
  }
});

test('a resync of a degraded mirror makes the others equal', (t) => {
  const host = open({ redundancy: 'mirror', members: 3, blocks: 60, missing: [0] });
  spoil(host, 2, 40);
  t.is(new Run(host, { kind: 'resync' }).finish(), 'done');
  t.true(allHold(host));
});

test('strips larger than a request are verified slice by slice', (t) => {
  const host = open(
    { redundancy: 'parity', members: 3, blocks: 60 },
    { strip: 20, memberBlocksMax: 7 },
  );
  for (const block of [0, 6, 7, 19, 20, 45]) spoil(host, mendable(host, block), block);
  const run = new Run(host, { kind: 'check', repair: true });
  t.is(run.finish(), 'done');
  t.is(run.process.repairedBlocks, 6);
  t.true(allHold(host));
});

test('a spoilt data block of a parity level makes the parity fit it', (t) => {
  const host = open({ redundancy: 'parity', members: 3, blocks: 60 });
  const slot = mendable(host, 0) === 0 ? 1 : 0;
  spoil(host, slot, 0);
  t.is(new Run(host, { kind: 'resync' }).finish(), 'done');
  const [a, b, c] = host.devices.map((device) => host.data(device).subarray(0, BLOCK));
  t.true(a!.every((byte, at) => (byte ^ b![at]! ^ c![at]!) === 0));
  t.is(host.data(host.devices[slot]!)[0], 0x5a);
});
