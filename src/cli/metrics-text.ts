/**
 * Metrics: status documents in the text format of Prometheus.                       (control plane)
 *
 * Names and units are those of its guidelines: base units, `_total` for what only grows while a
 * server runs. What is unknown has no sample. A family's HELP and TYPE stand before its samples,
 * and each sample of a stack has the label `stack`.
 *
 * Format: "Exposition formats" of the Prometheus documentation, version 0.0.4.
 */

import type { CacheStatusDocument, FtlStatusDocument, StatusDocument } from '../control/schema.ts';

const BLOCK_BYTES = 4096;
const MICROSECONDS = 1e-6;

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface Family {
  readonly type: 'gauge' | 'counter';
  readonly help: string;
}

const FAMILIES: Readonly<Record<string, Family>> = {
  stack_up: { type: 'gauge', help: '1 while the stack has a server that answers.' },
  stack_health: { type: 'gauge', help: '1 for the health that the stack has, else 0.' },
  stack_size_bytes: { type: 'gauge', help: 'Usable size.' },
  stack_start_time_seconds: { type: 'gauge', help: 'When its server was started, in Unix time.' },
  exports: { type: 'gauge', help: 'Exports of the stack.' },
  member_up: { type: 'gauge', help: '1 for a member that is in service, else 0.' },
  member_read_errors_total: { type: 'counter', help: 'Reads that the member failed.' },
  member_write_errors_total: { type: 'counter', help: 'Writes that the member failed.' },
  member_repaired_blocks_total: { type: 'counter', help: 'Blocks written again from redundancy.' },
  activity: { type: 'gauge', help: '1 for what the stack is doing in the background.' },
  activity_done_bytes: { type: 'gauge', help: 'Of the activity: done.' },
  activity_bytes: { type: 'gauge', help: 'Of the activity: all.' },
  io_total: { type: 'counter', help: 'Operations of users.' },
  io_bytes_total: { type: 'counter', help: 'Bytes of the operations of users.' },
  io_latency_seconds: { type: 'gauge', help: 'Quantiles of the time that operations take.' },
  ftl_bands: { type: 'gauge', help: 'Bands of the FTL by state.' },
  ftl_valid_bytes: { type: 'gauge', help: 'What holds data.' },
  ftl_written_bytes_total: { type: 'counter', help: 'What the FTL has written, and for what.' },
  ftl_wrong_checksums_total: { type: 'counter', help: 'Blocks found wrong by their checksum.' },
  ftl_repaired_checksums_total: { type: 'counter', help: 'Blocks of them that were mended.' },
  cache_health: { type: 'gauge', help: '1 for the health that the NV cache has, else 0.' },
  cache_size_bytes: { type: 'gauge', help: 'Size of the ring.' },
  cache_used_bytes: { type: 'gauge', help: 'Of the ring: in use.' },
  cache_undrained_bytes: { type: 'gauge', help: 'Of the ring: nowhere else yet.' },
  cache_written_bytes_total: { type: 'counter', help: 'What users have written to the NV cache.' },
  cache_drained_bytes_total: { type: 'counter', help: 'What went on to the FTL.' },
  cache_dropped_bytes_total: { type: 'counter', help: 'What was overwritten before that.' },
  cache_lost_bytes: { type: 'gauge', help: 'What nobody has the newest copy of any more.' },
};

const HEALTHS = ['healthy', 'degraded', 'failed', 'stopped'];
const CACHE_HEALTHS = ['ok', 'degraded', 'failing', 'detached', 'failed'];

/** All samples, in no order in particular. */
export function samplesOf(stacks: readonly StatusDocument[]): Sample[] {
  const samples: Sample[] = [];
  for (const status of stacks) {
    const add: Add = (name, value, labels = {}) => {
      if (value === null || value === undefined || !Number.isFinite(value)) return;
      samples.push({ name, labels: { stack: status.name, ...labels }, value });
    };
    addStack(add, status);
    addMembers(add, status);
    addIo(add, status);
    if (status.ftl !== null) addFtl(add, status.ftl);
    if (status.cache !== null) addCache(add, status.cache);
  }
  return samples;
}

/** The exposition, without the final line feed. */
export function metricsText(samples: readonly Sample[]): string {
  return Object.entries(FAMILIES)
    .flatMap(([name, { type, help }]) => {
      const own = samples.filter((sample) => sample.name === name);
      if (own.length === 0) return [];
      const full = `bandstand_${name}`;
      return [`# HELP ${full} ${help}`, `# TYPE ${full} ${type}`, ...own.map(sampleText)];
    })
    .join('\n');
}

type Add = (name: string, value?: number | null, labels?: Record<string, string>) => void;

/** One sample for each word that could be: 1 where it is. */
function addState(add: Add, name: string, is: string, words: readonly string[]): void {
  for (const word of words) add(name, word === is ? 1 : 0, { state: word });
}

function addStack(add: Add, { server, health, size_bytes, exports, activity }: StatusDocument) {
  add('stack_up', server === null ? 0 : 1);
  addState(add, 'stack_health', health, HEALTHS);
  // What is known of a stack that is down is remembered. Of one that cannot be asked nothing is.
  if (server === null && health === 'failed') return;
  add('stack_size_bytes', size_bytes);
  if (server !== null) add('stack_start_time_seconds', Date.parse(server.started_at) / 1000);
  add('exports', exports.length);
  add('activity', 1, { kind: activity.kind });
  if (activity.kind === 'idle') return;
  add('activity_done_bytes', activity.done_bytes, { kind: activity.kind });
  add('activity_bytes', activity.total_bytes, { kind: activity.kind });
}

function addMembers(add: Add, { array }: StatusDocument): void {
  for (const { slot, device, health, ...counts } of array?.members ?? []) {
    const labels = { slot: String(slot ?? ''), device: device ?? '' };
    add('member_up', health === 'ok' ? 1 : 0, labels);
    add('member_read_errors_total', counts.read_errors, labels);
    add('member_write_errors_total', counts.write_errors, labels);
    add('member_repaired_blocks_total', counts.repaired_blocks, labels);
  }
}

function addIo(add: Add, { io }: StatusDocument): void {
  for (const [op, { ios, bytes, p50_us, p99_us, p999_us }] of Object.entries(io ?? {})) {
    add('io_total', ios, { op });
    if (op !== 'flush') add('io_bytes_total', bytes, { op });
    for (const [quantile, us] of Object.entries({
      '0.5': p50_us,
      '0.99': p99_us,
      '0.999': p999_us,
    }))
      add('io_latency_seconds', us === null ? null : us * MICROSECONDS, { op, quantile });
  }
}

function addFtl(add: Add, ftl: FtlStatusDocument): void {
  const { free, open, closed } = ftl.bands;
  for (const [state, count] of Object.entries({ free, open, closed })) {
    add('ftl_bands', count, { state });
  }
  add('ftl_valid_bytes', ftl.valid_blocks * BLOCK_BYTES);
  for (const [what, blocks] of [
    ['user', ftl.user_blocks_written],
    ['relocation', ftl.relocated_blocks_written],
    ['metadata', ftl.metadata_blocks_written],
  ] as const) {
    add('ftl_written_bytes_total', blocks * BLOCK_BYTES, { for: what });
  }
  add('ftl_wrong_checksums_total', ftl.wrong_checksums);
  add('ftl_repaired_checksums_total', ftl.repaired_checksums);
}

function addCache(add: Add, cache: CacheStatusDocument): void {
  addState(add, 'cache_health', cache.health, CACHE_HEALTHS);
  add('cache_size_bytes', cache.size_bytes);
  add('cache_used_bytes', cache.used_bytes);
  add('cache_undrained_bytes', cache.undrained_bytes);
  add('cache_written_bytes_total', cache.user_blocks_written * BLOCK_BYTES);
  add('cache_drained_bytes_total', cache.drained_blocks * BLOCK_BYTES);
  add('cache_dropped_bytes_total', cache.dropped_blocks * BLOCK_BYTES);
  add('cache_lost_bytes', cache.lost_blocks * BLOCK_BYTES);
}

function sampleText({ name, labels, value }: Sample): string {
  const list = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`);
  return `bandstand_${name}{${list.join(',')}} ${value}`;
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
