/**
 * ProgressMeter: how fast a long work goes on, and when it will be done.              (data plane)
 *
 * The rate is that of the last 60 s, in buckets of 2 s, never an average since the start: what was
 * fast an hour ago says nothing about now. The estimate comes only after 30 s of observation and 1
 * % of the work; without an advance for 10 s the rate is 0 (stalled); while paused there is
 * neither. A total may be revised at any time. Going back (work that has to be done again) is no
 * speed.
 *
 *   buckets   | b-29 | b-28 | … | b-1 | b |     b = floor(nowUs / 2 s), kept at b mod 30
 *
 * Here and not beside the control sockets, because the array feeds it with every chunk that is
 * done. Time is given by the caller, so that the simulator owns it.
 */

import { assert } from './assert.ts';

const BUCKET_US = 2_000_000;
const BUCKETS = 30;
const STALLED_US = 10_000_000;
const ESTIMATE_US = 30_000_000;
const ESTIMATE_SHARE = 0.01;

export class ProgressMeter {
  doneBytes = 0;
  totalBytes = 0;
  paused = false;
  /** Bytes by bucket number mod BUCKETS. */
  readonly #buckets = new Float64Array(BUCKETS);
  /** The number of the newest bucket. */
  #bucket = 0;
  /** Since when the window is watched: the start, or the last resume. */
  #sinceUs = 0;
  #advancedUs = 0;
  /** Done since the start: what the estimate stands on. */
  #workBytes = 0;

  start(nowUs: number, doneBytes: number, totalBytes: number): void {
    assert(doneBytes >= 0 && totalBytes >= 0, 'progress has sizes that are not negative');
    this.doneBytes = doneBytes;
    this.totalBytes = totalBytes;
    this.paused = false;
    this.#workBytes = 0;
    this.#watch(nowUs);
  }

  revise(totalBytes: number): void {
    this.totalBytes = totalBytes;
  }

  pause(): void {
    this.paused = true;
  }

  /** The time of the pause is in no rate. */
  resume(nowUs: number): void {
    if (!this.paused) return;
    this.paused = false;
    this.#watch(nowUs);
  }

  // data path

  advance(nowUs: number, doneBytes: number): void {
    const bytes = doneBytes - this.doneBytes;
    this.doneBytes = doneBytes;
    if (bytes <= 0) return;
    this.#turnTo(nowUs);
    this.#buckets[this.#bucket % BUCKETS]! += bytes;
    this.#workBytes += bytes;
    this.#advancedUs = nowUs;
  }

  /** Empties the buckets between the newest one and the one of now. */
  #turnTo(nowUs: number): void {
    const bucket = Math.floor(nowUs / BUCKET_US);
    const first = Math.max(this.#bucket + 1, bucket - BUCKETS + 1);
    for (let empty = first; empty <= bucket; empty += 1) this.#buckets[empty % BUCKETS] = 0;
    this.#bucket = Math.max(this.#bucket, bucket);
  }

  // end data path

  /** Null while paused and in the first 2 s; 0 when nothing has been done for 10 s. */
  rateBytesPerSecond(nowUs: number): number | null {
    if (this.paused) return null;
    const watchedUs = nowUs - this.#sinceUs;
    if (watchedUs < BUCKET_US) return null;
    if (nowUs - this.#advancedUs >= STALLED_US) return 0;
    this.#turnTo(nowUs);
    let bytes = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) bytes += this.#buckets[bucket]!;
    // The newest bucket is not over yet.
    const windowUs = nowUs - (this.#bucket - BUCKETS + 1) * BUCKET_US;
    return bytes / (Math.min(watchedUs, windowUs) / 1_000_000);
  }

  /** Null where an estimate would be a guess. */
  etaSeconds(nowUs: number): number | null {
    if (this.paused || nowUs - this.#sinceUs < ESTIMATE_US) return null;
    const leftBytes = Math.max(0, this.totalBytes - this.doneBytes);
    const runBytes = this.#workBytes + leftBytes;
    if (this.#workBytes < runBytes * ESTIMATE_SHARE) return null;
    const rate = this.rateBytesPerSecond(nowUs);
    return rate === null || rate === 0 ? null : leftBytes / rate;
  }

  #watch(nowUs: number): void {
    this.#buckets.fill(0);
    this.#bucket = Math.floor(nowUs / BUCKET_US);
    this.#sinceUs = nowUs;
    this.#advancedUs = nowUs;
  }
}
