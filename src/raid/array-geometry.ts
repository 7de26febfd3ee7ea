/**
 * The geometry of an array, from those of its members.                              (control plane)
 */

import { type BlockDevice, FEATURE_READ_ONLY, type Geometry } from '../block/block-device.ts';
import { BandstandError } from '../block/errors.ts';
import type { ArraySpec } from './array-spec.ts';
import type { Level } from './level.ts';
import { levelRules } from './level-rules.ts';
import type { Member } from './member.ts';

/** What one request carries at least, whatever the strip size. */
const REQUEST_BYTES = 2 ** 20;
/** A stripe is one request up to this size even where it could be cut. */
const STRIPE_REQUEST_BYTES_MAX = 4 * 2 ** 20;

function presentDevices(members: readonly Member[]): BlockDevice[] {
  return members.flatMap(({ device }) => (device === null ? [] : [device]));
}

/** The largest read or write that every present member takes. */
export function memberBlocksMax(members: readonly Member[]): number {
  return Math.min(...presentDevices(members).map(({ geometry }) => geometry.requestBlocksMax));
}

/** Throws BANDSTAND_MEMBER_MISMATCH when the opened device does not fit its slot. */
export function checkMember(spec: ArraySpec, member: Member): void {
  if (member.device === null) return;
  const { name, geometry } = member.device;
  const fail = (why: string): never => {
    throw new BandstandError('BANDSTAND_MEMBER_MISMATCH', {
      message: `cannot use ${name} in slot ${member.slot} of ${spec.name}: ${why}`,
      details: { device: name, slot: member.slot, array: spec.name },
    });
  };
  if (geometry.blockBytes !== spec.blockBytes) {
    fail(`it has ${geometry.blockBytes}-byte blocks, the array ${spec.blockBytes}-byte blocks`);
  }
  if (member.dataOffset + member.dataSize > geometry.blockCount) {
    fail(
      `it has ${geometry.blockCount} blocks, the array uses ${member.dataOffset + member.dataSize}`,
    );
  }
  if (geometry.writeUnitBlocks !== 1) {
    fail(`it can only be written in units of ${geometry.writeUnitBlocks} blocks`);
  }
}

/** `target`: the device that a rebuild fills, which has to take whatever the members take. */
export function arrayGeometry(
  spec: ArraySpec,
  level: Level,
  members: readonly Member[],
  target: BlockDevice | null = null,
): Geometry {
  const devices = [...presentDevices(members), ...(target === null ? [] : [target])];
  const geometries = devices.map(({ geometry }) => geometry);
  const common = geometries.reduce((features, geometry) => features & geometry.features, -1);
  const readOnly = geometries.some(({ features }) => (features & FEATURE_READ_ONLY) !== 0);
  const features = level.features(common & ~FEATURE_READ_ONLY) | (readOnly ? FEATURE_READ_ONLY : 0);
  const granularity = Math.max(...geometries.map((geometry) => geometry.trimGranularityBlocks));
  return {
    blockBytes: spec.blockBytes,
    blockCount: spec.blockCount,
    writeUnitBlocks: level.writeUnitBlocks,
    optimalBoundaryBlocks: level.optimalBoundaryBlocks,
    requestBlocksMax: requestBlocksMax(spec, level, members),
    physicalBlockBytes: Math.max(...geometries.map((geometry) => geometry.physicalBlockBytes)),
    rotational: geometries.some((geometry) => geometry.rotational),
    volatileCache: geometries.some((geometry) => geometry.volatileCache),
    features,
    trimGranularityBlocks: level.trimGranularityBlocks(granularity),
  };
}

function requestBlocksMax(spec: ArraySpec, level: Level, members: readonly Member[]): number {
  const blocks = REQUEST_BYTES / spec.blockBytes;
  if (!levelRules(spec.level).hasStrip) return memberBlocksMax(members);
  if (level.writeUnitBlocks > 1) {
    return Math.ceil(blocks / level.writeUnitBlocks) * level.writeUnitBlocks;
  }
  const stripe = spec.stripBlocks * members.length;
  return Math.max(blocks, Math.min(stripe, STRIPE_REQUEST_BYTES_MAX / spec.blockBytes));
}
