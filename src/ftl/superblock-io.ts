/**
 * Reading and writing the superblock of an FTL.                                     (control plane)
 *
 * The newest valid copy counts. Where one copy is damaged the other one is used, and a clean mark
 * in it is not believed: a power cut may have torn the newer one. One that cannot be read is
 * another matter: it may be whole, and what it names may have been written over what the older one
 * names. What is damaged is looked for in the redundancy of the base first.
 */

import type { BlockDevice } from '../block/block-device.ts';
import { OP_WRITE } from '../block/block-io.ts';
import { flushDevice, readBlocks, submitOrThrow } from '../block/control-io.ts';
import { BandstandError } from '../block/errors.ts';
import type { Reactor } from '../block/reactor.ts';
import type { Redundancy } from '../block/redundancy.ts';
import { type Finding, findingOf } from './finding.ts';
import {
  decodeFtlSuperblock,
  encodeFtlSuperblock,
  type FtlSuperblock,
  hasFtlSignature,
  type SuperblockHead,
  superblockCopy,
  superblockCopyBytes,
  superblockHead,
  superblockLength,
} from './ftl-superblock.ts';
import {
  deriveGeometry,
  FTL_BLOCK_BYTES,
  SUPERBLOCK_BYTES,
  SUPERBLOCK_COPY_BYTES_MAX,
  writeStepBytes,
} from './geometry.ts';
import { mendRange } from './mend-range.ts';

/** How far the second copy is looked for when the first one does not say where it is. */
const SEARCH_BYTES = SUPERBLOCK_COPY_BYTES_MAX;
const WRITE_BYTES = 256 * 1024;

export interface FoundSuperblock {
  readonly superblock: FtlSuperblock;
  /** Copies that were wrong: mended, or written over by the start. */
  readonly findings: readonly Finding[];
  /** The base shows both copies as they should be. */
  readonly isSound: boolean;
}

/** What stands below an FTL. */
export interface SuperblockBase {
  readonly base: BlockDevice;
  readonly redundancy: Redundancy | null;
  /** Nothing is written. */
  readonly readOnly: boolean;
}

async function readBytes(
  reactor: Reactor,
  base: BlockDevice,
  at: number,
  bytes: number,
): Promise<Uint8Array> {
  const { blockBytes, blockCount } = base.geometry;
  const first = at / blockBytes;
  const count = Math.min(Math.ceil(bytes / blockBytes), blockCount - first);
  return count <= 0 ? new Uint8Array(0) : readBlocks(reactor, base, first, count);
}

type Copy =
  | { readonly superblock: FtlSuperblock; readonly why: null }
  | { readonly superblock: null; readonly why: BandstandError | null };

/** The copy at byte `at`; `why` is null too when nothing there claims to be one. */
async function readCopy(reactor: Reactor, base: BlockDevice, at: number): Promise<Copy> {
  const where = `at byte ${at} of ${base.name}`;
  const refuse = (error: unknown): never => {
    throw unreadable(base, where, error);
  };
  try {
    const head = await readBytes(reactor, base, at, SUPERBLOCK_BYTES).catch(refuse);
    if (!hasFtlSignature(head)) return { superblock: null, why: null };
    const length = superblockLength(head, where);
    const bytes = await readBytes(reactor, base, at, length).catch(refuse);
    return { superblock: decodeFtlSuperblock(bytes, where), why: null };
  } catch (error) {
    const isDamaged = error instanceof BandstandError && error.code === 'BANDSTAND_FTL_SUPERBLOCK';
    if (!isDamaged) throw error;
    return { superblock: null, why: error };
  }
}

/** True when the bytes at `at` in the arena are a superblock of the device. */
export function isSuperblock(
  { arena }: Reactor,
  base: BlockDevice,
  at: number,
  bytes: number,
  uuid: string,
): boolean {
  try {
    return decodeFtlSuperblock(arena.u8.slice(at, at + bytes), base.name).uuid === uuid;
  } catch (error) {
    if (!(error instanceof BandstandError)) throw error;
    return false;
  }
}

/** Where a signature is found behind the first block, or -1: then all of it could be read. */
async function searchCopy(reactor: Reactor, base: BlockDevice): Promise<number> {
  let failure: unknown = null;
  const step = writeStepBytes(base.geometry);
  const end = Math.min(SEARCH_BYTES, base.geometry.blockCount * base.geometry.blockBytes);
  for (let at = step; at + SUPERBLOCK_BYTES <= end; at += step) {
    const head = await readBytes(reactor, base, at, SUPERBLOCK_BYTES).catch((error: unknown) => {
      failure ??= unreadable(base, `at byte ${at} of ${base.name}`, error);
      return null;
    });
    if (head !== null && hasFtlSignature(head)) return at;
  }
  if (failure !== null) throw failure;
  return -1;
}

function unreadable(base: BlockDevice, where: string, error: unknown): unknown {
  if (!(error instanceof BandstandError)) return error;
  return new BandstandError('BANDSTAND_FTL_UNREADABLE', {
    message: `cannot open the log-structured device on ${base.name}: its superblock ${where} cannot be read: ${error.message}`,
    hint: 'look at the devices below, and try again',
    details: { device: base.name },
  });
}

/** Both copies as the base shows them. */
async function shownCopies(reactor: Reactor, base: BlockDevice): Promise<readonly Copy[]> {
  const first = await readCopy(reactor, base, 0);
  const at =
    first.superblock === null
      ? await searchCopy(reactor, base)
      : superblockCopyBytes(first.superblock.shape);
  return [first, at === -1 ? { superblock: null, why: null } : await readCopy(reactor, base, at)];
}

/**
 * Throws BANDSTAND_FTL_NOT_FOUND, BANDSTAND_FTL_UNREADABLE, or what is wrong with the only copies
 * there are.
 */
export async function readSuperblock(
  reactor: Reactor,
  below: SuperblockBase,
): Promise<FoundSuperblock> {
  const { base, readOnly } = below;
  const shown = await shownCopies(reactor, base);
  const known =
    shown.find(({ superblock }) => superblock !== null)?.superblock ??
    (await hiddenHead(reactor, below));
  const copies: FtlSuperblock[] = [];
  const findings: Finding[] = [];
  for (const [number, { superblock }] of shown.entries()) {
    const mended =
      superblock === null && known !== null
        ? await mendCopy(reactor, below, known, number)
        : { superblock, finding: null };
    if (mended.superblock !== null) copies.push(mended.superblock);
    if (mended.finding !== null) findings.push(mended.finding);
  }
  const [one, other] = copies;
  if (one === undefined) throw noSuperblock(base, shown);
  checkFits(base, one);
  if (other === undefined) {
    // The first superblocks that a start writes go over the copy that is right nowhere.
    const told = readOnly ? {} : ({ outcome: 'repaired' } as const);
    const rewritten = findings.map((finding) => ({ ...finding, ...told }));
    return { superblock: { ...one, clean: false }, findings: rewritten, isSound: false };
  }
  if (one.uuid !== other.uuid) throw twoDevices(base, one.uuid, other.uuid);
  const superblock = one.sequence > other.sequence ? one : other;
  const isSound = shown.every((copy) => copy.superblock !== null);
  return { superblock, findings, isSound };
}

function noSuperblock(base: BlockDevice, shown: readonly Copy[]): BandstandError {
  const why = shown.find((copy) => copy.why !== null)?.why;
  if (why != null) return why;
  return new BandstandError('BANDSTAND_FTL_NOT_FOUND', {
    message: `cannot open a log-structured device on ${base.name}: it has no superblock of one`,
    hint: 'create it first',
    details: { device: base.name },
  });
}

/**
 * Where the base shows no copy that is right: what the first block of one says in some other way of
 * reading it, or null. It tells how long a copy is, and is not verified.
 */
async function hiddenHead(
  reactor: Reactor,
  { base, redundancy }: SuperblockBase,
): Promise<SuperblockHead | null> {
  if (redundancy === null) return null;
  const buffer = reactor.arena.allocate(2 * SUPERBLOCK_BYTES);
  let head: SuperblockHead | null = null;
  const isRight = (): boolean => {
    const bytes = reactor.arena.u8.slice(buffer, buffer + SUPERBLOCK_BYTES);
    head ??= superblockHead(bytes);
    return head !== null;
  };
  try {
    const count = SUPERBLOCK_BYTES / base.geometry.blockBytes;
    await redundancy.mend({ block: 0, blockCount: count, buffer, repair: false, isRight });
  } finally {
    reactor.arena.release(buffer, 2 * SUPERBLOCK_BYTES);
  }
  return head;
}

/** Looks for a copy in the redundancy of the base, where the base itself shows something else. */
async function mendCopy(
  reactor: Reactor,
  { base, readOnly, redundancy }: SuperblockBase,
  { shape, uuid }: SuperblockHead,
  number: number,
): Promise<{ readonly superblock: FtlSuperblock | null; readonly finding: Finding | null }> {
  const bytes = superblockCopyBytes(shape);
  const { blockBytes } = base.geometry;
  const { arena } = reactor;
  const buffer = arena.allocate(2 * bytes);
  try {
    const mended = await mendRange(base, redundancy, {
      block: (number * bytes) / blockBytes,
      blockCount: bytes / blockBytes,
      buffer,
      repair: !readOnly,
      isRight: () => isSuperblock(reactor, base, buffer, bytes, uuid),
    });
    const finding = findingOf({ part: 'superblock', block: null, band: null, number }, mended);
    if (!mended.found) return { superblock: null, finding };
    const copy = arena.u8.slice(buffer, buffer + bytes);
    return { superblock: decodeFtlSuperblock(copy, base.name), finding };
  } finally {
    arena.release(buffer, 2 * bytes);
  }
}

function twoDevices(base: BlockDevice, one: string, other: string): BandstandError {
  return new BandstandError('BANDSTAND_FTL_INCONSISTENT', {
    message: `cannot open the log-structured device on ${base.name}: its superblocks are of two devices, ${one} and ${other}`,
    hint: 'create it anew; its creation was interrupted, or something else wrote to it',
    details: { device: base.name, uuids: [one, other] },
  });
}

/** A base that has shrunk, or takes other writes than the one that the device was made on. */
function checkFits(base: BlockDevice, { shape }: FtlSuperblock): void {
  const { blockBytes, blockCount, requestBlocksMax } = base.geometry;
  const { units, unitBlocks } = deriveGeometry(shape);
  const unitBytes = unitBlocks * FTL_BLOCK_BYTES;
  const refuse = (why: string): never => {
    throw new BandstandError('BANDSTAND_FTL_INCONSISTENT', {
      message: `cannot open the log-structured device on ${base.name}: ${why}`,
      hint: 'look at what has changed below it',
      details: { device: base.name, unit_bytes: unitBytes, units },
    });
  };
  if (units * unitBytes > blockCount * blockBytes) {
    refuse(`it needs ${units * unitBytes} bytes, ${blockCount * blockBytes} are there`);
  }
  if (unitBytes % writeStepBytes(base.geometry) !== 0) {
    refuse(`its units of ${unitBytes} bytes are not multiples of what can be written`);
  }
  if (unitBytes > requestBlocksMax * blockBytes) {
    refuse(`its units of ${unitBytes} bytes are more than can be written at once`);
  }
}

/** Holds the newest superblock, and writes the next one. */
export class SuperblockKeeper {
  readonly #reactor: Reactor;
  readonly #base: BlockDevice;
  #current: FtlSuperblock;
  /** The one whose writing has begun, and may be on the base; null when it is known. */
  #begun: FtlSuperblock | null = null;
  /** Kept for as long as it is open: others must not keep a superblock from disk. */
  readonly #chunk: { readonly at: number; readonly bytes: number };

  constructor(reactor: Reactor, base: BlockDevice, current: FtlSuperblock) {
    this.#reactor = reactor;
    this.#base = base;
    this.#current = current;
    const bytes = chunkBytes(base, superblockCopyBytes(current.shape));
    this.#chunk = { at: reactor.arena.allocate(bytes), bytes };
  }

  dispose(): void {
    this.#reactor.arena.release(this.#chunk.at, this.#chunk.bytes);
  }

  get current(): FtlSuperblock {
    return this.#current;
  }

  /** The base may say that this NV cache is in use: also where writing that down has failed. */
  mayName(uuid: string): boolean {
    return [this.#current, this.#begun].some((one) => one?.cache?.uuid === uuid);
  }

  /**
   * Writes the copy that a start goes by once more, before anything is done that is built on it. A
   * crash may have interrupted it: then an array below has it on one mirror only, or with parity
   * that does not match, and a second crash and the loss of a member would leave no copy at all.
   */
  async confirm(): Promise<void> {
    await this.#put(this.#current);
    await flushDevice(this.#base);
  }

  /**
   * Durable when it resolves. Everything that it names has to be durable before. `flush` takes the
   * place of a flush of the base; it throws when it has failed.
   */
  async write(changes: Partial<FtlSuperblock>, flush?: () => Promise<void>): Promise<void> {
    const next = { ...this.#current, ...changes, sequence: this.#current.sequence + 1 };
    this.#begun = next;
    await this.#put(next);
    await (flush === undefined ? flushDevice(this.#base) : flush());
    this.#current = next;
    this.#begun = null;
  }

  async #put(superblock: FtlSuperblock): Promise<void> {
    const bytes = encodeFtlSuperblock(superblock);
    const at = superblockCopy(superblock.sequence) * superblockCopyBytes(superblock.shape);
    await writeChunks(this.#base, at, bytes, this.#reactor, this.#chunk);
  }
}

/** Writes the copy whose turn it is, and flushes. */
export async function writeSuperblock(
  reactor: Reactor,
  base: BlockDevice,
  superblock: FtlSuperblock,
): Promise<void> {
  const bytes = encodeFtlSuperblock(superblock);
  const at = superblockCopy(superblock.sequence) * superblockCopyBytes(superblock.shape);
  await writeUnits(reactor, base, at, bytes);
  await flushDevice(base);
}

/** How much of so many bytes is written at once. */
function chunkBytes(base: BlockDevice, bytes: number): number {
  const step = writeStepBytes(base.geometry);
  const { blockBytes, requestBlocksMax } = base.geometry;
  const most = Math.max(step, Math.min(WRITE_BYTES, requestBlocksMax * blockBytes));
  return Math.min(bytes, Math.floor(most / step) * step);
}

async function writeChunks(
  base: BlockDevice,
  at: number,
  bytes: Uint8Array,
  { arena }: Reactor,
  chunk: { readonly at: number; readonly bytes: number },
): Promise<void> {
  const { blockBytes } = base.geometry;
  for (let done = 0; done < bytes.length; done += chunk.bytes) {
    const part = bytes.subarray(done, done + chunk.bytes);
    arena.u8.set(part, chunk.at);
    const [block, count] = [(at + done) / blockBytes, part.length / blockBytes];
    await submitOrThrow(base, OP_WRITE, block, count, chunk.at);
  }
}

/** Writes whole units, so many at once as make a sensible operation. */
export async function writeUnits(
  reactor: Reactor,
  base: BlockDevice,
  at: number,
  bytes: Uint8Array,
): Promise<void> {
  const length = chunkBytes(base, bytes.length);
  const chunk = { at: reactor.arena.allocate(length), bytes: length };
  try {
    await writeChunks(base, at, bytes, reactor, chunk);
  } finally {
    reactor.arena.release(chunk.at, chunk.bytes);
  }
}
