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
import { EIO, OK } from '../block/status.ts';
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

/** Told about single members; called from a reactor turn. */
export interface MemberObserver {
  /** A child operation has failed on a member that is present. */
  memberError(slot: number, op: Op, status: number): void;
}

/** Keeps an array's metadata true; without one no member is ejected. Called from reactor turns. */
export interface ArrayKeeper extends MemberObserver {
  /** A member has left service. To be recorded; then `lossRecorded`, before which answers wait. */
  memberEjected(slot: number, status: number): void;
  /** The target of a rebuild has failed; the array has let go of it. */
  targetLost(target: Target, status: number): void;
  /** Blocks of a member that could not be read have been written again. */
  blocksRepaired(slot: number, blockCount: number): void;
  /** Members may differ in a range since a write that failed: a resync is due. */
  rangeDistrusted(): void;
  /** While it asks for it: how long an operation of the layer above took. */
  readonly wantsLatency: boolean;
  foregroundDone(latencyUs: number): void;
}
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
  protected readonly redundant: boolean;
  protected readonly gate = new LossGate();
  protected keeper: ArrayKeeper | null = null;
  protected intent: WriteIntent | null = null;
  /** Null while the array is closed. */
  protected runner: PieceRunner | null = null;
  protected ring: Reactor | null = null;
  protected shape: Geometry | null = null;
  protected failed = false;
  /** Told when nothing is in flight any more. */
  protected drained: (() => void) | null = null;

  constructor(spec: ArraySpec, steadyReads: boolean) {
    this.blockBytes = spec.blockBytes;
    this.stripBlocks = spec.stripBlocks;
    this.steadyReads = steadyReads;
    this.table = new ArrayMembers(spec);
    this.redundant = this.table.rules.tolerates(spec.members.length) > 0;
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
    assert(checkIo(this.shape!, io) === OK, 'the operation fits the array');
    this.runner.submit(io);
  }

  /** What changes something at a level with redundancy takes its lock and its intent first. */
  begin(piece: Piece): void {
    if (this.keeper?.wantsLatency === true) piece.startUs = this.reactor.nowUs();
    if (this.redundant && piece.op !== OP_READ) this.lock(piece, false);
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
    if (io !== null && this.keeper?.wantsLatency === true) this.#tellLatency(piece);
    const { lock } = piece;
    if (lock.held) this.locks.release(lock);
    this.runner!.end(piece, verdict);
    if (io !== null) this.gate.answer(io, verdict);
    if (this.drained !== null && this.isIdle) this.drained();
  }

  #tellLatency(piece: Piece): void {
    if (piece.startUs === 0) return;
    this.keeper!.foregroundDone(this.reactor.nowUs() - piece.startUs);
    piece.startUs = 0;
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
    const bearable = this.redundant && this.keeper !== null && this.table.bears(failing);
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

  /** The size of an array follows its superblock, not its members. */
  deviceResized(_device: BlockDevice): void {}

  // --- what the keeper does ---------------------------------------------------------------------

  /** From now on members are ejected, and writes wait for their intent (null: never). */
  keep(keeper: ArrayKeeper, intent: WriteIntent | null): void {
    assert(this.locks.idle, 'nothing is in flight when an array gets its keeper');
    this.keeper = keeper;
    this.intent = intent;
  }

  /** True when the array can do without the member and somebody can record it. */
  mayEject(slot: number): boolean {
    const inService = this.members[slot]!.device !== null;
    return inService && this.redundant && this.keeper !== null && this.table.bears(1);
  }

  eject(slot: number, as: 'failed' | 'missing', status: number): void {
    assert(this.mayEject(slot), 'a member that is ejected is one that the array can do without');
    this.table.eject(slot, as, status);
    this.gate.close();
    this.intent?.missAll();
    this.keeper!.memberEjected(slot, status);
  }

  metadataFailed(slot: number, status: number): void {
    this.noteError(slot, OP_WRITE, status);
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

  get isRedundant(): boolean {
    return this.redundant;
  }

  get incomplete(): boolean {
    return this.table.absent > 0;
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
    return this.redundant && (this.geometry.features & FEATURE_READ_ONLY) === 0;
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

  /** From now on the target gets every write. Its device is open. */
  attachTarget(target: Target): void {
    assert(this.table.target === null, 'one target at a time');
    this.table.target = target;
    target.device.observer = this;
    this.table.refresh();
  }

  /** Nothing more is sent to the target; its device stays open. */
  detachTarget(): Target {
    const { target } = this.table;
    assert(target !== null, 'there is a target');
    if (this.intent !== null) this.intent.safeBelow = 0;
    target.device.observer = null;
    this.table.target = null;
    this.table.refresh();
    return target;
  }

  targetFailed(status: number): void {
    if (this.table.target === null) return;
    this.keeper?.targetLost(this.detachTarget(), status);
  }
}

function makeLevel(name: LevelName, host: LevelHost): Level {
  if (name === 'raid0') return new Raid0(host);
  if (name === 'raid1') return new Raid1(host);
  if (name === 'raid5f') return new Raid5f(host);
  return new Concat(host);
}
