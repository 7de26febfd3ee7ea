/**
 * An FTL as a subject: over one simulated disk, or over an array of several. Its write buffer lies
 * in memory that the world keeps when the program is killed, and forgets when power fails.
 */

import type { BlockDevice } from '../../src/block/block-device.ts';
import type { Reactor } from '../../src/block/reactor.ts';
import type { SurvivingMemory } from '../../src/block/surviving-memory.ts';
import { createFtl } from '../../src/ftl/create-ftl.ts';
import { Ftl } from '../../src/ftl/ftl.ts';
import { deriveGeometry, planShape } from '../../src/ftl/geometry.ts';
import { redundancyOf } from '../../src/raid/array-copies.ts';
import { planArray, planSpec } from '../../src/raid/plan.ts';
import { RaidArray } from '../../src/raid/raid-array.ts';
import type { FtlConfig } from './ftl-step.ts';
import type { SimDisk } from './sim-disk.ts';
import type { OpenOptions, Promises, Subject, SubjectHealth } from './subject.ts';

export const FTL_UUID = '0f71f71f-0000-4000-8000-00000000a77a';

/** A write that fails costs nobody an operation. */
export const FTL_PROMISES: Promises = {
  overlap: true,
  settles: true,
  ejects: true,
  rebuilds: false,
  grows: false,
  log: true,
};

const INDEX_BYTES = 4096;

export function ftlBufferBytes({ slotCount, unitBytes }: FtlConfig): number {
  return INDEX_BYTES + slotCount * unitBytes;
}

/** The device below the FTL, over these disks. */
function makeBase(config: FtlConfig, disks: readonly SimDisk[]): BlockDevice {
  if (config.base === 'disk') return disks[0]!;
  const chunks = config.base === 'raid5f' ? disks.length - 1 : 1;
  const stripBytes = config.base === 'raid1' ? null : config.unitBytes / chunks;
  const plan = planArray({
    name: 'tank',
    level: config.base,
    stripBytes,
    members: disks,
    superblock: false,
  });
  const spec = planSpec(plan, disks);
  // Nothing resyncs here: what a crash left different is read from one member only.
  return new RaidArray(spec, { membersOpened: true, steadyReads: true, depth: 32 });
}

export class FtlSubject implements Subject {
  readonly promises = FTL_PROMISES;
  readonly admin = null;
  readonly #reactor: Reactor;
  readonly #disks: readonly SimDisk[];
  readonly #config: FtlConfig;
  readonly #survivor: Uint8Array | null;
  #bufferAt = -1;
  /** Where the bands begin, in units of the device below. */
  firstBandUnit = 0;
  #ftl: Ftl | null = null;

  /** `survivor` is what a killed program left in its write buffer. */
  constructor(
    reactor: Reactor,
    disks: readonly SimDisk[],
    config: FtlConfig,
    survivor: Uint8Array | null,
  ) {
    this.#reactor = reactor;
    this.#disks = disks;
    this.#config = config;
    this.#survivor = survivor;
  }

  readonly #discard = (): void => {
    this.#bufferAt = -1;
  };

  get device(): Ftl {
    return this.#ftl!;
  }

  async open({ mayCreate }: OpenOptions): Promise<void> {
    const config = this.#config;
    const reactor = this.#reactor;
    for (const disk of this.#disks) await disk.open(reactor);
    const base = makeBase(config, this.#disks);
    if (config.base !== 'disk') await base.open(reactor);
    const shape = {
      unitBytes: config.unitBytes,
      bandBytes: config.bandUnits * config.unitBytes,
      overProvisioning: config.overProvisioning,
      pageEntries: config.pageEntries,
    };
    this.firstBandUnit = deriveGeometry(planShape(base.name, base.geometry, shape)).firstBandUnit;
    if (mayCreate) await createFtl(reactor, base, { uuid: FTL_UUID, ...shape });
    const buffer = config.survives ? this.#placeBuffer() : null;
    const ftl = new Ftl(base, {
      baseOpened: true,
      redundancy: base instanceof RaidArray ? redundancyOf(base) : null,
      buffer,
      slotCount: config.slotCount,
      checkpointUnits: config.checkpointUnits,
    });
    await ftl.open(reactor);
    this.#ftl = ftl;
  }

  #placeBuffer(): SurvivingMemory {
    const { arena } = this.#reactor;
    const bytes = ftlBufferBytes(this.#config);
    const at = arena.allocate(bytes);
    this.#bufferAt = at;
    if (this.#survivor !== null) arena.u8.set(this.#survivor, at);
    return {
      at,
      bytes,
      path: 'memory',
      isAdopted: this.#survivor !== null,
      discard: this.#discard,
    };
  }

  /** What the write buffer holds now, for the next life; null when there is none any more. */
  get arrayBlocks(): number {
    return 0;
  }

  async check(): Promise<null> {
    return null;
  }

  async compared(): Promise<null> {
    return null;
  }

  takeBuffer(): Uint8Array | null {
    if (this.#bufferAt === -1) return null;
    const end = this.#bufferAt + ftlBufferBytes(this.#config);
    return this.#reactor.arena.u8.slice(this.#bufferAt, end);
  }

  health(): SubjectHealth {
    return {
      slots: this.#disks.map(() => 'in-service'),
      settling: false,
      failed: false,
      readOnly: false,
    };
  }

  close(): Promise<void> {
    return this.#ftl!.close();
  }
}
