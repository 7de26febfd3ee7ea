/** What Prometheus is given: exact, from a document. */

import test from 'ava';
import { metricsText, samplesOf } from '../../src/cli/metrics-text.ts';
import { IDLE, type StatusDocument } from '../../src/control/schema.ts';
import { cacheOf } from '../_helpers/cache-status.ts';
import { REBUILD } from '../_helpers/fake-stack.ts';

const QUIET = { ios: 0, bytes: 0, p50_us: null, p99_us: null, p999_us: null, latency_buckets: [] };
const MEMBER = { uuid: null, read_errors: 3, write_errors: 0, repaired_blocks: null };

const TANK: StatusDocument = {
  name: 'tank',
  uuid: null,
  server: { pid: 7, version: '0.1.0', started_at: '2026-11-20T09:14:02.500Z' },
  health: 'degraded',
  reason: null,
  action: null,
  size_bytes: 4096,
  block_size: 4096,
  activity: IDLE,
  exports: [],
  array: {
    level: 'raid1',
    strip_size_bytes: null,
    superblock_seq: 2,
    members: [
      { ...MEMBER, slot: 0, device: '/dev/"odd"\\disk\n', health: 'ok' },
      { ...MEMBER, slot: 1, device: null, health: 'missing' },
    ],
    spares: [],
  },
  ftl: null,
  cache: null,
  io: {
    read: { ...QUIET, ios: 12, bytes: 49152, p50_us: 250, p99_us: 812 },
    write: QUIET,
    flush: QUIET,
    trim: QUIET,
  },
};

const linesAbout = (text: string, family: string): string[] =>
  text.split('\n').filter((line) => line.includes(`bandstand_${family}`));

test('a family has its HELP and TYPE once, before the samples of all stacks', (t) => {
  const stopped = { ...TANK, name: 'pond', server: null, health: 'stopped', io: null } as const;
  const text = metricsText(samplesOf([TANK, stopped]));
  t.deepEqual(linesAbout(text, 'stack_up'), [
    '# HELP bandstand_stack_up 1 while the stack has a server that answers.',
    '# TYPE bandstand_stack_up gauge',
    'bandstand_stack_up{stack="tank"} 1',
    'bandstand_stack_up{stack="pond"} 0',
  ]);
  t.deepEqual(linesAbout(text, 'stack_health').slice(2, 6), [
    'bandstand_stack_health{stack="tank",state="healthy"} 0',
    'bandstand_stack_health{stack="tank",state="degraded"} 1',
    'bandstand_stack_health{stack="tank",state="failed"} 0',
    'bandstand_stack_health{stack="tank",state="stopped"} 0',
  ]);
  const names = text.split('\n').filter((line) => line.startsWith('# TYPE'));
  t.is(new Set(names).size, names.length);
});

test('units are base units, and what is unknown has no sample', (t) => {
  const text = metricsText(samplesOf([TANK]));
  t.deepEqual(linesAbout(text, 'io_latency').slice(2), [
    'bandstand_io_latency_seconds{stack="tank",op="read",quantile="0.5"} 0.00025',
    'bandstand_io_latency_seconds{stack="tank",op="read",quantile="0.99"} 0.000812',
  ]);
  t.deepEqual(linesAbout(text, 'stack_start').slice(2), [
    'bandstand_stack_start_time_seconds{stack="tank"} 1795166042.5',
  ]);
  t.deepEqual(linesAbout(text, 'member_repaired'), []);
  t.deepEqual(linesAbout(text, 'ftl_'), []);
});

test('quotes, backslashes and line feeds in names are escaped', (t) => {
  const text = metricsText(samplesOf([TANK]));
  t.deepEqual(linesAbout(text, 'member_up').slice(2), [
    'bandstand_member_up{stack="tank",slot="0",device="/dev/\\"odd\\"\\\\disk\\n"} 1',
    'bandstand_member_up{stack="tank",slot="1",device=""} 0',
  ]);
});

test('of a stack that cannot be asked nothing is said but that it is down', (t) => {
  const silent = { ...TANK, server: null, health: 'failed', array: null, io: null } as const;
  const names = samplesOf([silent]).map(({ name, value }) => [name, value]);
  const words = [0, 0, 1, 0].map((value) => ['stack_health', value]);
  t.deepEqual(names, [['stack_up', 0], ...words]);
});

test('an activity and a cache are told with their sizes', (t) => {
  const cache = cacheOf({ undrained_bytes: 8192, user_blocks_written: 3 });
  const text = metricsText(samplesOf([{ ...TANK, activity: REBUILD, cache }]));
  t.deepEqual(linesAbout(text, 'activity{'), ['bandstand_activity{stack="tank",kind="rebuild"} 1']);
  t.is(linesAbout(text, 'activity_bytes{').length, 1);
  t.deepEqual(linesAbout(text, 'cache_undrained').slice(2), [
    'bandstand_cache_undrained_bytes{stack="tank"} 8192',
  ]);
  t.deepEqual(linesAbout(text, 'cache_written').slice(2), [
    'bandstand_cache_written_bytes_total{stack="tank"} 12288',
  ]);
});
