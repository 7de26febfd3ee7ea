/**
 * Pacer: decides when the next chunk of a background process may start.               (data plane)
 *
 * With an explicit limit it is a token bucket and nothing else. Without one it keeps a promise to
 * the foreground: the p99 latency of user I/O stays within `latencyFactor` times what it is without
 * the process, and within that budget the process is as fast as it can be.
 *
 *   FREE     No user I/O for half a second: no limit.
 *   SETTLE   User I/O has appeared, or the last break is ten seconds ago: a break begins. Nothing
 *            new starts, chunks in flight end.
 *   LISTEN   Nothing of the process is in flight: user I/O that begins now shows the idle p99.
 *            Ends with 200 samples or after 250 ms; later breaks move the old value half way.
 *   STEER    In periods of 100 samples or more, of I/O that began in the period:
 *              p99 > 0.85 budget    breach: the rate becomes 0.6 of what was used
 *              p99 < 0.70 budget    the rate grows by a step
 *            Between the two marks the rate stays. A period in which a tenth of the samples is over
 *            ends early, and after a breach nothing starts until the chunks in flight have ended.
 *            Until the first breach the rate grows by half each time. From then on the step is 1/32
 *            of the rate of the last breach, and doubles after 8 of them.
 *
 * Most disks bear more load without any effect until they are saturated, and probing for that
 * point hurts every time. So 0.8 of the rate of a breach becomes a ceiling, under which the rate
 * stays for a hold time before it probes on: four seconds, and sixteen once breaches come at
 * similar rates. That, and marks below the budget, keep the p99 of the whole run within it. A
 * breach at the floor says nothing about rates and leaves no ceiling: recovery then takes seconds,
 * at any speed.
 *
 * The rate starts at an eighth of the best seen. It never falls below a twentieth of that, nor
 * below 1 MiB/s, whatever the latency: a rebuild that never ends is a risk of its own.
 *
 * What a rate means: the next chunk starts no earlier than the last one's bytes take at that rate.
 * A process that falls behind catches up with 20 ms of its limit at most, and with one chunk when
 * it is steered. Bytes are the length of chunks, as of one member.
 *
 * Time comes from the reactor; the same calls at the same times give the same answers.
 */

import { assert } from '../block/assert.ts';
import { LatencyHistogram } from '../block/latency-histogram.ts';
import type { Reactor } from '../block/reactor.ts';

const US_PER_SECOND = 1_000_000;
/** No user I/O for so long: there is none. */
const GONE_US = 500_000;
/** A break waits at most so long for chunks in flight. */
const SETTLE_US_MAX = 1_000_000;
const LISTEN_SAMPLES = 200;
const LISTEN_SAMPLES_LEAST = 16;
const LISTEN_US_MIN = 20_000;
const LISTEN_US_MAX = 250_000;
const LISTEN_US_LAST = 1_000_000;
/** Breaks come so often while there is user I/O. */
const REMEASURE_US = 10 * US_PER_SECOND;
/** A measured idle p99 is good for so long without user I/O. */
const STALE_US = 60 * US_PER_SECOND;
const PERIOD_SAMPLES = 100;
const PERIOD_SAMPLES_LEAST = 20;
const PERIOD_US_MIN = 50_000;
const PERIOD_US_MAX = 500_000;
const PERIOD_US_LAST = 2_000_000;
/** Over which the best rate is measured. */
const RATE_WINDOW_US = 250_000;
const BREACH = 0.85;
const EASE = 0.7;
const DECREASE = 0.6;
const GROWTH = 1.5;
const STEPS_PER_RATE = 32;
const STEPS_TO_DOUBLE = 8;
/** A period ends early with so many samples over the mark, when they are a tenth of all. */
const EARLY_SAMPLES = 5;
const EARLY_SHARE = 10;
const CEILING = 0.8;
const HOLD_US_MIN = 4 * US_PER_SECOND;
const HOLD_US_MAX = 16 * US_PER_SECOND;
/** Breaches within this share of each other are at similar rates. */
const SIMILAR = 0.3;
const FLOOR_BYTES_PER_SECOND = 2 ** 20;
const FLOOR_SHARE = 0.05;
const START_SHARE = 0.125;
const BURST_US = 20_000;
/** During a break a process asks again so often. */
const POLL_US = 2_000;

const FREE = 0;
const SETTLE = 1;
const LISTEN = 2;
const STEER = 3;

export interface PacerOptions {
  readonly limitBytesPerSecond: number | null;
  readonly latencyFactor: number;
}

export class Pacer {
  readonly #reactor: Reactor;
  readonly #latencyFactor: number;
  #limit: number | null;
  #mode = FREE;
  #modeSinceUs = 0;
  #foregroundUs = 0;
  /** The earliest start of the next chunk. */
  #nextUs = 0;
  #chunksInFlight = 0;
  /** Latencies of the break, or of the period. */
  readonly #latencies = new LatencyHistogram();
  #periodSinceUs = 0;
  #periodBytes = 0;
  #idleP99Us = 0;
  #idleAtUs = 0;
  #busyP99Us = 0;
  /** 0: not steered yet. */
  #rate = 0;
  #step = 0;
  #steps = 0;
  /** Rate and time of the last breach; the rate stays under a ceiling for the hold time. */
  #breachRate = 0;
  #breachUs = 0;
  #holdUs = 0;
  /** After a breach: nothing starts until nothing is in flight. */
  #isDraining = false;
  /** Samples of the period over the mark. */
  #overCount = 0;
  /** The best rate seen, and the window over which it is being measured. */
  #bestRate = 0;
  #windowSinceUs = 0;
  #windowBytes = 0;

  constructor(reactor: Reactor, options: PacerOptions) {
    assert(options.latencyFactor > 1, 'a latency budget is above the idle latency');
    this.#reactor = reactor;
    this.#latencyFactor = options.latencyFactor;
    this.#limit = options.limitBytesPerSecond;
    const nowUs = reactor.nowUs();
    this.#modeSinceUs = nowUs;
    this.#nextUs = nowUs;
    this.#windowSinceUs = nowUs;
    assert(this.#limit === null || this.#limit > 0, 'a limit is above zero');
  }

  get limitBytesPerSecond(): number | null {
    return this.#limit;
  }

  /** Null: adaptive. Takes effect with the next chunk. */
  setLimit(bytesPerSecond: number | null): void {
    assert(bytesPerSecond === null || bytesPerSecond > 0, 'a limit is above zero');
    this.#limit = bytesPerSecond;
    const nowUs = this.#reactor.nowUs();
    this.#nextUs = nowUs;
    this.#enter(FREE, nowUs);
  }

  /** What holds at present; null: nothing does. */
  get rateBytesPerSecond(): number | null {
    if (this.#limit !== null) return this.#limit;
    return this.#mode === FREE ? null : this.#rate;
  }

  /** For status and tests; 0 while unknown. */
  get idleP99Us(): number {
    return this.#idleP99Us;
  }

  /** p99 of the last period that was judged; 0 while unknown. */
  get busyP99Us(): number {
    return this.#busyP99Us;
  }

  // data path

  /** 0: a chunk of so many bytes starts now. Otherwise the microseconds to wait before asking. */
  admit(bytes: number): number {
    const nowUs = this.#reactor.nowUs();
    this.#tick(nowUs);
    if (this.#limit === null && (this.#mode === SETTLE || this.#mode === LISTEN)) return POLL_US;
    if (this.#isDraining) return POLL_US;
    if (nowUs < this.#nextUs) return Math.ceil(this.#nextUs - nowUs);
    const costUs = this.#costUs(bytes);
    // Catching up is what a foreground would feel: one chunk is allowed for a late timer.
    const burstUs = this.#limit === null ? Math.min(costUs, BURST_US) : BURST_US;
    this.#nextUs = Math.max(this.#nextUs, nowUs - burstUs) + costUs;
    this.#chunksInFlight += 1;
    return 0;
  }

  /** A chunk that was admitted has ended; `moved` is false when there was nothing to do. */
  ended(bytes: number, moved: boolean): void {
    assert(this.#chunksInFlight > 0, 'a chunk that ends was admitted');
    this.#chunksInFlight -= 1;
    if (moved) {
      this.#periodBytes += bytes;
      this.#windowBytes += bytes;
    } else {
      this.#nextUs -= this.#costUs(bytes);
    }
  }

  /** An operation of the user has ended; only while a process runs. */
  foreground(latencyUs: number): void {
    if (this.#limit !== null) return;
    const nowUs = this.#reactor.nowUs();
    this.#foregroundUs = nowUs;
    if (this.#mode === FREE) this.#foregroundAppears(nowUs);
    else if (this.#mode === LISTEN) {
      if (latencyUs <= nowUs - this.#modeSinceUs) this.#latencies.record(latencyUs);
    } else if (this.#mode === STEER && latencyUs <= nowUs - this.#periodSinceUs) {
      this.#latencies.record(latencyUs);
      if (latencyUs > this.#idleP99Us * this.#latencyFactor * BREACH) this.#overCount += 1;
    }
    this.#tick(nowUs);
  }

  #costUs(bytes: number): number {
    const rate = this.#limit ?? (this.#mode === STEER ? this.#rate : 0);
    return rate === 0 ? 0 : (bytes * US_PER_SECOND) / rate;
  }

  #enter(mode: number, nowUs: number): void {
    this.#mode = mode;
    this.#modeSinceUs = nowUs;
    this.#latencies.reset();
    this.#isDraining = false;
    if (mode === FREE) {
      this.#windowSinceUs = nowUs;
      this.#windowBytes = 0;
      this.#nextUs = nowUs;
    }
    if (mode === STEER) this.#beginPeriod(nowUs);
  }

  #beginPeriod(nowUs: number): void {
    this.#periodSinceUs = nowUs;
    this.#periodBytes = 0;
    this.#overCount = 0;
    this.#latencies.reset();
  }

  #foregroundAppears(nowUs: number): void {
    this.#measureBest(nowUs);
    if (this.#rate === 0) this.#rate = Math.max(this.#floor(), this.#bestRate * START_SHARE);
    const known = this.#idleP99Us !== 0 && nowUs - this.#idleAtUs < STALE_US;
    this.#enter(known ? STEER : SETTLE, nowUs);
    this.#isDraining = known;
  }

  #floor(): number {
    return Math.max(FLOOR_BYTES_PER_SECOND, this.#bestRate * FLOOR_SHARE);
  }

  #measureBest(nowUs: number): void {
    const elapsedUs = nowUs - this.#windowSinceUs;
    if (elapsedUs < RATE_WINDOW_US) return;
    this.#bestRate = Math.max(this.#bestRate, (this.#windowBytes * US_PER_SECOND) / elapsedUs);
    this.#windowSinceUs = nowUs;
    this.#windowBytes = 0;
  }

  #tick(nowUs: number): void {
    if (this.#mode === FREE) {
      this.#measureBest(nowUs);
    } else if (nowUs - this.#foregroundUs > GONE_US) {
      this.#enter(FREE, nowUs);
    } else if (this.#mode === SETTLE) {
      const late = nowUs - this.#modeSinceUs >= SETTLE_US_MAX;
      if (this.#chunksInFlight === 0 || late) this.#enter(LISTEN, nowUs);
    } else if (this.#mode === LISTEN) {
      this.#listen(nowUs);
    } else {
      this.#steer(nowUs);
    }
  }

  #listen(nowUs: number): void {
    const elapsedUs = nowUs - this.#modeSinceUs;
    const { count } = this.#latencies;
    const enough =
      (count >= LISTEN_SAMPLES && elapsedUs >= LISTEN_US_MIN) ||
      (count >= LISTEN_SAMPLES_LEAST && elapsedUs >= LISTEN_US_MAX) ||
      (count >= 1 && elapsedUs >= LISTEN_US_LAST);
    if (!enough) return;
    const p99Us = this.#latencies.quantileUs(0.99);
    this.#idleP99Us = this.#idleP99Us === 0 ? p99Us : (this.#idleP99Us + p99Us) / 2;
    this.#idleAtUs = nowUs;
    this.#nextUs = nowUs;
    this.#enter(STEER, nowUs);
  }

  #steer(nowUs: number): void {
    const elapsedUs = nowUs - this.#periodSinceUs;
    if (this.#isDraining) {
      if (this.#chunksInFlight !== 0 && elapsedUs < SETTLE_US_MAX) return;
      this.#isDraining = false;
      this.#nextUs = nowUs;
      this.#beginPeriod(nowUs);
      return;
    }
    const { count } = this.#latencies;
    const over =
      (count >= PERIOD_SAMPLES && elapsedUs >= PERIOD_US_MIN) ||
      (count >= PERIOD_SAMPLES_LEAST && elapsedUs >= PERIOD_US_MAX) ||
      (count >= 1 && elapsedUs >= PERIOD_US_LAST) ||
      (this.#overCount >= EARLY_SAMPLES && this.#overCount * EARLY_SHARE >= count);
    if (!over) return;
    this.#judge((this.#periodBytes * US_PER_SECOND) / elapsedUs, nowUs);
    if (nowUs - this.#idleAtUs >= REMEASURE_US) this.#enter(SETTLE, nowUs);
    else this.#beginPeriod(nowUs);
  }

  /** Sets the rate from the latencies of the period, in which `used` was the actual rate. */
  #judge(used: number, nowUs: number): void {
    const budgetUs = this.#idleP99Us * this.#latencyFactor;
    const p99Us = this.#latencies.quantileUs(0.99);
    this.#busyP99Us = p99Us;
    if (nowUs - this.#periodSinceUs >= PERIOD_US_MIN)
      this.#bestRate = Math.max(this.#bestRate, used);
    if (p99Us > budgetUs * BREACH) this.#breach(Math.min(this.#rate, used), nowUs);
    else if (p99Us < budgetUs * EASE && used > this.#rate / 2) this.#grow(nowUs);
  }

  #breach(used: number, nowUs: number): void {
    const floor = this.#floor();
    const from = Math.max(used, floor);
    this.#rate = Math.max(floor, from * DECREASE);
    this.#step = Math.max(FLOOR_BYTES_PER_SECOND, from) / STEPS_PER_RATE;
    this.#steps = 0;
    const similar = Math.abs(from - this.#breachRate) <= this.#breachRate * SIMILAR;
    this.#holdUs = from === floor ? 0 : similar ? HOLD_US_MAX : HOLD_US_MIN;
    this.#breachRate = from;
    this.#breachUs = nowUs;
    this.#isDraining = true;
  }

  #grow(nowUs: number): void {
    if (this.#step === 0) {
      this.#rate *= GROWTH;
      return;
    }
    const held = nowUs - this.#breachUs < this.#holdUs;
    const most = held ? this.#breachRate * CEILING : Number.POSITIVE_INFINITY;
    if (this.#rate >= most) return;
    this.#rate = Math.min(this.#rate + this.#step, most);
    this.#steps += 1;
    if (this.#steps < STEPS_TO_DOUBLE) return;
    this.#steps = 0;
    this.#step *= 2;
  }

  // end data path
}
