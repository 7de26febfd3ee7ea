/**
 * The stack that bench:ftl measures in one process: an FTL over raid5f(4), its write buffer in a
 * file that outlives the process as that of a server does, and a meter between the two.
 */

import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { BlockDevice } from '../src/block/block-device.ts';
import { FileDevice } from '../src/device/file-device.ts';
import { MemoryDevice } from '../src/device/memory-device.ts';
import { MeterDevice } from '../src/device/meter-device.ts';
import { createFtl } from '../src/ftl/create-ftl.ts';
import { Ftl } from '../src/ftl/ftl.ts';
import { loadAddon } from '../src/native/load.ts';
import { RaidArray } from '../src/raid/raid-array.ts';
import { RingReactor } from '../src/reactor/ring-reactor.ts';
import { ForgetfulDevice } from './forgetful-device.ts';

export const BLOCK_BYTES = 4096;
export const STRIP_BYTES = 64 * 1024;
export const MEMBER_COUNT = 4;
/** UUID of the FTL. */
export const UUID = '6f0c9c5e-9c1d-4a5e-8f5a-3b1f0e0d2c4b';
const ARENA_BYTES = 128 * 2 ** 20;
const BUFFER_BYTES = 16 * 2 ** 20;
/** Superblocks and map of the largest device that is measured. */
const WHOLE_BYTES = 32 * 2 ** 20;

export interface StackSpec {
  readonly members: 'forgetful' | 'memory' | 'files';
  readonly memberBytes: number;
  readonly isMetered?: boolean;
  /** Of `files`. */
  readonly paths?: readonly string[];
  /** An NV cache is in front: the write buffer is ordinary memory, and answers at once. */
  readonly isCached?: boolean;
  /** Longest spin before the reactor sleeps; 0 when absent. */
  readonly pollUs?: number;
}

export class FtlStack {
  readonly reactor: RingReactor;
  readonly members: readonly BlockDevice[];
  readonly array: RaidArray;
  /** Between FTL and array, where reads are to be counted. */
  readonly meter: MeterDevice | null;
  /** What the FTL lies on. */
  readonly base: BlockDevice;
  readonly ftl: Ftl;

  constructor(spec: StackSpec) {
    const { isCached = false, pollUs = 0 } = spec;
    const folder = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
    const buffer = path.join(folder, `bandstand-bench-ftl-${process.pid}`);
    this.reactor = RingReactor.create({
      native: loadAddon(),
      arenaBytes: ARENA_BYTES,
      pollUs,
      ...(isCached ? {} : { surviving: { path: buffer, bytes: BUFFER_BYTES } }),
    });
    this.members = Array.from({ length: MEMBER_COUNT }, (_, slot) => makeMember(spec, slot));
    const stripBlocks = STRIP_BYTES / BLOCK_BYTES;
    const memberBlocks = Math.floor(spec.memberBytes / STRIP_BYTES) * stripBlocks;
    this.array = new RaidArray({
      name: 'bench',
      uuid: null,
      level: 'raid5f',
      blockBytes: BLOCK_BYTES,
      stripBlocks,
      blockCount: memberBlocks * (MEMBER_COUNT - 1),
      members: this.members.map((device) => ({
        uuid: null,
        device,
        dataOffset: 0,
        dataSize: memberBlocks,
      })),
    });
    this.meter = spec.isMetered === true ? new MeterDevice(this.array) : null;
    this.base = this.meter ?? this.array;
    this.ftl = new Ftl(this.base, {
      baseOpened: true,
      buffer: this.reactor.surviving,
      isCached,
    });
  }

  /** An empty FTL. */
  async open(): Promise<void> {
    const { base, reactor } = this;
    await reactor.drive(base.open(reactor));
    await reactor.drive(createFtl(reactor, base, { uuid: UUID }));
    await reactor.drive(this.ftl.open(reactor));
  }

  async close(): Promise<void> {
    await this.reactor.drive(this.ftl.close());
    await this.reactor.close();
  }
}

function makeMember(spec: StackSpec, slot: number): BlockDevice {
  const { memberBytes } = spec;
  if (spec.members === 'memory') return new MemoryDevice(`m${slot}`, { sizeBytes: memberBytes });
  if (spec.members === 'forgetful') {
    return new ForgetfulDevice(`m${slot}`, memberBytes, STRIP_BYTES, WHOLE_BYTES);
  }
  return new FileDevice(spec.paths![slot]!, { blockBytes: BLOCK_BYTES });
}
