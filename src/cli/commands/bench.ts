/**
 * `bandstand bench TARGET`: measures a device or an arrangement of devices.         (control plane)
 */

import { formatCount, formatLatency, formatSize } from '../../block/quantities.ts';
import { type BenchRequest, runBench } from '../../stack/bench-run.ts';
import { parseDeviceSpec } from '../../stack/device-spec.ts';
import { identifyDevice } from '../../stack/device-usage.ts';
import { type Arguments, usageError } from '../arguments.ts';
import type { Command } from '../command.ts';
import { keyLines } from '../table.ts';

const KINDS = ['read', 'write', 'randread', 'randwrite', 'randrw'] as const;
const TIME_MS_DEFAULT = 5000;
const DEPTH_MAX = 4096;
const POLL_US_DEFAULT = 50;

export const bench: Command = {
  name: 'bench',
  summary: 'Measures a device, or an arrangement such as raid0(strip=64K,DEVICE,DEVICE).',
  positionals: [{ name: 'TARGET', required: true, many: false }],
  options: [
    {
      name: 'rw',
      kind: 'text',
      value: 'KIND',
      words: KINDS,
      summary: 'read, write, randread, randwrite, randrw',
    },
    { name: 'mix', kind: 'text', value: 'PERCENT', summary: 'reads in randrw (50)' },
    { name: 'bs', kind: 'text', value: 'SIZE', summary: 'bytes per operation (4K)' },
    { name: 'depth', kind: 'text', value: 'N', summary: 'operations in flight (32)' },
    { name: 'time', kind: 'text', value: 'T', summary: 'how long (5s)' },
    { name: 'ios', kind: 'text', value: 'N', summary: 'stop after N operations' },
    { name: 'size', kind: 'text', value: 'SIZE', summary: 'use the first SIZE of the target' },
    { name: 'seed', kind: 'text', value: 'N', summary: 'of the random positions (1)' },
    { name: 'block-size', kind: 'text', value: 'BYTES', summary: '512 or 4096' },
    { name: 'poll', kind: 'text', value: 'T', summary: 'spin so long before sleeping (50us)' },
    {
      name: 'erase',
      kind: 'list',
      value: 'DEVICE',
      summary: 'may be written to; its data is lost',
    },
  ],
  examples: [
    ['bench /dev/sdb --rw randread --depth 64', 'reads at random; changes nothing'],
    ["bench 'raid0(null:1G,null:1G)' --rw randread", 'measures the software alone'],
  ],
  async run(_context, args) {
    const request = benchRequest(args);
    const data = await runBench(request);
    const latency = data.latency_us;
    return {
      schema: 'bandstand.bench/1',
      data,
      text: () =>
        keyLines([
          ['IOPS', formatCount(data.iops)],
          ['throughput', `${formatSize(data.bytes_per_second)}/s`],
          [
            'latency',
            `mean ${formatLatency(latency.mean)}, p50 ${formatLatency(latency.p50)}, p99 ${formatLatency(latency.p99)}, p99.9 ${formatLatency(latency.p999)}, max ${formatLatency(latency.max)}`,
          ],
          ['CPU', `${data.cpu_seconds.toFixed(2)} s for ${formatCount(data.ios)} operations`],
          ['errors', formatCount(data.errors)],
        ]).join('\n'),
      plain: () => [
        [data.iops, data.bytes_per_second, latency.p50, latency.p99, latency.p999, data.errors],
      ],
      exitStatus: data.errors > 0 ? 1 : 0,
    };
  },
};

function benchRequest(args: Arguments): BenchRequest {
  const target = parseDeviceSpec(args.positional('TARGET'));
  const rw = args.oneOf('rw', KINDS) ?? 'randread';
  const mix = args.count('mix', 0, 100);
  if (mix !== null && rw !== 'randrw') {
    throw usageError(`cannot use --mix with --rw ${rw}`, 'use it with --rw randrw');
  }
  const requestBytes = args.sizeBytes('bs') ?? 4096;
  if (requestBytes === 0)
    throw usageError('cannot use --bs 0: an operation has at least a block', 'write --bs 4K');
  const blockBytes = args.sizeBytes('block-size');
  if (blockBytes !== null && blockBytes !== 512 && blockBytes !== 4096) {
    throw usageError(
      `cannot use --block-size ${blockBytes}: it has to be 512 or 4096`,
      "leave it out for the device's own",
    );
  }
  const ios = args.count('ios', 1, Number.MAX_SAFE_INTEGER);
  const timeMs = args.durationMs('time') ?? (ios === null ? TIME_MS_DEFAULT : null);
  if (timeMs === 0)
    throw usageError('cannot use --time 0: measure for a while', 'write --time 10s');
  const regionBytes = args.sizeBytes('size');
  return {
    target,
    writes: rw === 'write' || rw === 'randwrite' || rw === 'randrw',
    erase: new Set(args.list('erase').map((path) => identifyDevice(path).key)),
    blockBytes,
    pollUs: pollUs(args),
    hugePages: true,
    workload: {
      rw,
      requestBytes,
      depth: args.count('depth', 1, DEPTH_MAX) ?? 32,
      seed: args.count('seed', 0, 2 ** 32 - 1) ?? 1,
      ...(mix === null ? {} : { mixPercent: mix }),
      ...(timeMs === null ? {} : { timeUs: timeMs * 1000 }),
      ...(ios === null ? {} : { ios }),
      ...(regionBytes === null ? {} : { regionBytes }),
    },
  };
}

function pollUs(args: Arguments): number {
  const text = args.text('poll');
  const us = text === null ? null : /^(\d{1,6})us$/.exec(text);
  if (us !== null) return Number(us[1]);
  const ms = args.durationMs('poll');
  return ms === null ? POLL_US_DEFAULT : ms * 1000;
}
