/**
 * Survivors: units that outlived the process which was filling them.                (control plane)
 *
 * A write was answered when it was in the write buffer, whose memory a killed process leaves
 * behind. Each unit there has its place on the base, which nothing else has used: so the next
 * process writes every unit to where it was going anyway, before it looks at anything. From then on
 * they are units like all others, and a start that is interrupted here begins again.
 *
 * Nothing in the memory is believed: the index must be whole and of this device, of a life that no
 * checkpoint has ended; counts and places must be possible. Blocks and trims check themselves when
 * they are read back from the base. What cannot be taken over is an error, also when it is of
 * another device that had the same name: writes that were answered would be lost. So is nothing at
 * all, where the superblock says that in this boot of the machine there must be something.
 */

import { OP_WRITE } from '../block/block-io.ts';
import { submitOrThrow } from '../block/control-io.ts';
import { BandstandError } from '../block/errors.ts';
import type { Reactor } from '../block/reactor.ts';
import { OK, statusText } from '../block/status.ts';
import type { SurvivingMemory } from '../block/surviving-memory.ts';
import type { FtlCore } from './ftl-core.ts';
import type { FtlSuperblock } from './ftl-superblock.ts';
import { FTL_BLOCK_BYTES, isMapBand } from './geometry.ts';
import { readHeader, UnitHeader, writeHeader } from './unit-format.ts';
import type { UnitReader } from './unit-reader.ts';
import {
  BUFFER_INDEX,
  BUFFER_VERSION,
  bufferBytes,
  bufferIndexBytes,
  indexEntryAt,
  SLOT_FREE,
  SLOTS_MAX,
} from './write-buffer.ts';

export interface Adoption {
  readonly units: number;
  readonly blocks: number;
}

export const NOTHING_ADOPTED: Adoption = { units: 0, blocks: 0 };

/** Where the write buffer lies in the arena, and where it comes from. */
export type BufferMemory = Pick<SurvivingMemory, 'at' | 'bytes' | 'path'>;

interface Survivor {
  readonly slot: number;
  readonly band: number;
  /** Number of the unit in its band. */
  readonly index: number;
  readonly classNumber: number;
  readonly dataCount: number;
  readonly trimCount: number;
}

/** The index, or null: the memory holds none. Throws BANDSTAND_FTL_BUFFER. */
function readIndex({ arena, kernels }: Reactor, device: string, { at, path }: BufferMemory) {
  const values = BUFFER_INDEX.decode(arena.u8, at);
  if (new TextDecoder('latin1').decode(values.signature) !== 'BSWB') return null;
  if (values.version !== BUFFER_VERSION) {
    throw bufferError(device, path, `it has version ${values.version}`);
  }
  if (values.crc !== kernels.crc32c(at, BUFFER_INDEX.bytes - 4)) {
    throw bufferError(device, path, 'its index is damaged');
  }
  return values;
}

/**
 * Throws BANDSTAND_FTL_BUFFER when the memory holds what a killed process has left of another
 * device, or when that cannot be told and is not to be `discarded`. Call it before anything is
 * written there.
 */
export function refuseForeignBuffer(
  reactor: Reactor,
  device: string,
  uuid: string,
  memory: BufferMemory,
  discarded: boolean,
): void {
  let values: ReturnType<typeof readIndex>;
  try {
    values = readIndex(reactor, device, memory);
  } catch (error) {
    if (!discarded || !(error instanceof BandstandError)) throw error;
    return;
  }
  if (values === null || values.uuid === uuid) return;
  const { u32 } = reactor.arena;
  let units = 0;
  for (let slot = 0; slot < Math.min(values.slot_count, SLOTS_MAX); slot += 1) {
    const word = indexEntryAt(memory.at, slot) >>> 2;
    if (isUsed(u32, word)) units += 1;
  }
  if (units === 0) return;
  throw new BandstandError('BANDSTAND_FTL_BUFFER', {
    message: `cannot use ${memory.path} as the write buffer of ${device}: it holds what a killed server of another device (${values.uuid}) had not written yet (${units} units)`,
    hint: `start the stack of that device under its name first; if it is gone for good: rm ${memory.path}`,
    details: { device, path: memory.path, other: values.uuid, units },
  });
}

/** `word`: the entry of a slot in the index. */
function isUsed(u32: Uint32Array, word: number): boolean {
  return (u32[word]! & 0xff) !== SLOT_FREE && u32[word + 1]! + u32[word + 2]! > 0;
}

function bufferError(device: string, path: string, why: string): BandstandError {
  return new BandstandError('BANDSTAND_FTL_BUFFER', {
    message: `cannot take over the write buffer ${path} of ${device}: ${why}`,
    hint: `writes that were answered and not flushed are in it; only if losing them is acceptable: bandstand export ${device} --discard-buffer`,
    details: { device, path },
  });
}

/** The superblock names a write buffer of this boot, and there is none. */
export function bufferLost(device: string, rebuild: boolean): BandstandError {
  const command = rebuild ? `check ${device} --rebuild-map` : `export ${device}`;
  return new BandstandError('BANDSTAND_FTL_BUFFER_LOST', {
    message: `cannot open the log-structured device on ${device}: the write buffer that its killed server has left is gone, so writes since the last flush may be lost`,
    hint: `if that server had another --run-dir, name that one; to go on without them: bandstand ${command} --discard-buffer`,
    details: { device },
  });
}

export class Survivors {
  readonly #core: FtlCore;
  readonly #memory: number;
  readonly #bytes: number;
  readonly #path: string;
  readonly #reader: UnitReader;
  /** As the index says. */
  #slotCount = 0;

  constructor(core: FtlCore, memory: BufferMemory, reader: UnitReader) {
    this.#core = core;
    this.#memory = memory.at;
    this.#bytes = memory.bytes;
    this.#path = memory.path;
    this.#reader = reader;
  }

  /**
   * Throws BANDSTAND_FTL_BUFFER when something was answered that the base may lack. Only of memory
   * that is of this life.
   */
  refuseAny(): void {
    const { length } = this.#survivors();
    if (length === 0) return;
    const { name } = this.#core.base;
    throw new BandstandError('BANDSTAND_FTL_BUFFER', {
      message: `cannot read ${name} as it is: ${length} ${length === 1 ? 'unit' : 'units'} of writes that a killed server had answered may be in its write buffer and nowhere else`,
      hint: `start it once for writing, which takes them over, and stop it; to read it without them: bandstand export ${name} --read-only --discard-buffer`,
      details: { device: name, units: length },
    });
  }

  /**
   * Writes the units to the base; they are not flushed yet. Only of memory that is of this life.
   * Throws BANDSTAND_FTL_BUFFER.
   */
  async adopt(superblock: FtlSuperblock): Promise<Adoption> {
    const found = this.#survivors();
    const heads = found.filter(({ index }) => index === 0);
    const others = found.filter(({ index }) => index !== 0);
    // The head is there before any other unit of its band is, as ever.
    for (const survivor of heads) await this.#write(survivor, null);
    for (const survivor of others) {
      await this.#write(survivor, await this.#headOf(survivor, superblock));
    }
    const blocks = found.reduce((sum, { dataCount }) => sum + dataCount, 0);
    return { units: found.length, blocks };
  }

  #refuse(why: string): never {
    throw bufferError(this.#core.base.name, this.#path, why);
  }

  /** False when there is nothing that this device would lose. Throws BANDSTAND_FTL_BUFFER. */
  isOfThisLife(superblock: FtlSuperblock): boolean {
    const memory = { at: this.#memory, bytes: this.#bytes, path: this.#path };
    const values = readIndex(this.#core.reactor, this.#core.base.name, memory);
    // The checkpoint of a later life has all that this one left.
    if (values === null || values.epoch < superblock.checkpointEpoch) return false;
    const { geometry } = this.#core;
    if (values.unit_blocks !== geometry.unitBlocks) {
      this.#refuse(`its units have ${values.unit_blocks} blocks`);
    }
    this.#slotCount = values.slot_count;
    if (values.slot_count > SLOTS_MAX || bufferBytes(geometry, values.slot_count) > this.#bytes) {
      this.#refuse(`it has ${values.slot_count} units in ${this.#bytes} bytes`);
    }
    return true;
  }

  #survivors(): Survivor[] {
    const { geometry, reactor } = this.#core;
    const { u32 } = reactor.arena;
    const found: Survivor[] = [];
    const taken = new Set<number>();
    for (let slot = 0; slot < this.#slotCount; slot += 1) {
      const word = indexEntryAt(this.#memory, slot) >>> 2;
      const dataCount = u32[word + 1]!;
      const trimCount = u32[word + 2]!;
      const unit = u32[word + 3]!;
      if (!isUsed(u32, word)) continue;
      const possible =
        dataCount <= geometry.dataBlocks &&
        trimCount <= geometry.trimsMax &&
        unit < geometry.bandCount * geometry.bandUnits &&
        !isMapBand(geometry, Math.floor(unit / geometry.bandUnits)) &&
        !taken.has(unit);
      if (!possible) this.#refuse(`the index entry of slot ${slot} is impossible`);
      taken.add(unit);
      const band = Math.floor(unit / geometry.bandUnits);
      const index = unit - band * geometry.bandUnits;
      const classNumber = u32[word]! >>> 8;
      found.push({ slot, band, index, classNumber, dataCount, trimCount });
    }
    return found;
  }

  /**
   * The sequence of the band's head on the base. That of an earlier filling will not do: the unit
   * would be taken for a part of it, and be left out.
   */
  async #headOf({ band, index }: Survivor, superblock: FtlSuperblock): Promise<number> {
    const { checkpointStart, openBands } = superblock;
    const { geometry, reactor } = this.#core;
    const header = this.#header();
    let sequence = -1;
    await this.#reader.summaries(
      1,
      () => band * geometry.bandUnits,
      async (_index, status, at) => {
        if (status !== OK) {
          this.#refuse(`the head of band ${band} cannot be read: ${statusText(status)}`);
        }
        if (!readHeader(reactor.arena.u32, reactor.kernels, geometry, at, header)) return;
        if (header.band !== band || header.unit !== 0) return;
        if (header.bandSequence !== header.sequence) return;
        const current = header.sequence >= checkpointStart || openBands.includes(band);
        if (current) sequence = header.sequence;
      },
    );
    if (sequence === -1) this.#refuse(`unit ${index} of band ${band} has no head on the base`);
    return sequence;
  }

  #header(): UnitHeader {
    const header = new UnitHeader();
    header.deviceLow = this.#core.deviceLow;
    header.deviceHigh = this.#core.deviceHigh;
    return header;
  }

  async #write(survivor: Survivor, head: number | null): Promise<void> {
    const core = this.#core;
    const { base, factor, geometry, reactor } = core;
    const unitBytes = geometry.unitBlocks * FTL_BLOCK_BYTES;
    const at = this.#memory + bufferIndexBytes(this.#slotCount) + survivor.slot * unitBytes;
    const header = this.#header();
    core.unitNumber += 1;
    header.sequence = core.nextUnitSequence - 1;
    header.classNumber = survivor.classNumber;
    header.bandSequence = head ?? header.sequence;
    header.band = survivor.band;
    header.unit = survivor.index;
    header.dataCount = survivor.dataCount;
    header.trimCount = survivor.trimCount;
    writeHeader(reactor.arena.u32, reactor.kernels, geometry, at, header);
    const step = base.geometry.writeUnitBlocks;
    const blocks = (geometry.summaryBlocks + survivor.dataCount) * factor;
    const place = (survivor.band * geometry.bandUnits + survivor.index) * geometry.unitBlocks;
    const count = Math.ceil(blocks / step) * step;
    await submitOrThrow(base, OP_WRITE, core.baseBlock(place), count, at);
  }
}
