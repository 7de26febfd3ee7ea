/**
 * ArrayCopies: the ways in which an array can read a range, for a layer above that knows what is
 * right.                                                                          (control plane)
 *
 *   raid1    each member in service is read, all of them under one lock
 *   raid5f   the range as it is; then, for each member that holds a part of it, with this part
 *            computed from all others: one member at a time is taken for the liar
 *
 * Under the exclusive lock of the whole stripes no write, repair, resync or rebuild is under way
 * there, so what is read together belongs together. What is right goes to the members that had
 * something else, and to a target that may have been given it. No write intent is needed: a repair
 * that a crash has torn leaves what it found, something wrong on the same member. A write that
 * fails is judged as any repair: the member leaves service where the array bears that, and what it
 * has missed is noted.
 *
 * Operations go to the members directly, past pieces and queues, as those of the processes do.
 */

import { assert } from '../block/assert.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { FLAG_BACKGROUND, OP_READ, OP_WRITE, type Op } from '../block/block-io.ts';
import { submitStatus } from '../block/control-io.ts';
import type { Mended, MendRequest, Redundancy } from '../block/redundancy.ts';
import { ENODEV, OK } from '../block/status.ts';
import { AwaitedLock } from './awaited-lock.ts';
import type { RaidArray } from './raid-array.ts';

/** A part of a range that lies on one member. */
interface Part {
  /** Of the member that holds it; of a mirror, the member that is in question. */
  readonly slot: number;
  /** Counted from the start of the member's data. */
  readonly block: number;
  readonly blockCount: number;
  /** Blocks of the range before it. */
  readonly within: number;
}

/** Nobody is taken for the liar. */
const NOBODY = -1;

/** Null for an array that keeps everything once. */
export function redundancyOf(array: RaidArray): Redundancy | null {
  return array.isRedundant ? new ArrayCopies(array) : null;
}

class ArrayCopies implements Redundancy {
  readonly copyCount: number;
  readonly #array: RaidArray;
  readonly #isMirror: boolean;
  /** Blocks of a stripe; 1 for mirrors. */
  readonly #unitBlocks: number;
  /** Work area of the XOR kernel. */
  readonly #sources = new Uint32Array(2);

  constructor(array: RaidArray) {
    const { level, members, stripBlocks } = array.spec;
    this.#array = array;
    this.#isMirror = level === 'raid1';
    this.#unitBlocks = this.#isMirror ? 1 : stripBlocks * (members.length - 1);
    this.copyCount = this.#isMirror ? members.length : 1;
  }

  async readCopy(copy: number, block: number, count: number, buffer: number): Promise<number> {
    assert(copy < this.copyCount, 'a copy that is read is one of those there are');
    if (!this.#isMirror) {
      return await submitStatus(this.#array, OP_READ, block, count, buffer, FLAG_BACKGROUND);
    }
    return await this.#read({ slot: copy, block, blockCount: count, within: 0 }, buffer);
  }

  async mend(request: MendRequest): Promise<Mended> {
    const unit = this.#unitBlocks;
    const first = Math.floor(request.block / unit) * unit;
    const end = Math.ceil((request.block + request.blockCount) / unit) * unit;
    const lock = new AwaitedLock(this.#array.locks, first, end);
    await lock.acquire();
    try {
      return await (this.#isMirror ? this.#mendMirror(request) : this.#mendParity(request));
    } finally {
      lock.release();
    }
  }

  // --- mirrors ----------------------------------------------------------------------------------

  async #mendMirror(request: MendRequest): Promise<Mended> {
    const { block, blockCount, buffer } = request;
    const { kernels } = this.#array.reactor;
    const bytes = blockCount * this.#array.blockBytes;
    const wrong: Part[] = [];
    let found = false;
    let status = OK;
    for (const { slot } of this.#array.members) {
      const part = { slot, block, blockCount, within: 0 };
      const read = await this.#read(part, buffer);
      // It is not in service, or has left while it was asked: it has nothing to say.
      if (this.#array.members[slot]!.device === null) continue;
      if (read === OK && request.isRight()) {
        if (!found) kernels.copy(buffer + bytes, buffer, bytes);
        found = true;
      } else {
        wrong.push(part);
        if (read !== OK) status = read;
      }
    }
    if (found) kernels.copy(buffer, buffer + bytes, bytes);
    return await this.#conclude(request, found, status, wrong);
  }

  // --- parity -----------------------------------------------------------------------------------

  async #mendParity(request: MendRequest): Promise<Mended> {
    const parts = this.#parts(request);
    const suspects = [NOBODY, ...new Set(parts.map(({ slot }) => slot))];
    let status = OK;
    for (const suspect of suspects) {
      const read = await this.#assemble(request, parts, suspect);
      if (read !== OK) {
        status = read;
      } else if (request.isRight()) {
        const wrong = parts.filter(({ slot }) => slot === suspect);
        return await this.#conclude(request, true, status, wrong);
      }
    }
    return await this.#conclude(request, false, status, parts);
  }

  /** Where the range lies. */
  #parts({ block, blockCount }: MendRequest): Part[] {
    const { members, stripBlocks } = this.#array.spec;
    const parts: Part[] = [];
    let within = 0;
    while (within < blockCount) {
      const at = block + within;
      const stripe = Math.floor(at / this.#unitBlocks);
      const inStripe = at - stripe * this.#unitBlocks;
      const chunk = Math.floor(inStripe / stripBlocks);
      const offset = inStripe - chunk * stripBlocks;
      const count = Math.min(blockCount - within, stripBlocks - offset);
      const parity = members.length - 1 - (stripe % members.length);
      const slot = chunk < parity ? chunk : chunk + 1;
      parts.push({ slot, block: stripe * stripBlocks + offset, blockCount: count, within });
      within += count;
    }
    return parts;
  }

  /** Reads the range; what `suspect`, or a member that is out of service, holds is computed. */
  async #assemble(
    { buffer, blockCount }: MendRequest,
    parts: readonly Part[],
    suspect: number,
  ): Promise<number> {
    const { blockBytes, members } = this.#array;
    const scratch = buffer + blockCount * blockBytes;
    for (const part of parts) {
      const into = buffer + part.within * blockBytes;
      const isAbsent = members[part.slot]!.device === null;
      const status =
        part.slot === suspect || isAbsent
          ? await this.#compute(part, into, scratch)
          : await this.#read(part, into);
      if (status !== OK) return status;
    }
    return OK;
  }

  /** The part as all other members say, one after another. */
  async #compute(part: Part, into: number, scratch: number): Promise<number> {
    const { blockBytes, members, reactor } = this.#array;
    const bytes = part.blockCount * blockBytes;
    reactor.kernels.zero(into, bytes);
    for (const { slot } of members) {
      if (slot === part.slot) continue;
      const status = await this.#read({ ...part, slot }, scratch);
      if (status !== OK) return status;
      this.#sources[0] = into;
      this.#sources[1] = scratch;
      reactor.kernels.xor(into, this.#sources, 2, bytes);
    }
    return OK;
  }

  // --- members ----------------------------------------------------------------------------------

  /** Writes what is right, which is in the buffer, where it is not, if that is wanted. */
  async #conclude(
    request: MendRequest,
    found: boolean,
    status: number,
    wrong: readonly Part[],
  ): Promise<Mended> {
    const slots = [...new Set(wrong.map(({ slot }) => slot))];
    const result = { found, status, wrong: slots };
    if (!found || !request.repair || !this.#array.mayRepair) return { ...result, repaired: [] };
    const failed = new Set<number>();
    for (const part of wrong) {
      const from = request.buffer + part.within * this.#array.blockBytes;
      if (!(await this.#write(part, from))) failed.add(part.slot);
      await this.#writeTarget(part, from);
    }
    return { ...result, repaired: slots.filter((slot) => !failed.has(slot)) };
  }

  #read(part: Part, into: number): Promise<number> {
    return this.#submit(OP_READ, part, into);
  }

  /** True when the member has it now. */
  async #write(part: Part, from: number): Promise<boolean> {
    const array = this.#array;
    const status = await this.#submit(OP_WRITE, part, from);
    if (status === OK) {
      array.repaired(part.slot, part.blockCount);
      return true;
    }
    if (status === ENODEV && array.members[part.slot]!.device === null) return false;
    const perUnit = this.#isMirror ? 1 : this.#unitBlocks / array.stripBlocks;
    const strip = this.#isMirror ? 1 : array.stripBlocks;
    const first = Math.floor(part.block / strip) * strip;
    const end = Math.ceil((part.block + part.blockCount) / strip) * strip;
    array.repairFailed(part.slot, status, first * perUnit, end * perUnit);
    return false;
  }

  /** A target of this slot, or of any slot of a mirror, may have been given what was wrong. */
  async #writeTarget(part: Part, from: number): Promise<void> {
    const { target } = this.#array;
    if (target === null || !(this.#isMirror || target.slot === part.slot)) return;
    const at = target.dataOffset + part.block;
    const isThere = (): boolean => this.#array.target === target;
    const status = await this.#steps(OP_WRITE, target.device, isThere, at, part.blockCount, from);
    if (status !== OK && isThere()) this.#array.targetFailed(status);
  }

  async #submit(op: Op, part: Part, buffer: number): Promise<number> {
    const member = this.#array.members[part.slot]!;
    const { dataOffset, device } = member;
    if (device === null) return ENODEV;
    const isThere = (): boolean => member.device === device;
    const at = dataOffset + part.block;
    const status = await this.#steps(op, device, isThere, at, part.blockCount, buffer);
    // A write that fails is counted where it is judged.
    if (status !== OK && op === OP_READ && isThere()) this.#array.noteError(part.slot, op, status);
    return status;
  }

  /** In as many operations as the device takes; none to a device that has left meanwhile. */
  async #steps(
    op: Op,
    device: BlockDevice,
    isThere: () => boolean,
    block: number,
    blockCount: number,
    buffer: number,
  ): Promise<number> {
    const { blockBytes, requestBlocksMax } = device.geometry;
    for (let done = 0; done < blockCount; done += requestBlocksMax) {
      if (!isThere()) return ENODEV;
      const count = Math.min(requestBlocksMax, blockCount - done);
      const at = buffer + done * blockBytes;
      const status = await submitStatus(device, op, block + done, count, at, FLAG_BACKGROUND);
      if (status !== OK) return status;
    }
    return OK;
  }
}
