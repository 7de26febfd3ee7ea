/**
 * The pacer against a model of a disk whose latency grows with what waits for it.
 *
 * A hard disk carries out one operation after another: a fixed time (twice as long or half, as
 * seeks are) and the time of the bytes. A solid-state disk moves chunks one after another, too, but
 * lets a small read in between: it waits for one page of each chunk that is in flight. Users read
 * 4 KiB and think in between; the process moves chunks of 256 KiB as the pacer lets it.
 */

import test from 'ava';
import { LatencyHistogram } from '../../src/block/latency-histogram.ts';
import { Timer } from '../../src/block/reactor.ts';
import { Pacer, type PacerOptions } from '../../src/raid/pacer.ts';
import { SimulatedReactor } from '../../src/reactor/simulated-reactor.ts';

const CHUNK_BYTES = 256 * 1024;
const MIB = 2 ** 20;
const SECOND_US = 1_000_000;

interface DiskOptions {
  readonly bytesPerSecond: number;
  readonly fixedUs: number;
  /** What a small read waits for per chunk in flight; 0: it waits for all before it. */
  readonly pageBytes: number;
}

class Event extends Timer {
  readonly #run: () => void;

  constructor(run: () => void) {
    super();
    this.#run = run;
  }

  expire(): void {
    this.#run();
  }
}

class World {
  readonly reactor: SimulatedReactor;
  readonly pacer: Pacer;
  readonly #disk: DiskOptions;
  #freeUs = 0;
  /** Bytes that the process has moved, and chunks in flight. */
  moved = 0;
  #chunks = 0;
  #depth = 0;
  readonly #wake = new Event(() => this.#pump());
  /** Latencies of the user since `listen`. */
  readonly latencies = new LatencyHistogram();
  userOn = false;
  /** How many times slower operations are reported than they are. */
  slowness = 1;

  constructor(seed: number, disk: DiskOptions, options: Partial<PacerOptions> = {}) {
    this.reactor = new SimulatedReactor({ seed, arenaBytes: 2 ** 16 });
    this.#disk = disk;
    this.pacer = new Pacer(this.reactor, {
      limitBytesPerSecond: null,
      latencyFactor: 2,
      ...options,
    });
  }

  /** Carries out an operation behind those that wait; calls back when it is done. */
  #carryOut(bytes: number, done: () => void): void {
    const { reactor } = this;
    const { bytesPerSecond, fixedUs, pageBytes } = this.#disk;
    const varied = fixedUs * (0.5 + (reactor.random() % 1000) / 1000);
    const takesUs = varied + (bytes * SECOND_US) / bytesPerSecond;
    if (pageBytes !== 0 && bytes < CHUNK_BYTES) {
      const share = (this.#chunks * (reactor.random() % 1000)) / 1000;
      const pagesUs = (share * pageBytes * SECOND_US) / bytesPerSecond;
      reactor.schedule(new Event(done), takesUs + pagesUs);
      return;
    }
    this.#freeUs = Math.max(this.#freeUs, reactor.nowUs()) + takesUs;
    reactor.schedule(new Event(done), this.#freeUs - reactor.nowUs());
  }

  process(depth: number): void {
    this.#depth = depth;
    this.#pump();
  }

  #pump(): void {
    while (this.#chunks < this.#depth) {
      const waitUs = this.pacer.admit(CHUNK_BYTES);
      if (waitUs > 0) {
        this.reactor.schedule(this.#wake, waitUs);
        return;
      }
      this.#chunks += 1;
      this.#carryOut(CHUNK_BYTES, () => {
        this.#chunks -= 1;
        this.moved += CHUNK_BYTES;
        this.pacer.ended(CHUNK_BYTES, true);
        this.#pump();
      });
    }
  }

  /** A user with so many operations in flight, who thinks a while between two. */
  user(inFlight: number, thinkUs: number): void {
    this.userOn = true;
    for (let count = 0; count < inFlight; count += 1) this.#think(thinkUs);
  }

  #think(thinkUs: number): void {
    if (!this.userOn) return;
    const ask = () => {
      const beganUs = this.reactor.nowUs();
      this.#carryOut(4096, () => {
        const latencyUs = this.reactor.nowUs() - beganUs;
        this.latencies.record(latencyUs);
        if (this.#depth > 0) this.pacer.foreground(latencyUs * this.slowness);
        this.#think(thinkUs);
      });
    };
    this.reactor.schedule(new Event(ask), this.reactor.random() % (2 * thinkUs));
  }

  run(us: number): void {
    const end = this.reactor.nowUs() + us;
    let stop = false;
    this.reactor.schedule(
      new Event(() => {
        stop = true;
      }),
      end - this.reactor.nowUs(),
    );
    while (!stop) {
      if (!this.reactor.busy) this.reactor.advance();
      this.reactor.turn();
    }
  }

  /** Bytes per second of the process over so long. */
  rate(us: number): number {
    const before = this.moved;
    this.run(us);
    return ((this.moved - before) * SECOND_US) / us;
  }

  /** p99 of the user over so long, in microseconds. */
  p99(us: number): number {
    this.latencies.reset();
    this.run(us);
    return this.latencies.quantileUs(0.99);
  }
}

const DISKS: readonly (readonly [name: string, disk: DiskOptions, user: [number, number]])[] = [
  ['a SATA SSD', { bytesPerSecond: 500 * MIB, fixedUs: 80, pageBytes: 16384 }, [8, 2_000]],
  ['an NVMe SSD', { bytesPerSecond: 3000 * MIB, fixedUs: 10, pageBytes: 16384 }, [16, 1_000]],
  ['a hard disk', { bytesPerSecond: 160 * MIB, fixedUs: 5_000, pageBytes: 0 }, [4, 60_000]],
];

for (const [name, disk, [inFlight, thinkUs]] of DISKS) {
  test(`user I/O on ${name} keeps its p99 within the budget`, (t) => {
    for (const seed of [1, 2]) {
      const idle = new World(seed, disk);
      idle.user(inFlight, thinkUs);
      const idleP99 = idle.p99(15 * SECOND_US);
      const world = new World(seed, disk);
      world.process(16);
      world.run(2 * SECOND_US);
      world.user(inFlight, thinkUs);
      world.run(3 * SECOND_US);
      const moved = world.moved;
      const p99 = world.p99(25 * SECOND_US);
      const measured = `seed ${seed}: ${p99} µs, idle ${idleP99} µs, believed ${world.pacer.idleP99Us}`;
      t.true(p99 <= 2 * idleP99, measured);
      const rate = (world.moved - moved) / 25;
      t.true(rate >= MIB * 0.9, `seed ${seed}: ${rate / MIB} MiB/s`);
      t.log(`${measured}, ${(rate / MIB).toFixed(1)} MiB/s`);
    }
  });

  test(`without a pacer user I/O on ${name} would not`, (t) => {
    const idle = new World(1, disk);
    idle.user(inFlight, thinkUs);
    const idleP99 = idle.p99(15 * SECOND_US);
    const world = new World(1, disk, { limitBytesPerSecond: 2 ** 50 });
    world.process(16);
    world.user(inFlight, thinkUs);
    t.true(world.p99(15 * SECOND_US) > 2 * idleP99);
  });

  test(`on ${name} the process is at full speed before and after user I/O`, (t) => {
    const full = new World(1, disk, { limitBytesPerSecond: 2 ** 50 });
    full.process(16);
    const best = full.rate(5 * SECOND_US);
    const world = new World(1, disk);
    world.process(16);
    t.true(world.rate(5 * SECOND_US) > 0.98 * best);
    t.is(world.pacer.rateBytesPerSecond, null);
    world.user(inFlight, thinkUs);
    world.run(10 * SECOND_US);
    t.true(world.pacer.rateBytesPerSecond !== null);
    world.userOn = false;
    world.run(SECOND_US);
    t.true(world.rate(5 * SECOND_US) > 0.98 * best);
  });
}

test('the rate recovers within seconds when latencies do', (t) => {
  const world = new World(4, DISKS[0]![1]);
  world.process(16);
  world.run(SECOND_US);
  world.user(8, 2_000);
  world.run(5 * SECOND_US);
  const before = world.rate(5 * SECOND_US);
  world.slowness = 100;
  world.run(4 * SECOND_US);
  t.true(world.rate(SECOND_US) < before / 4);
  world.slowness = 1;
  world.run(6 * SECOND_US);
  const after = world.rate(5 * SECOND_US);
  t.true(after > 0.8 * before, `${(before / MIB).toFixed(1)}, then ${(after / MIB).toFixed(1)}`);
});

test('the rate does not fall below the floor when user I/O alone is over the budget', (t) => {
  const world = new World(5, DISKS[2]![1]);
  world.process(16);
  world.run(2 * SECOND_US);
  world.user(4, 60_000);
  world.run(5 * SECOND_US);
  world.slowness = 100;
  world.run(20 * SECOND_US);
  t.true(world.rate(20 * SECOND_US) >= 0.9 * MIB);
});

for (const limit of [MIB / 2, 5 * MIB, 60 * MIB, 400 * MIB]) {
  test(`a limit of ${limit / MIB} MiB/s is kept within 5 %`, (t) => {
    const world = new World(6, DISKS[0]![1], { limitBytesPerSecond: limit });
    world.process(16);
    world.run(SECOND_US);
    const rate = world.rate(20 * SECOND_US);
    t.true(Math.abs(rate - limit) <= 0.05 * limit, `${rate / MIB} MiB/s`);
    t.is(world.pacer.rateBytesPerSecond, limit);
  });
}

test('a limit can be changed and taken away while the process runs', (t) => {
  const world = new World(7, DISKS[0]![1], { limitBytesPerSecond: MIB });
  world.process(16);
  world.run(5 * SECOND_US);
  world.pacer.setLimit(50 * MIB);
  world.run(SECOND_US);
  const faster = world.rate(10 * SECOND_US);
  t.true(Math.abs(faster - 50 * MIB) <= 2.5 * MIB, `${faster / MIB}`);
  world.pacer.setLimit(null);
  world.run(SECOND_US);
  t.true(world.rate(5 * SECOND_US) > 300 * MIB);
});

test('a chunk that had nothing to do does not count against the limit', (t) => {
  const reactor = new SimulatedReactor({ arenaBytes: 2 ** 16 });
  const pacer = new Pacer(reactor, { limitBytesPerSecond: MIB, latencyFactor: 2 });
  for (let chunk = 0; chunk < 100; chunk += 1) {
    t.is(pacer.admit(CHUNK_BYTES), 0);
    pacer.ended(CHUNK_BYTES, false);
  }
  t.is(pacer.admit(CHUNK_BYTES), 0);
  t.is(pacer.admit(CHUNK_BYTES), 250_000 - 0);
});

test('the same history gives the same decisions', (t) => {
  const [one, other] = [1, 1].map((seed) => {
    const world = new World(seed, DISKS[0]![1]);
    world.process(16);
    world.user(8, 2_000);
    world.run(10 * SECOND_US);
    return [world.moved, world.pacer.rateBytesPerSecond, world.pacer.busyP99Us];
  });
  t.deepEqual(one, other);
});
