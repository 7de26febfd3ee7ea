/**
 * MetadataKeeper: writes down who is out, before anybody relies on it.              (control plane)
 *
 * The array decides that a member has to leave; this is where the others learn of it. Changes of
 * metadata are done one after another (`serial`), and this class and those above it are the only
 * writers of superblocks and labels while the array is open.
 *
 *   a member leaves   missed ⊇ intent on the bitmap → superblock + 1 on all others → answers go out
 *                     → labels
 *
 * A device that does not take the record leaves, too, and it starts over with the next sequence. If
 * the array cannot do without it, nothing is changed from then on.
 */

import { assert } from '../block/assert.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { OP_READ, type Op, opName } from '../block/block-io.ts';
import { BandstandError } from '../block/errors.ts';
import type { Reactor } from '../block/reactor.ts';
import { EIO, OK, statusName, statusText } from '../block/status.ts';
import type { ArrayAddress } from './array-address.ts';
import { type ArrayEvent, arrayEvent, type EventParts } from './array-events.ts';
import type { ArrayKeeper } from './array-keeper.ts';
import type { ArrayMetadata, FailedPlace, Place } from './array-metadata.ts';
import { levelRules } from './level-rules.ts';
import type { Target } from './member.ts';
import type { ProcessTuning } from './process-host.ts';
import type { RaidArray } from './raid-array.ts';
import type { WriteIntent } from './write-intent.ts';

export interface ManagerOptions {
  readonly readOnly?: boolean;
  readonly depth?: number;
  /** Spares and returning members are taken without being asked. Default true. */
  readonly autoRebuild?: boolean;
  /** Blocks of a region of the bitmap, a power of two; chosen from the size when absent. */
  readonly regionBlocks?: number;
  readonly intentIdleUs?: number;
  readonly checkpointUs?: number;
  /** A layer above will say which blocks it needs (`attachSpace`); no process begins before. */
  readonly expectsSpace?: boolean;
  readonly process?: Partial<ProcessTuning>;
  /** See RaidArrayOptions.address. */
  readonly address?: ArrayAddress;
}

export interface ManagerObserver {
  arrayEvent(event: ArrayEvent): void;
}

export abstract class MetadataKeeper implements ArrayKeeper {
  readonly array: RaidArray;
  protected readonly reactor: Reactor;
  protected readonly options: ManagerOptions;
  /** Null in an array that is not written to. */
  protected metadata: ArrayMetadata | null = null;
  /** Null without redundancy. */
  protected intent: WriteIntent | null = null;
  protected closing = false;
  readonly #observer: ManagerObserver;
  /** Slots whose ejection is not on record yet. */
  readonly #unrecorded = new Set<number>();
  /** Devices that are being let go of: the kernel may keep them for long. */
  readonly #closings = new Set<Promise<void>>();
  #queue: Promise<unknown> = Promise.resolve();
  #queued = 0;

  protected constructor(
    reactor: Reactor,
    array: RaidArray,
    options: ManagerOptions,
    observer: ManagerObserver,
  ) {
    this.reactor = reactor;
    this.array = array;
    this.options = options;
    this.#observer = observer;
  }

  abstract memberResized(device: BlockDevice): void;
  abstract get wantsLatency(): boolean;
  abstract foregroundDone(latencyUs: number): void;
  /** The array has let go of the target of the rebuild. */
  protected abstract targetGone(target: Target, status: number): void;
  /** True when a spare takes the place of what is lost. */
  protected abstract get hasSpare(): boolean;
  /** Looks for what to do next; one of the serial changes. */
  protected abstract next(): Promise<void>;

  // --- one change after another -----------------------------------------------------------------

  protected serial<T>(work: () => Promise<T>): Promise<T> {
    this.#queued += 1;
    const result = this.#queue.then(work).finally(() => {
      this.#queued -= 1;
    });
    this.#queue = result.catch(() => {});
    return result;
  }

  /** True while metadata is being changed, or will be. */
  get isBusy(): boolean {
    return this.#queued > 0;
  }

  /** Looks for what to do next, when what is under way is done. */
  protected kick(): void {
    this.reactor.keep(this.serial(() => this.next()));
  }

  /**
   * Closes a device when the change that is being made is done with it. That may wait for what the
   * kernel has of it, so none of the serial changes awaits it: a loss could not be recorded
   * meanwhile, nor a write be answered.
   */
  protected letGo(device: BlockDevice): Promise<void> {
    const closed = this.serial(async () => {}).then(() => device.close());
    const closing = closed.finally(() => this.#closings.delete(closing));
    this.#closings.add(closing);
    this.reactor.keep(closing);
    return closing;
  }

  /** Resolves when all that was let go of is closed. */
  protected async allGone(): Promise<void> {
    await Promise.all(this.#closings);
  }

  protected emit(parts: EventParts): void {
    this.#observer.arrayEvent(arrayEvent(parts));
  }

  // --- losses -----------------------------------------------------------------------------------

  memberEjected(slot: number, status: number): void {
    this.#unrecorded.add(slot);
    const member = this.array.members[slot]!;
    const device = member.gone;
    if (device !== null) this.metadata!.drop(device);
    const left =
      levelRules(this.array.spec.level).tolerates(this.array.members.length) - this.array.absent;
    const { option, stack } = this.array.address;
    const bears = left > 0 ? `${left} more may fail` : 'a further failure loses data';
    const why = status === 0 ? 'it was asked for' : `${statusText(status)} (${statusName(status)})`;
    this.emit({
      kind: member.lostAs === 'failed' ? 'member-failed' : 'member-removed',
      severity: 'error',
      message: `the member in slot ${slot} (${device?.name ?? 'no device'}) is out of service`,
      reason: why,
      action: this.hasSpare
        ? 'a spare takes its place'
        : `bandstand member add ${stack} DEVICE${option} (${bears})`,
      slot,
      device: device?.name ?? null,
      details: { errno: statusName(status), more_failures_borne: left },
    });
    this.reactor.keep(this.serial(() => this.recordLosses()));
  }

  /** Writes down on all others who is out; only then are operations acknowledged again. */
  protected async recordLosses(): Promise<void> {
    const { array, metadata, intent } = this;
    assert(metadata !== null && intent !== null, 'members leave an array that is kept');
    while (this.#unrecorded.size > 0 && !array.hasFailed) {
      const slots = [...this.#unrecorded];
      const status = await intent.settled();
      if (status !== OK) {
        this.#refuseChanges('what the member misses', status);
        return;
      }
      const failed = await metadata.writeSuperblock((superblock) => ({
        ...superblock,
        members: superblock.members.map((entry) =>
          slots.includes(entry.slot) && array.members[entry.slot]!.device === null
            ? { ...entry, state: array.members[entry.slot]!.lostAs }
            : entry,
        ),
      }));
      for (const slot of slots) this.#unrecorded.delete(slot);
      // A member that did not take it leaves, too, which has to be recorded in turn.
      if (!this.placesFailed(failed)) return;
      if (this.#unrecorded.size > 0) continue;
      array.lossRecorded();
      this.placesFailed(await metadata.writeLabels({}));
      this.emit({
        kind: 'array-degraded',
        severity: 'warning',
        message: `the array runs without ${array.absent} of ${array.members.length} members`,
        reason: `slot ${slots.join(', ')} is out of service`,
        action: `see what is missing with: bandstand status ${array.address.stack}`,
      });
    }
    // The last of them went before this could be written down: what waits for that has failed.
    if (this.#unrecorded.size > 0) array.refuseChanges(EIO);
    await this.next();
  }

  /** False when the array cannot go on without one of them: then nothing is changed any more. */
  protected placesFailed(failed: readonly FailedPlace[]): boolean {
    const { array } = this;
    for (const { place, status } of failed) {
      if (array.target?.device === place.device) {
        array.targetFailed(status);
        continue;
      }
      const { device } = array.members[place.slot]!;
      if (device !== place.device) continue;
      array.metadataFailed(place.slot, status);
      if (array.members[place.slot]!.device === null) continue;
      this.#refuseChanges(place.device.name, status, place);
      return false;
    }
    return true;
  }

  #refuseChanges(what: string, status: number, place: Place | null = null): void {
    this.array.refuseChanges(status);
    this.emit({
      kind: 'array-failed',
      severity: 'error',
      message: 'the array accepts no more changes: its metadata cannot be written',
      reason: `${what}: ${statusText(status)} (${statusName(status)})`,
      action: 'copy its data elsewhere while it can be read',
      slot: place?.slot ?? null,
      device: place?.device.name ?? null,
    });
  }

  targetLost(target: Target, status: number): void {
    this.metadata!.drop(target.device);
    this.targetGone(target, status);
    this.emit({
      kind: 'member-failed',
      severity: 'error',
      message: `the target of the rebuild of slot ${target.slot} (${target.device.name}) is given up`,
      reason: `${statusText(status)} (${statusName(status)})`,
      action: 'check the device, or add another one',
      slot: target.slot,
      device: target.device.name,
    });
    this.letGo(target.device);
  }

  memberError(slot: number, op: Op, status: number): void {
    const member = this.array.members[slot]!;
    const count = op === OP_READ ? member.readErrors : member.writeErrors;
    // The first ones, then ever more rarely: a broken disk must not fill the log.
    if ((count & (count - 1)) !== 0) return;
    const device = member.device?.name ?? member.gone?.name ?? null;
    this.emit({
      kind: 'member-error',
      severity: 'warning',
      message: `${opName(op)} error ${count} on the member in slot ${slot} (${device ?? 'gone'})`,
      reason: `${statusText(status)} (${statusName(status)})`,
      slot,
      device,
      details: { op: opName(op), errno: statusName(status), count },
    });
  }

  blocksRepaired(slot: number, blockCount: number): void {
    const member = this.array.members[slot]!;
    const total = member.repairedBlocks;
    if (Math.floor(Math.log2(total)) === Math.floor(Math.log2(total - blockCount))) return;
    const device = member.device?.name ?? null;
    this.emit({
      kind: 'blocks-repaired',
      severity: 'warning',
      message: `${total} blocks of the member in slot ${slot} (${device ?? 'gone'}) were repaired so far`,
      reason:
        'they could not be read, or a checksum said that they were wrong, and were written again',
      slot,
      device,
      details: { repaired_blocks: total },
    });
  }

  rangeDistrusted(): void {
    this.kick();
  }
}

export function labelError(name: string, { place, status }: FailedPlace): BandstandError {
  return new BandstandError('BANDSTAND_DEVICE_IO', {
    message: `cannot mark ${place.device.name} for ${name}: writing its label failed: ${statusText(status)} (${statusName(status)})`,
    hint: 'look at the kernel log for this device (dmesg)',
    details: { device: place.device.name, status },
  });
}
