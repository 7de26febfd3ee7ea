/**
 * What `npm run bench` measures. A case with a peer gives a ratio, one without an absolute rate.
 */

import type { WorkloadKind } from '../src/bench/workload.ts';
import { STRIP_BYTES_DEFAULT } from '../src/stack/device-spec.ts';
import type { DeviceSpec } from './load.ts';

export const FILE_BYTES = 512 * 2 ** 20;
const SMALL_STRIP_BYTES = 64 * 1024;

export interface Case {
  readonly name: string;
  readonly unit: 'iops' | 'bytes_per_second';
  readonly device: DeviceSpec;
  readonly rw: WorkloadKind;
  readonly requestBytes: number;
  readonly depth: number;
  readonly fill?: boolean;
  /** What fio does on which of the files; its rate is multiplied by `share`. */
  readonly peer: {
    readonly rw: string;
    readonly requestBytes: number;
    readonly depth: number;
    readonly paths: readonly string[];
    readonly share: number;
  } | null;
  /** What the project promises, of the ratio or of the rate; null: shown for comparison only. */
  readonly target: number | null;
}

/**
 * `files`: at least three files of FILE_BYTES; `loop`: a loop device of that size, or null. Arrays
 * have the strip size that `create` gives them, and one case half of it: two pieces per request.
 */
export function makeCases(files: readonly string[], loop: string | null): Case[] {
  const one: DeviceSpec = { kind: 'file', path: files[0]! };
  const raid = (
    level: 'raid0' | 'raid5f',
    count: number,
    stripBytes = STRIP_BYTES_DEFAULT,
  ): DeviceSpec => ({
    kind: 'raid',
    level,
    stripBytes,
    memberBytes: FILE_BYTES,
    members: files.slice(0, count).map((path) => ({ kind: 'file', path })),
  });
  const over = (kind: 'null' | 'mem', sizeBytes: number): DeviceSpec => ({
    kind: 'raid',
    level: 'raid0',
    stripBytes: STRIP_BYTES_DEFAULT,
    memberBytes: sizeBytes,
    members: [
      { kind, sizeBytes },
      { kind, sizeBytes },
    ],
  });
  const against = (
    name: string,
    device: DeviceSpec,
    paths: readonly string[],
    rw: WorkloadKind,
    requestBytes: number,
    depth: number,
    target: number | null,
  ): Case => ({
    name,
    unit: rw.startsWith('rand') ? 'iops' : 'bytes_per_second',
    device,
    rw,
    requestBytes,
    depth,
    peer: { rw, requestBytes, depth, paths, share: 1 },
    target,
  });
  const alone = (
    name: string,
    device: DeviceSpec,
    rw: WorkloadKind,
    depth: number,
    target: number,
  ): Case => ({
    name,
    unit: 'iops',
    device,
    rw,
    requestBytes: 4096,
    depth,
    peer: null,
    target,
  });
  const loopCases = (path: string): Case[] => {
    const device: DeviceSpec = { kind: 'file', path };
    return [
      against('loop randread 4k qd64', device, [path], 'randread', 4096, 64, 1),
      against('loop randwrite 4k qd64', device, [path], 'randwrite', 4096, 64, 1),
      against('loop read 128k qd16', device, [path], 'read', large, 16, 0.95),
      against('loop write 128k qd16', device, [path], 'write', large, 16, 0.95),
    ];
  };
  const metered: DeviceSpec = { kind: 'meter', lower: { kind: 'null', sizeBytes: 2 ** 40 } };
  const mem = over('mem', 2 ** 29);
  const large = 128 * 1024;
  const single = files.slice(0, 1);
  const pair = files.slice(0, 2);
  const halves = raid('raid0', 2, SMALL_STRIP_BYTES);
  return [
    against('file randread 4k qd64', one, single, 'randread', 4096, 64, 1),
    against('file randwrite 4k qd64', one, single, 'randwrite', 4096, 64, 1),
    against('file randread 4k qd1', one, single, 'randread', 4096, 1, 1),
    against('file read 128k qd16', one, single, 'read', large, 16, 0.95),
    against('file write 128k qd16', one, single, 'write', large, 16, 0.95),
    ...(loop === null ? [] : loopCases(loop)),
    against('raid0 randread 4k qd64', raid('raid0', 2), pair, 'randread', 4096, 64, 1),
    against('raid0 randwrite 4k qd64', raid('raid0', 2), pair, 'randwrite', 4096, 64, 1),
    against('raid0 read 128k qd16', raid('raid0', 2), pair, 'read', large, 16, 0.95),
    against('raid0 write 128k qd16', raid('raid0', 2), pair, 'write', large, 16, 0.95),
    against('raid0 strip 64k read 128k qd16', halves, pair, 'read', large, 16, null),
    against('raid0 strip 64k write 128k qd16', halves, pair, 'write', large, 16, null),
    {
      name: 'raid5f full-stripe write qd16',
      unit: 'bytes_per_second',
      device: raid('raid5f', 3),
      rw: 'write',
      requestBytes: 2 * STRIP_BYTES_DEFAULT,
      depth: 16,
      peer: {
        rw: 'write',
        requestBytes: STRIP_BYTES_DEFAULT,
        depth: 48,
        paths: files.slice(0, 3),
        share: 2 / 3,
      },
      target: 0.9,
    },
    alone('null randread 4k qd64', { kind: 'null', sizeBytes: 2 ** 40 }, 'randread', 64, 3e6),
    alone('null through raid0 randread 4k qd64', over('null', 2 ** 40), 'randread', 64, 3e6),
    alone('null under a meter randread 4k qd64', metered, 'randread', 64, 3e6),
    { ...alone('mem through raid0 randread 4k qd64', mem, 'randread', 64, 1e6), fill: true },
    { ...alone('mem through raid0 randwrite 4k qd64', mem, 'randwrite', 64, 1e6), fill: true },
  ];
}
