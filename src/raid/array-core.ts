/**
 * ArrayCore: the way of an operation through an array, and the verdict on it.         (data plane)
 *
 *   submit ─▶ piece(s) ─▶ lock the range ─▶ write intent on disk ─▶ level ─▶ members
 *                                                                              │
 *   answer ◀─ (parked until a loss is recorded) ◀─ verdict ◀─ all children back ◀
 *
 * Locks and intent are for levels with redundancy: the others have nothing that could differ.
 *
 * The verdict (`#verdict`)
 *   - A read is retried from redundancy by the level, which writes the good data back.
 *   - When some members failed to write, and the level bears their loss, they are ejected, and the
 *     operation has succeeded. Its answer is parked until the keeper (array-manager.ts) has
 *     recorded the loss on the others.
 *   - When the level does not bear it, or there is nobody to record it, the operation fails with
 *     the first errno and nobody is ejected. What it wrote may differ between members: the range is
 *     distrusted until a resync.
 *   - A failed trim never costs a member its place: it is a hint.
 *   - A flush that fails ejects the member; where that cannot be, it fails for good, because what
 *     it should have made durable does not come back.
 *
 * FUA is always offered. Members that lack it are flushed after the write, each once.
 *
 * Not here: sizes and life cycle (raid-array.ts), pools and queues (piece-runner.ts), what a piece
 * does (level.ts), recording what happened (array-manager.ts).
 */

import { assert } from '../block/assert.ts';
import {
  type BlockDevice,
  checkIo,
  type DeviceObserver,
  FEATURE_READ_ONLY,
  FEATURE_TRIM,
  FEATURE_WRITE_ZEROES,
  type Geometry,
} from '../block/block-device.ts';
import {
  type BlockIo,
  FLAG_FUA,
  OP_FLUSH,
  OP_READ,
  OP_TRIM,
  OP_WRITE,
  type Op,
} from '../block/block-io.ts';
import type { Reactor } from '../block/reactor.ts';
import { EIO, EOPNOTSUPP, ETIMEDOUT, OK } from '../block/status.ts';
import type { ArrayKeeper, MemberObserver } from './array-keeper.ts';
import { ArrayMembers } from './array-members.ts';
import type { ArraySpec } from './array-spec.ts';
import { Concat } from './concat.ts';
import type { Level, LevelHost } from './level.ts';
import type { LevelName } from './level-rules.ts';
import { LossGate } from './loss-gate.ts';
import { FUA_DROP, FUA_FLUSH, FUA_PASS, type Member, type Target } from './member.ts';
import {
  FAILED_READ,
  FAILED_WRITE,
  type Piece,
  SLOT_BITS,
  SLOT_MASK,
  SLOT_TARGET,
} from './piece.ts';
import type { PieceHost, PieceRunner } from './piece-runner.ts';
import { Raid0 } from './raid0.ts';
import { Raid1 } from './raid1.ts';
import { Raid5f } from './raid5f.ts';
import { RangeLocks } from './range-locks.ts';
import type { WriteIntent } from './write-intent.ts';

export abstract class ArrayCore implements LevelHost, PieceHost, DeviceObserver {
  readonly blockBytes: number;
  readonly stripBlocks: number;
  readonly locks = new RangeLocks();
  /** Without a keeper: set by a crash, and by a write that one member has and another has not. */
  steadyReads: boolean;
  observer: DeviceObserver | null = null;
  memberObserver: MemberObserver | null = null;
  protected readonly table: ArrayMembers;
  protected readonly level: Level;
  readonly isRedundant: boolean;
  protected readonly gate = new LossGate();
  protected keeper: ArrayKeeper | null = null;
  protected intent: WriteIntent | null = null;
  /** Null while the array is closed. */
  protected runner: PieceRunner | null = null;
  protected ring: Reactor | null = null;
  protected shape: Geometry | null = null;
  protected failed = false;
  /** True while labels name a target of a replacement that does not get the writes. */
  protected targetAway = false;
  /** Told when nothing is in flight any more. */
  protected drained: (() => void) | null = null;

  constructor(spec: ArraySpec, steadyReads: boolean) {
    this.blockBytes = spec.blockBytes;
    this.stripBlocks = spec.stripBlocks;
    this.steadyReads = steadyReads;
    this.table = new ArrayMembers(spec);
    this.isRedundant = this.table.rules.tolerates(spec.members.length) > 0;
    this.level = makeLevel(spec.level, this);
  }

  /** The array as a device, for its observer. */
  protected abstract get asDevice(): BlockDevice;

  get members(): readonly Member[] {
    return this.table.slots;
  }

  get geometry(): Geometry {
    assert(this.shape !== null, 'an array that is asked for its geometry was opened');
    return this.shape;
  }

  get reactor(): Reactor {
    assert(this.ring !== null, 'an array that works is open');
    return this.ring;
  }

  protected get isIdle(): boolean {
    return this.runner?.idle === true && this.gate.parked === 0;
  }

  // --- operations -------------------------------------------------------------------------------

  // data path

  submit(io: BlockIo): void {
    assert(this.runner !== null, 'an array that is submitted to is open');
    const refusal = checkIo(this.shape!, io);
    if (refusal === EOPNOTSUPP) {
      // A member came that cannot do it, after the operation was checked above.
      this.reactor.finish(io, refusal);
      return;
    }
    assert(refusal === OK, 'the operation fits the array');
    this.runner.submit(io);
  }

  /** What changes something at a level with redundancy takes its lock and its intent first. */
  begin(piece: Piece): void {
    if (this.keeper?.wantsLatency === true) piece.startUs = this.reactor.nowUs();
    if (this.isRedundant && piece.op !== OP_READ) this.lock(piece, false);
    else this.level.start(piece);
  }

  beginFlush(piece: Piece, slot: number): void {
    this.send(piece, piece.children[0]!, slot, OP_FLUSH, 0, 0, 0, 0);
  }

  answer(io: BlockIo, status: number): void {
    this.gate.answer(io, status);
  }

  get emulatesFua(): boolean {
    return this.table.emulatesFua;
  }

  lock(piece: Piece, shared: boolean): void {
    const { lock } = piece;
    const unit = this.level.writeUnitBlocks;
    lock.first = Math.floor(piece.block / unit) * unit;
    lock.end = Math.ceil((piece.block + piece.blockCount) / unit) * unit;
    lock.shared = shared;
    if (this.locks.acquire(lock)) this.pieceLocked(piece);
  }

  pieceLocked(piece: Piece): void {
    const { lock } = piece;
    if (this.intent !== null && !lock.shared) {
      piece.intended = true;
      if (!this.intent.mark(lock.first, lock.end, piece)) return;
    }
    this.#go(piece);
  }

  pieceIntended(piece: Piece): void {
    if (piece.intentStatus !== 0) this.finish(piece, piece.intentStatus);
    else this.#go(piece);
  }

  #go(piece: Piece): void {
    // A member, or a target, that cannot do it may have come while the piece waited.
    if (piece.op > OP_FLUSH && !this.#offers(piece.op)) {
      this.finish(piece, EOPNOTSUPP);
      return;
    }
    if (piece.op === OP_READ) this.level.locked(piece);
    else this.level.start(piece);
  }

  send(
    piece: Piece,
    child: BlockIo,
    slot: number,
    op: Op,
    flags: number,
    block: number,
    blockCount: number,
    buffer: number,
  ): void {
    const member = this.members[slot]!;
    child.op = op;
    child.flags = flags;
    child.block = op === OP_FLUSH ? 0 : member.dataOffset + block;
    child.blockCount = blockCount;
    child.buffer = buffer;
    child.cookie = (piece.index << SLOT_BITS) | slot;
    if ((flags & FLAG_FUA) !== 0) {
      const fua = op === OP_READ ? FUA_DROP : member.fua;
      if (fua !== FUA_PASS) child.flags = flags & ~FLAG_FUA;
      if (fua === FUA_FLUSH) piece.request!.touched[slot] = 1;
    }
    member.device!.submit(child);
  }

  sendToTarget(
    piece: Piece,
    op: Op,
    flags: number,
    block: number,
    blockCount: number,
    buffer: number,
  ): void {
    const target = this.table.target!;
    const child = piece.children[this.members.length]!;
    child.op = op;
    // It is flushed before anybody relies on it.
    child.flags = flags & ~FLAG_FUA;
    child.block = target.dataOffset + block;
    child.blockCount = blockCount;
    child.buffer = buffer;
    child.cookie = (piece.index << SLOT_BITS) | SLOT_TARGET;
    target.device.submit(child);
  }

  #offers(op: Op): boolean {
    const need = op === OP_TRIM ? FEATURE_TRIM : FEATURE_WRITE_ZEROES;
    return (this.shape!.features & need) !== 0;
  }

  /** A child has come back. */
  complete(child: BlockIo): void {
    const piece = this.runner!.piece(child.cookie >>> SLOT_BITS);
    const slot = child.cookie & SLOT_MASK;
    if (child.status !== 0) this.#childFailed(piece, child, slot);
    if (piece.op === OP_FLUSH) this.finish(piece, this.#flushVerdict(slot));
    else this.level.childDone(piece, child, slot);
  }

  finish(piece: Piece, status: number): void {
    const { io } = piece;
    const verdict = piece.failureCount === 0 ? status : this.#verdict(piece, status);
    if (piece.intended) {
      piece.intended = false;
      this.intent!.unmark(piece.lock.first, piece.lock.end);
    }
    if (piece.startUs !== 0) this.#tellLatency(piece);
    const { lock } = piece;
    if (lock.held) this.locks.release(lock);
    this.runner!.end(piece, verdict);
    if (io !== null) this.gate.answer(io, verdict);
    if (this.drained !== null && this.isIdle) this.drained();
  }

  #tellLatency(piece: Piece): void {
    if (!this.keeper!.wantsLatency) return;
    this.keeper!.foregroundDone(this.reactor.nowUs() - piece.startUs);
  }

  // end data path

  // --- failures ---------------------------------------------------------------------------------

  #childFailed(piece: Piece, child: BlockIo, slot: number): void {
    if (slot === SLOT_TARGET) {
      this.targetFailed(child.status);
      return;
    }
    const kind = child.op === OP_READ ? FAILED_READ : FAILED_WRITE;
    // What a failed flush has lost, the next one does not bring back: it is never trusted again.
    if (child.op === OP_FLUSH) this.members[slot]!.flushStatus = child.status;
    else piece.noteFailure(slot, kind, child.status);
    this.noteError(slot, child.op, child.status);
  }

  /** Counts an error of a member, and tells. */
  noteError(slot: number, op: Op, status: number): void {
    const member = this.members[slot]!;
    if (op === OP_READ) member.readErrors += 1;
    else member.writeErrors += 1;
    this.keeper?.memberError(slot, op, status);
    this.memberObserver?.memberError(slot, op, status);
  }

  /** Decides what the failures of a piece's children mean; `status` is the level's view. */
  #verdict(piece: Piece, status: number): number {
    let failing = 0;
    for (const { slot, device } of this.members) {
      if (piece.failures[slot] === FAILED_WRITE && device !== null) failing += 1;
    }
    const isRead = piece.op === OP_READ;
    const bearable = this.isRedundant && this.keeper !== null && this.table.bears(failing);
    if (bearable && (piece.op !== OP_TRIM || failing === 0)) {
      for (const { slot, device } of this.members) {
        if (piece.failures[slot] !== FAILED_WRITE || device === null) continue;
        this.eject(slot, 'failed', piece.status);
      }
      return isRead ? status : OK;
    }
    if (!isRead) this.#distrust(piece);
    return status;
  }

  #distrust(piece: Piece): void {
    this.steadyReads = true;
    if (this.intent === null) return;
    this.intent.distrust(piece.lock.first, piece.lock.end);
    this.keeper!.rangeDistrusted();
  }

  #flushVerdict(slot: number): number {
    const { device, flushStatus } = this.members[slot]!;
    if (flushStatus === 0 || device === null) return OK;
    if (!this.mayEject(slot)) return flushStatus;
    this.eject(slot, 'failed', flushStatus);
    return OK;
  }

  deviceFailed(device: BlockDevice, status: number): void {
    if (this.table.target?.device === device) {
      this.targetFailed(status || EIO);
      return;
    }
    const slot = this.table.slotOf(device);
    if (slot === -1) return;
    if (this.mayEject(slot)) {
      this.eject(slot, 'missing', status || EIO);
      return;
    }
    const member = this.members[slot]!;
    if (member.failedStatus === 0) member.failedStatus = status || EIO;
    const lost = this.members.filter((one) => one.device === null || one.failedStatus !== 0).length;
    if (this.failed || lost <= this.table.rules.tolerates(this.members.length)) return;
    this.fail(status);
  }

  /** The array cannot give back what was written to it: told once. */
  fail(status: number): void {
    if (this.failed) return;
    this.failed = true;
    this.observer?.deviceFailed(this.asDevice, status);
  }

  get hasFailed(): boolean {
    return this.failed;
  }

  /**
   * The size of an array follows its superblock, which the keeper may let grow. The device need not
   * be a member yet: one that is about to become it is told only now.
   */
  deviceResized(device: BlockDevice): void {
    this.keeper?.memberResized(device);
  }

  /** A member that does not answer is one that has failed, if the array can do without it. */
  deviceOverdue(device: BlockDevice): boolean {
    if (this.table.target?.device === device) {
      this.targetFailed(ETIMEDOUT);
      return true;
    }
    const slot = this.table.slotOf(device);
    if (slot === -1) return true;
    if (!this.mayEject(slot)) return false;
    this.eject(slot, 'failed', ETIMEDOUT);
    return true;
  }

  // --- what the keeper does ---------------------------------------------------------------------

  /** From now on members are ejected, and writes wait for their intent (null: never). */
  keep(keeper: ArrayKeeper, intent: WriteIntent | null): void {
    assert(this.keeper === null && this.locks.idle, 'an array gets its keeper before any work');
    this.keeper = keeper;
    this.intent = intent;
  }

  /** Another intent for an array that has grown; nothing that changes something is in flight. */
  exchangeIntent(intent: WriteIntent): void {
    assert(this.intent !== null, 'an array without intent has none to exchange');
    this.intent = intent;
  }

  /** True when the array can do without the member and somebody can record it. */
  mayEject(slot: number): boolean {
    const inService = this.members[slot]!.device !== null;
    return inService && this.isRedundant && this.keeper !== null && this.table.bears(1);
  }

  eject(slot: number, as: 'failed' | 'missing', status: number): void {
    assert(this.mayEject(slot), 'a member that is ejected is one that the array can do without');
    this.table.eject(slot, as, status);
    this.gate.close();
    this.intent?.missAll();
    this.keeper!.memberEjected(slot, status);
  }

  metadataFailed(slot: number, status: number, op: Op = OP_WRITE): void {
    // A flush of our own may be the one that hears what user data has been lost.
    if (op === OP_FLUSH) this.members[slot]!.flushStatus = status;
    this.noteError(slot, op, status);
    if (this.mayEject(slot)) this.eject(slot, 'failed', status);
  }

  /** All losses are on record: what waited for that is answered. */
  lossRecorded(): void {
    if (this.gate.isClosed) this.gate.open(OK);
    if (this.drained !== null && this.isIdle) this.drained();
  }

  /** The metadata cannot be kept true: from now on nothing is changed, and the array has failed. */
  refuseChanges(status: number): void {
    this.gate.close();
    this.gate.open(status);
    this.fail(status);
    if (this.drained !== null && this.isIdle) this.drained();
  }

  get incomplete(): boolean {
    return this.table.absent > 0;
  }

  /** A slot is empty, or a replacement goes on later with a target that lacks what comes now. */
  get keepsMissed(): boolean {
    return this.table.absent > 0 || this.targetAway;
  }

  get absent(): number {
    return this.table.absent;
  }

  get target(): Target | null {
    return this.table.target;
  }

  get targetSlot(): number {
    return this.table.target?.slot ?? -1;
  }

  get targetDevice(): BlockDevice | null {
    return this.table.target?.device ?? null;
  }

  get memberBlocksMax(): number {
    return this.table.blocksMax;
  }

  get mayRepair(): boolean {
    return this.isRedundant && (this.geometry.features & FEATURE_READ_ONLY) === 0;
  }

  readsSteadily(block: number, blockCount: number): boolean {
    const intent = this.intent;
    if (intent === null) return this.steadyReads;
    return intent.unsyncedCount > 0 && intent.isUnsynced(block, block + blockCount);
  }

  repaired(slot: number, blockCount: number): void {
    this.members[slot]!.repairedBlocks += blockCount;
    this.keeper?.blocksRepaired(slot, blockCount);
  }

  /** What the array offers may have changed with its members. */
  protected abstract membersChanged(): void;

  abstract targetFailed(status: number): void;
}

function makeLevel(name: LevelName, host: LevelHost): Level {
  if (name === 'raid0') return new Raid0(host);
  if (name === 'raid1') return new Raid1(host);
  if (name === 'raid5f') return new Raid5f(host);
  return new Concat(host);
}
