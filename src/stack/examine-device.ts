/**
 * examine and wipe: what is on a device, and taking our metadata off it.            (control plane)
 *
 * Both work on devices that no running stack uses. Examining opens read-only and needs no more than
 * permission to read; wiping opens exclusively, removes what is recognised as ours, nothing else.
 */

import type { BlockDevice } from '../block/block-device.ts';
import { BandstandError } from '../block/errors.ts';
import { FileDevice } from '../device/file-device.ts';
import { OffsetDevice } from '../device/offset-device.ts';
import { CACHE_BLOCK_BYTES } from '../nv-cache/cache-format.ts';
import type { CacheHeader } from '../nv-cache/cache-header.ts';
import { readCacheHeader } from '../nv-cache/cache-header-io.ts';
import { wipeCache } from '../nv-cache/create-cache.ts';
import { type Examination, examinationJson, examineDevice } from '../raid/examine.ts';
import { type Wiped, wipeDevice } from '../raid/wipe.ts';
import type { Ring } from '../reactor/ring.ts';
import { type DeviceIdentity, identifyDevice, usageOf } from './device-usage.ts';
import { withDevice } from './offline-ring.ts';
import { recognise, type Signature } from './signatures.ts';

export { CACHE_BLOCK_BYTES };

export interface ExaminedDevice {
  readonly device: string;
  readonly sizeBytes: number;
  readonly examination: Examination;
  /** The header of an NV cache; null: there is none. */
  readonly cache: ExaminedCache | null;
  /** The same on the array that it is a member of; null: there is none. */
  readonly mirrored: ExaminedCache | null;
  /** Everything recognisable that is not ours. */
  readonly foreign: readonly Signature[];
  /** How it is used at the moment, or null. */
  readonly usage: string | null;
}

/** One of them is null. */
export interface ExaminedCache {
  readonly header: CacheHeader | null;
  readonly error: BandstandError | null;
}

const OURS = ['spdk-raid', 'member-label', 'nv-cache'];

export async function examineAt(ring: Ring, path: string): Promise<ExaminedDevice> {
  const identity = identifyDevice(path);
  const device = new FileDevice(path, { readOnly: true });
  return await withDevice(ring, device, async () => {
    const { blockBytes, blockCount } = device.geometry;
    const sizeBytes = blockBytes * blockCount;
    const examination = await examineDevice(ring, device);
    return {
      device: path,
      sizeBytes,
      examination,
      mirrored: await examineMirrored(ring, examination),
      cache: await examineCache(ring, device),
      foreign: foreignOn(identity, sizeBytes),
      usage: usageOf(identity),
    };
  });
}

/** A device that has no such header is none; what is damaged, or cannot be read, is told. */
async function examineCache(ring: Ring, device: BlockDevice): Promise<ExaminedCache | null> {
  try {
    return { header: (await readCacheHeader(ring, device)).header, error: null };
  } catch (error) {
    if (!(error instanceof BandstandError)) throw error;
    return error.code === 'BANDSTAND_CACHE_NOT_FOUND' ? null : { header: null, error };
  }
}

/** What a member of a mirror under an NV cache has of the ring: an old copy, if it is stale. */
async function examineMirrored(
  ring: Ring,
  { blockBytes: diskBlockBytes, blockCount, device, label, superblock }: Examination,
): Promise<ExaminedCache | null> {
  const members = superblock.value?.members ?? [];
  const own = members.find(({ uuid }) => uuid === label?.memberUuid);
  if (label?.nvCache !== true || own === undefined) return null;
  // Its blocks are those of the array, whatever those of the disk are.
  const { blockBytes } = superblock.value!;
  const { dataOffset: firstBlock } = own;
  if (firstBlock * blockBytes >= blockCount * diskBlockBytes) return null;
  const part = new OffsetDevice(new FileDevice(device, { readOnly: true, blockBytes }), {
    firstBlock,
  });
  return await withDevice(ring, part, () => examineCache(ring, part));
}

function foreignOn(identity: DeviceIdentity, sizeBytes: number): Signature[] {
  return recognise(identity.realPath, sizeBytes).filter(({ kind }) => !OURS.includes(kind));
}

/** Every field of superblock and labels, for --json. */
export function examinedJson(examined: ExaminedDevice): Record<string, unknown> {
  return {
    ...examinationJson(examined.examination),
    size_bytes: examined.sizeBytes,
    nv_cache: examined.cache === null ? null : cacheJson(examined.cache),
    mirrored_nv_cache: examined.mirrored === null ? null : cacheJson(examined.mirrored),
    foreign: examined.foreign.map(({ kind, label, atByte }) => ({
      kind,
      label,
      offset_bytes: atByte,
    })),
    usage: examined.usage,
  };
}

function cacheJson({ error, header }: ExaminedCache): Record<string, unknown> {
  if (header === null) return { state: 'damaged', error: error!.message };
  const { currentAddress, headSequence, lost, sequence, sizeBlocks, tailAddress, ...rest } = header;
  return {
    state: 'ok',
    uuid: rest.uuid,
    owner: rest.owner,
    size_blocks: sizeBlocks,
    header_sequence: sequence,
    epoch: rest.epoch,
    phase: rest.phase,
    current_address: currentAddress,
    head_sequence: headSequence,
    tail_sequence: rest.tailSequence,
    tail_address: tailAddress,
    tail_phase: rest.tailPhase,
    lost_ranges: lost.map(({ block, blockCount }) => ({ block, block_count: blockCount })),
  };
}

export interface WipeOutcome {
  readonly device: string;
  readonly before: Examination;
  /** It has, or had, the header of an NV cache. */
  readonly cache: ExaminedCache | null;
  /** Null with dryRun. */
  readonly wiped: Wiped | null;
}

/** Throws BANDSTAND_DEVICE_BUSY for a member of a running stack or a device in other use. */
export async function wipeAt(ring: Ring, path: string, dryRun: boolean): Promise<WipeOutcome> {
  const identity = identifyDevice(path);
  const usage = usageOf(identity);
  if (usage !== null) throw busyError(path, usage);
  const device = new FileDevice(path);
  try {
    return await withDevice(ring, device, async () => {
      const before = await examineDevice(ring, device);
      const cache = await examineCache(ring, device);
      if (dryRun) return { device: path, before, cache, wiped: null };
      if (cache !== null) await wipeCache(ring, device);
      return { device: path, before, cache, wiped: await wipeDevice(ring, device) };
    });
  } catch (error) {
    if (!(error instanceof BandstandError) || error.code !== 'BANDSTAND_DEVICE_BUSY') throw error;
    throw busyError(path, 'opened exclusively by another program', error);
  }
}

function busyError(path: string, usage: string, cause?: unknown): BandstandError {
  return new BandstandError('BANDSTAND_DEVICE_BUSY', {
    message: `cannot wipe ${path}: it is ${usage}`.replace('it is its', 'its'),
    hint: 'stop whatever uses it first; bandstand list shows the running stacks',
    details: { device: path, usage },
    ...(cause === undefined ? {} : { cause }),
  });
}
