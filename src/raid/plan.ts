/**
 * plan: from what a person asks for to a complete description of a new array.       (control plane)
 *
 * Everything that can be refused is refused here, before anything is written, each with its own
 * message. The same plan serves an array without superblock, which is described anew at every
 * assembly and whose data begins at block 0 of each member.
 */

import { assert } from '../block/assert.ts';
import type { BlockDevice, Geometry } from '../block/block-device.ts';
import { BandstandError, type ErrorCode } from '../block/errors.ts';
import { makeUuid, parseUuid } from '../block/uuid.ts';
import type { ArraySpec } from './array-spec.ts';
import {
  isPowerOfTwo,
  LEVELS,
  type LevelName,
  type LevelRules,
  levelRules,
  MEMBERS_MAX,
  parseLevel,
} from './level-rules.ts';
import type { Superblock } from './superblock.ts';
import { DATA_OFFSET_BYTES_MIN, NAME_BYTES_MAX } from './superblock-layout.ts';

export interface PlanRequest {
  readonly name: string;
  /** As a person writes it. */
  readonly level: string;
  /** Null when none was given. */
  readonly stripBytes: number | null;
  /** In slot order. */
  readonly members: readonly { readonly name: string; readonly geometry: Geometry }[];
  /** Devices that wait for a member to fail; none when left out. */
  readonly spares?: readonly { readonly name: string; readonly geometry: Geometry }[];
  /** False for an array without metadata on its members. */
  readonly superblock: boolean;
  /** The array's UUID, when it shall not be random. */
  readonly uuid?: string;
  /** The members' UUIDs, when they shall not be random. */
  readonly memberUuids?: readonly string[];
  /** The same for spares. */
  readonly spareUuids?: readonly string[];
}

export interface PlannedMember {
  readonly slot: number;
  readonly device: string;
  /** Null without superblock. */
  readonly uuid: string | null;
  /** Blocks. */
  readonly dataOffset: number;
  /** Blocks. */
  readonly dataSize: number;
}

export interface PlannedSpare {
  readonly device: string;
  readonly uuid: string;
}

export interface ArrayPlan {
  readonly name: string;
  /** Null without superblock. */
  readonly uuid: string | null;
  readonly level: LevelName;
  readonly blockBytes: number;
  /** Blocks; 0 for raid1. */
  readonly stripBlocks: number;
  /** Blocks of the array. */
  readonly blockCount: number;
  readonly members: readonly PlannedMember[];
  readonly spares: readonly PlannedSpare[];
}

type Refuse = (code: ErrorCode, why: string, hint?: string) => never;

/** Throws BandstandError with a code of its own for everything that cannot be. */
export function planArray(request: PlanRequest): ArrayPlan {
  const refuse: Refuse = (code, why, hint) => {
    throw new BandstandError(code, {
      message: `cannot ${request.superblock ? 'create' : 'assemble'} ${request.name || 'an array'}: ${why}`,
      ...(hint === undefined ? {} : { hint }),
      details: { name: request.name },
    });
  };
  checkName(request.name, refuse);
  const levelName = parseLevel(request.level);
  if (levelName === null) {
    const known = LEVELS.map(({ name }) => name).join(', ');
    refuse('BANDSTAND_LEVEL_INVALID', `the level '${request.level}' is unknown`, `use ${known}`);
  }
  const level = levelRules(levelName);
  checkMembers(request, level, refuse);
  const { blockBytes } = request.members[0]!.geometry;
  const stripBlocks = planStrip(request.stripBytes, blockBytes, level, refuse);
  const offsets = request.members.map(({ geometry }) =>
    request.superblock ? memberOffset(geometry) : 0,
  );
  const available = request.members.map(({ name, geometry }, slot) => {
    const offset = offsets[slot]!;
    const needed = offset + Math.max(1, stripBlocks);
    if (geometry.blockCount < needed) {
      refuse(
        'BANDSTAND_DEVICE_TOO_SMALL',
        `${name} has ${geometry.blockCount * blockBytes} bytes, at least ${needed * blockBytes} are needed`,
      );
    }
    return geometry.blockCount - offset;
  });
  const dataSizes = level.dataSizes(available, stripBlocks);
  const uuids = request.superblock ? planUuids(request, refuse) : null;
  checkSpares(request, level, Math.max(...dataSizes), refuse);
  return {
    name: request.name,
    uuid: uuids?.array ?? null,
    level: level.name,
    blockBytes,
    stripBlocks,
    blockCount: level.arraySize(dataSizes, stripBlocks),
    members: request.members.map(({ name }, slot) => ({
      slot,
      device: name,
      uuid: uuids?.members[slot] ?? null,
      dataOffset: offsets[slot]!,
      dataSize: dataSizes[slot]!,
    })),
    spares: (request.spares ?? []).map(({ name }, index) => ({
      device: name,
      uuid: uuids!.spares[index]!,
    })),
  };
}

/** Refuses a name that no superblock holds or that would mislead in a path or on a terminal. */
function checkName(name: string, refuse: Refuse): void {
  const code = 'BANDSTAND_NAME_INVALID';
  if (name === '') refuse(code, 'the name is empty');
  const encoded = new TextEncoder().encode(name);
  if (encoded.length > NAME_BYTES_MAX) {
    refuse(code, `the name has ${encoded.length} bytes, at most ${NAME_BYTES_MAX} are possible`);
  }
  if (/[\p{Cc}\p{Cs}/]/u.test(name)) {
    refuse(code, "the name contains a control character, half a surrogate pair or '/'");
  }
  if (/^[-.]/.test(name)) refuse(code, `the name begins with '${name[0]}'`);
}

function checkMembers({ members }: PlanRequest, level: LevelRules, refuse: Refuse): void {
  if (members.length < level.membersMin) {
    refuse(
      'BANDSTAND_MEMBER_COUNT',
      `${level.name} needs at least ${level.membersMin} members, ${members.length} given`,
    );
  }
  if (members.length > MEMBERS_MAX) {
    refuse(
      'BANDSTAND_MEMBER_COUNT',
      `an array has at most ${MEMBERS_MAX} members, ${members.length} given`,
    );
  }
  const seen = new Set<string>();
  for (const { name } of members) {
    if (seen.has(name)) refuse('BANDSTAND_MEMBER_DUPLICATE', `${name} is given twice`);
    seen.add(name);
  }
  const first = members[0]!;
  for (const { name, geometry } of members) {
    if (geometry.blockBytes !== first.geometry.blockBytes) {
      refuse(
        'BANDSTAND_MEMBER_MISMATCH',
        `${name} has ${geometry.blockBytes}-byte blocks, ${first.name} has ${first.geometry.blockBytes}-byte blocks`,
      );
    }
    if (geometry.writeUnitBlocks !== 1) {
      refuse(
        'BANDSTAND_MEMBER_MISMATCH',
        `${name} can only be written in units of ${geometry.writeUnitBlocks} blocks`,
      );
    }
  }
}

/** A spare has to fit into every slot. */
function checkSpares(
  { members, spares = [], superblock }: PlanRequest,
  level: LevelRules,
  dataBlocks: number,
  refuse: Refuse,
): void {
  if (spares.length === 0) return;
  if (!superblock) {
    refuse('BANDSTAND_USAGE', 'an array without superblock cannot have spares', 'leave them out');
  }
  if (level.tolerates(members.length) === 0) {
    const why = `${level.name} has no redundancy, so nothing could be rebuilt onto a spare`;
    refuse('BANDSTAND_USAGE', why, 'leave out the spares, or use raid1 or raid5f');
  }
  const hint = 'name a spare that can take the place of any member';
  const { blockBytes } = members[0]!.geometry;
  const seen = new Set(members.map(({ name }) => name));
  for (const { name, geometry } of spares) {
    if (seen.has(name)) refuse('BANDSTAND_MEMBER_DUPLICATE', `${name} is given twice`);
    seen.add(name);
    if (geometry.blockBytes !== blockBytes) {
      refuse(
        'BANDSTAND_MEMBER_MISMATCH',
        `the spare ${name} has ${geometry.blockBytes}-byte blocks, the members have ${blockBytes}-byte blocks`,
        hint,
      );
    }
    if (geometry.writeUnitBlocks !== 1) {
      refuse(
        'BANDSTAND_MEMBER_MISMATCH',
        `the spare ${name} can only be written in units of ${geometry.writeUnitBlocks} blocks`,
      );
    }
    const needed = memberOffset(geometry) + dataBlocks;
    if (geometry.blockCount < needed) {
      refuse(
        'BANDSTAND_DEVICE_TOO_SMALL',
        `the spare ${name} has ${geometry.blockCount * blockBytes} bytes, at least ${needed * blockBytes} are needed`,
        hint,
      );
    }
  }
}

function planStrip(
  stripBytes: number | null,
  blockBytes: number,
  level: LevelRules,
  refuse: Refuse,
): number {
  const code = 'BANDSTAND_STRIP_INVALID';
  if (!level.hasStrip) {
    if (stripBytes !== null && stripBytes !== 0) {
      refuse(code, `${level.name} has no strips, a strip size of ${stripBytes} bytes is given`);
    }
    return 0;
  }
  if (stripBytes === null) {
    refuse(code, `${level.name} needs a strip size`, 'add --strip-size, for example 64K');
  }
  if (!Number.isSafeInteger(stripBytes) || !isPowerOfTwo(stripBytes)) {
    refuse(code, `the strip size of ${stripBytes} bytes is not a power of two`);
  }
  if (stripBytes < blockBytes) {
    refuse(code, `the strip size of ${stripBytes} bytes is less than a block of ${blockBytes}`);
  }
  const blocks = stripBytes / blockBytes;
  if (blocks >= 2 ** 32) {
    refuse(code, `the strip size of ${stripBytes} bytes is more than a superblock can hold`);
  }
  return blocks;
}

/** Where the data of a member with a superblock begins: 1 MiB, rounded up as SPDK does. */
export function memberOffset(geometry: Geometry): number {
  const offset = DATA_OFFSET_BYTES_MIN / geometry.blockBytes;
  const boundary = geometry.optimalBoundaryBlocks;
  return boundary > 0 ? Math.ceil(offset / boundary) * boundary : offset;
}

interface PlannedUuids {
  readonly array: string;
  readonly members: readonly string[];
  readonly spares: readonly string[];
}

function planUuids(request: PlanRequest, refuse: Refuse): PlannedUuids {
  const canonical = (text: string | undefined): string => {
    if (text === undefined) return makeUuid();
    const uuid = parseUuid(text);
    if (uuid === null) refuse('BANDSTAND_USAGE', `'${text}' is not a UUID`);
    return uuid;
  };
  return {
    array: canonical(request.uuid),
    members: request.members.map((_, slot) => canonical(request.memberUuids?.[slot])),
    spares: (request.spares ?? []).map((_, index) => canonical(request.spareUuids?.[index])),
  };
}

/** The first superblock of a planned array. */
export function plannedSuperblock(plan: ArrayPlan): Superblock {
  assert(plan.uuid !== null, 'an array with a superblock has a UUID');
  return {
    versionMinor: 0,
    uuid: plan.uuid,
    name: plan.name,
    raidSize: plan.blockCount,
    blockBytes: plan.blockBytes,
    level: plan.level,
    stripBlocks: plan.stripBlocks,
    seq: 1,
    members: plan.members.map(({ slot, uuid, dataOffset, dataSize }) => {
      assert(uuid !== null, 'a member with a superblock has a UUID');
      return { uuid, dataOffset, dataSize, state: 'configured', slot };
    }),
  };
}

/** What RaidArray needs; `devices` are the members in slot order. */
export function planSpec(plan: ArrayPlan, devices: readonly BlockDevice[]): ArraySpec {
  assert(devices.length === plan.members.length, 'a plan has a device for each slot');
  return {
    name: plan.name,
    uuid: plan.uuid,
    level: plan.level,
    blockBytes: plan.blockBytes,
    stripBlocks: plan.stripBlocks,
    blockCount: plan.blockCount,
    members: plan.members.map(({ uuid, dataOffset, dataSize }, slot) => ({
      uuid,
      device: devices[slot]!,
      dataOffset,
      dataSize,
    })),
  };
}
