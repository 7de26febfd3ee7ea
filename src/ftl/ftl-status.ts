/**
 * FtlStatus: an FTL's numbers as plain data, for status and events.                 (control plane)
 */

import { type BandMap, bandMap } from './band-map.ts';
import { BAND_STATES } from './bands.ts';
import type { FtlCore } from './ftl-core.ts';
import { THROTTLE_LIMITS } from './throttle.ts';
import { SLOT_FREE } from './write-buffer.ts';

export interface FtlStatus {
  readonly read_only_reason: string | null;
  readonly mapped_blocks: number;
  readonly write_amplification: number | null;
  readonly user_blocks: number;
  readonly trimmed_blocks: number;
  readonly relocated_blocks: number;
  readonly unit_blocks: number;
  readonly metadata_blocks: number;
  readonly units_written: number;
  readonly units_padded: number;
  readonly units_failed: number;
  readonly bands_relocated: number;
  readonly base_flushes: number;
  readonly checkpoints: number;
  readonly unreadable_blocks: number;
  readonly wrong_parts: number;
  readonly repaired_parts: number;
  /** How often a write had to wait, by the limit that was in force. */
  readonly throttled: Readonly<Record<string, number>>;
  readonly band_stalls: number;
  readonly slot_stalls: number;
  readonly slots_in_use: number;
  /** Bands in each state, by its name. */
  readonly bands: Readonly<Record<string, number>>;
  readonly band_map: BandMap;
  /** Bands by the tenth of them that is valid: closed ones only. */
  readonly validity_tenths: readonly number[];
  /** Closed bands and valid blocks of each lifetime class. */
  readonly classes: readonly { readonly bands: number; readonly valid_blocks: number }[];
}

export function ftlStatus(core: FtlCore): FtlStatus {
  const { bands, buffer, geometry, l2p, statistics } = core;
  const states: Record<string, number> = {};
  const tenths = new Array<number>(10).fill(0);
  const classes = Array.from({ length: bands.placement.classCount }, () => ({
    bands: 0,
    valid_blocks: 0,
  }));
  const full = geometry.bandUnits * geometry.dataBlocks;
  for (let band = 0; band < bands.count; band += 1) {
    const state = BAND_STATES[bands.state[band]!]!;
    states[state] = (states[state] ?? 0) + 1;
    const valid = bands.valid[band]!;
    if (valid === 0) continue;
    tenths[Math.min(9, Math.floor((10 * valid) / full))]! += 1;
    const ofClass = classes[bands.placement.classOf[band]!]!;
    ofClass.bands += 1;
    ofClass.valid_blocks += valid;
  }
  return {
    read_only_reason: core.failureReason,
    mapped_blocks: l2p.mapped,
    write_amplification: statistics.writeAmplification,
    user_blocks: statistics.userBlocks,
    trimmed_blocks: statistics.trimmedBlocks,
    relocated_blocks: statistics.relocatedBlocks,
    unit_blocks: statistics.unitBlocks,
    metadata_blocks: statistics.metadataBlocks,
    units_written: statistics.unitsWritten,
    units_padded: statistics.unitsPadded,
    units_failed: statistics.unitsFailed,
    bands_relocated: statistics.bandsRelocated,
    base_flushes: statistics.baseFlushes,
    checkpoints: statistics.checkpoints,
    unreadable_blocks: statistics.unreadableBlocks,
    wrong_parts: statistics.wrongParts,
    repaired_parts: statistics.repairedParts,
    throttled: Object.fromEntries(
      THROTTLE_LIMITS.map((limit, index) => [limit, core.throttle.waits[index]!]),
    ),
    band_stalls: statistics.bandStalls,
    slot_stalls: statistics.slotStalls,
    slots_in_use: buffer.state.filter((state) => state !== SLOT_FREE).length,
    bands: states,
    band_map: bandMap(bands, full),
    validity_tenths: tenths,
    classes,
  };
}
