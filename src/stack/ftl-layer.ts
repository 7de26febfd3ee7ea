/**
 * FtlLayer: the FTL of a stack, between its array and its exports.                  (control plane)
 *
 * The array stays its manager's, which marks it clean after the FTL has been closed. Tells what a
 * restore does, step by step, and how the FTL is, in the words of status.
 */

import { randomInt } from 'node:crypto';
import { assert } from '../block/assert.ts';
import type { SpaceUser } from '../block/live-ranges.ts';
import type { SurvivingMemory } from '../block/surviving-memory.ts';
import type { FtlStatusDocument } from '../control/schema.ts';
import type { Finding } from '../ftl/finding.ts';
import { Ftl } from '../ftl/ftl.ts';
import { FTL_BLOCK_BYTES } from '../ftl/geometry.ts';
import { redundancyOf } from '../raid/array-copies.ts';
import type { RaidArray } from '../raid/raid-array.ts';
import { bootId } from './boot-id.ts';
import { stepEvents } from './step-events.ts';
import type { StackEvent, StackPlan } from './worker-messages.ts';

/** After so many findings they are told ever more rarely: the report of a check counts them all. */
const TOLD_MAX = 32;

/** Of 2^32 units in a life most are left. */
const FIRST_UNIT_MAX = 2 ** 31;

export interface FtlLayerOptions
  extends Pick<StackPlan, 'readOnly' | 'rebuildMap' | 'discardBuffer'> {
  /** It has an NV cache in front. */
  readonly isCached?: boolean;
  /** Its NV cache is given up. */
  readonly discards?: boolean;
}

export class FtlLayer {
  readonly device: Ftl;
  readonly #emit: (event: StackEvent) => void;
  readonly #readOnly: boolean;
  #findings = 0;

  constructor(
    array: RaidArray,
    buffer: SurvivingMemory | null,
    options: FtlLayerOptions,
    emit: (event: StackEvent) => void,
  ) {
    const { discards = false, isCached = false, readOnly } = options;
    const { rebuildMap = false, discardBuffer = false } = options;
    this.#emit = emit;
    this.#readOnly = readOnly;
    // What an earlier server has left is looked at and stays; what this one has made is of no use.
    if (readOnly && buffer?.isAdopted === false) buffer.discard();
    this.device = new Ftl(array, {
      baseKept: true,
      buffer,
      bootId: bootId(),
      discardBuffer,
      firstUnit: randomInt(FIRST_UNIT_MAX),
      readOnly,
      rebuildMap,
      isCached,
      discardsCache: discards,
      steps: stepEvents(emit),
      redundancy: redundancyOf(array),
      found: (finding) => this.#found(finding),
      blocksLost: (lost) => emit({ event: 'ftl-lost', lost }),
    });
  }

  /** Once it is open: what the start had to do, what is not as it was, and what may be lost. */
  tellRestored(): void {
    const { growth, restoreReport: report } = this.device;
    assert(report !== null, 'a device that is open was restored');
    const { blocksRead, clean, rebuilt, unitsPlayed } = report;
    const bytesRead = blocksRead * FTL_BLOCK_BYTES;
    this.#emit({ event: 'ftl-restored', clean, unitsPlayed, bytesRead });
    if (growth !== null) {
      const bytesBefore = growth.blocksBefore * FTL_BLOCK_BYTES;
      this.#emit({ event: 'ftl-grown', bytesBefore, bytes: growth.blocks * FTL_BLOCK_BYTES });
    }
    if (this.bufferLost) this.#emit({ event: 'ftl-buffer-lost' });
    if (rebuilt === null) return;
    const { outdated, wrong } = rebuilt;
    const usedBlocks = this.device.status()!.mapped_blocks;
    const map = { usedBlocks, outdatedBlocks: outdated, wrongBlocks: wrong };
    this.#emit({ event: 'ftl-rebuilt', map });
  }

  /** What a killed server had answered and not flushed was given up. */
  get bufferLost(): boolean {
    return this.device.restoreReport?.bufferLost ?? false;
  }

  #found(finding: Finding): void {
    this.#findings += 1;
    const isRound = Number.isInteger(Math.log2(this.#findings));
    if (this.#findings <= TOLD_MAX || isRound) this.#emit({ event: 'ftl-found', finding });
  }

  /** Why nothing can be changed any more; null while it can, or was never to be. */
  get readOnlyReason(): string | null {
    return this.#readOnly ? null : (this.device.status()?.read_only_reason ?? null);
  }

  /** What it needs of the array; only of one that is open. */
  get space(): SpaceUser {
    const { space } = this.device;
    assert(space !== null, 'an FTL whose start is complete says what it needs');
    return space;
  }

  document(): FtlStatusDocument | null {
    const status = this.device.status();
    if (status === null) return null;
    const { details } = this.device.describe();
    const number = (key: string): number => Number(details[key] ?? 0);
    const bands = (state: string): number => status.bands[state] ?? 0;
    return {
      op_percent: number('over_provisioning_percent'),
      bands: {
        total: number('bands'),
        free: bands('free'),
        open: bands('open'),
        closed: bands('closed'),
        size_bytes: number('band_bytes'),
        map: status.band_map,
      },
      valid_blocks: status.mapped_blocks,
      user_blocks_written: status.user_blocks,
      relocated_blocks_written: status.relocated_blocks,
      metadata_blocks_written: status.metadata_blocks,
      write_amplification: status.write_amplification,
      wrong_checksums: status.wrong_parts,
      repaired_checksums: status.repaired_parts,
      unreadable_blocks: status.unreadable_blocks,
    };
  }
}
