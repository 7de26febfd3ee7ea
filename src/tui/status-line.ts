/**
 * A stack in one line, for pipes and logs: no terminal, no cursor, no colours.     (user interface)
 *
 *   2026-11-20T09:41:07Z tank degraded rebuild 41.0% 612MiB/s eta=3528s read=1.21GiB/s p99=1.9ms
 *
 * The time is that of the look; read, write and the latency are since the look before.
 */

import { formatLatency, formatSize } from '../block/quantities.ts';
import type { ActivityStatus } from '../control/schema.ts';
import { type Look, latencyOf, sampleOf } from './samples.ts';
import { shareOf } from './view.ts';

/** Words have no blanks in them. */
function word(text: string): string {
  return text.replaceAll(' ', '');
}

export function statusLine(before: Look | null, now: Look): string {
  const { status } = now;
  const parts = [new Date(now.atMs).toISOString().replace(/\.\d+Z$/, 'Z'), status.name];
  parts.push(status.health);
  if (status.server !== null) {
    parts.push(...activityWords(status.activity, ''));
    const mirrors = status.cache?.activity ?? null;
    if (mirrors !== null && mirrors.kind !== 'idle')
      parts.push(...activityWords(mirrors, 'cache-'));
  }
  const sample = sampleOf(before, now);
  if (sample !== null) {
    const rate = (bytes: number): string =>
      `${word(formatSize(Math.round((bytes * 1000) / sample.ms)))}/s`;
    parts.push(`read=${rate(sample.readBytes)}`, `write=${rate(sample.writeBytes)}`);
    const latency = latencyOf([sample]);
    if (latency !== null) parts.push(`p99=${word(formatLatency(latency.p99Us))}`);
  }
  return parts.join(' ');
}

function activityWords(activity: ActivityStatus, prefix: string): string[] {
  const { done_bytes, eta_seconds: eta, kind, pace, total_bytes } = activity;
  const words = [`${prefix}${kind}`];
  const share = shareOf(done_bytes, total_bytes);
  if (share !== null) words.push(`${(Math.floor(share * 1000) / 10).toFixed(1)}%`);
  const rate = activity.rate_bytes_per_second;
  if (rate !== null) words.push(`${word(formatSize(rate))}/s`);
  if (eta !== null) words.push(`eta=${eta}s`);
  else if (pace !== null && pace !== 'running') words.push(pace);
  return words;
}
