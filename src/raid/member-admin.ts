/**
 * MemberAdmin: what a person asks of a running array.                               (control plane)
 *
 * Members and spares come and go, processes are paused, ended and limited, a check is begun. Each
 * request is one of the serial changes of metadata; it throws a BandstandError that says why it
 * cannot be done, and then nothing has changed.
 *
 * A device that is added is looked at first: one that was a member of this array goes back to its
 * slot, with what it missed alone if the bitmap knows all of it; a spare of it becomes one again;
 * anything else gets an identity of its own and loses what it held. (Whether it may is asked
 * before: stack/open-new-member.ts.)
 */

import { assert } from '../block/assert.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { BandstandError, type ErrorCode } from '../block/errors.ts';
import { formatSize } from '../block/quantities.ts';
import { makeUuid } from '../block/uuid.ts';
import { ArrayProcessHost } from './array-process-host.ts';
import type { AssembledSlot } from './assemble.ts';
import { type Examination, examineDevice } from './examine.ts';
import { ownLabel } from './own-label.ts';
import { Process } from './process.ts';
import { ProcessKeeper } from './process-keeper.ts';
import { type Candidate, checkCandidate } from './rebuild-steps.ts';
import { judgeReturn } from './returning-members.ts';
import { labelSpare } from './spare-label.ts';
import { wipeDevice } from './wipe.ts';

export interface AddOutcome {
  /** It is being filled now, or it waits for its turn. */
  readonly role: 'rebuild' | 'spare';
  readonly slot: number | null;
  readonly uuid: string;
  /** Everything is copied, or what the member missed; null for a spare. */
  readonly mode: 'delta' | 'used' | 'full' | null;
}

export abstract class MemberAdmin extends ProcessKeeper {
  /** `device` is open for writing; it belongs to the array unless this throws. */
  async addMember(device: BlockDevice, options: { spareOnly?: boolean } = {}): Promise<AddOutcome> {
    const found = await this.#look(device);
    return await this.serial(async () => {
      const { one, known } = this.#identify(device, found);
      const spareOnly = options.spareOnly === true;
      if (spareOnly && one.slot !== null) {
        throw this.#belongs(device, one.slot!);
      }
      checkCandidate(this.array, this.#widestEntry(one.slot), one);
      if (!known) await labelSpare(this.reactor, device, this.#superblock, one.uuid);
      this.candidates.push(one);
      this.emit({
        kind: one.slot === null ? 'spare-added' : 'member-added',
        message:
          one.slot === null
            ? `${device.name} is a spare until a slot needs it`
            : `${device.name} is back for slot ${one.slot}`,
        slot: one.slot,
        device: device.name,
      });
      if (!spareOnly) this.held = false;
      await this.next();
      return this.#outcome(one);
    });
  }

  /** Takes a member out of service as if it had failed. */
  async failMember(slot: number): Promise<void> {
    await this.serial(async () => {
      const { array } = this;
      if (array.members[slot]!.device === null) {
        throw this.#cannot('BANDSTAND_MEMBER_STATE', `slot ${slot} has no member in service`, {
          hint: `see the members with: bandstand status ${array.address.stack}`,
        });
      }
      if (!array.mayEject(slot)) {
        throw this.#cannot('BANDSTAND_MEMBER_NEEDED', `it cannot do without slot ${slot}`, {
          hint: 'replace the member: it stays in service until the copy is complete',
        });
      }
      array.eject(slot, 'failed', 0);
    });
    // The record of it was queued by the ejection.
    await this.serial(async () => {});
  }

  /** Lets go of the device that has left service in `slot`, and closes it. */
  async removeMember(slot: number): Promise<void> {
    const gone = await this.serial(async () => {
      const { array } = this;
      if (array.members[slot]!.device !== null) {
        throw this.#cannot('BANDSTAND_MEMBER_IN_SERVICE', `slot ${slot} is in service`, {
          hint: `take it out of service first: bandstand member fail ${array.address.stack} ${array.address.slotPrefix}${slot}`,
        });
      }
      const waiting = this.candidates.findIndex((one) => one.slot === slot && !one.replace);
      const device =
        array.takeGone(slot) ??
        (waiting === -1 ? null : this.candidates.splice(waiting, 1)[0]!.device);
      if (device === null) {
        throw this.#cannot('BANDSTAND_MEMBER_STATE', `slot ${slot} has no device to let go of`, {
          hint: `fill the slot with: bandstand member add ${this.#address.stack} DEVICE${this.#address.option}`,
        });
      }
      return device;
    });
    await this.letGo(gone);
    this.emit({
      kind: 'member-removed',
      message: `${gone.name} was removed from slot ${slot}`,
      slot,
      device: gone.name,
    });
  }

  /** Makes a spare an ordinary device again: its label is erased. */
  async removeSpare(uuid: string): Promise<void> {
    await this.serial(async () => {
      const at = this.candidates.findIndex((one) => one.slot === null && one.uuid === uuid);
      if (at === -1) {
        throw this.#cannot('BANDSTAND_MEMBER_NOT_FOUND', `${uuid} is no spare of it`, {
          hint: `see its spares with: bandstand status ${this.#address.stack}`,
        });
      }
      const [one] = this.candidates.splice(at, 1);
      try {
        await wipeDevice(this.reactor, one!.device);
      } finally {
        await one!.device.close();
      }
      const device = one!.device.name;
      this.emit({ kind: 'spare-removed', message: `${device} is no spare any more`, device });
    });
  }

  /** Copies the member in `slot` to `device`; it stays in service until that is complete. */
  async replaceMember(slot: number, device: BlockDevice): Promise<AddOutcome> {
    const found = await this.#look(device);
    return await this.serial(async () => {
      this.#refuseBusy('replace a member');
      const entry = this.#superblock.members[slot]!;
      if (this.array.members[slot]!.device === null) {
        throw this.#cannot('BANDSTAND_MEMBER_STATE', `slot ${slot} has no member to replace`, {
          hint: `fill the slot with: bandstand member add ${this.#address.stack} DEVICE${this.#address.option}`,
        });
      }
      const { one } = this.#identify(device, found);
      if (one.slot !== null) {
        throw this.#belongs(device, one.slot);
      }
      const candidate: Candidate = { ...one, slot, replace: true };
      checkCandidate(this.array, entry, candidate);
      this.candidates.unshift(candidate);
      this.held = false;
      await this.next();
      return this.#outcome(candidate);
    });
  }

  async startCheck({ repair }: { repair: boolean }): Promise<void> {
    await this.prepareCheck();
    await this.serial(async () => {
      this.#refuseBusy('begin a check');
      assert(this.#superblock !== null, 'an array that is checked has a superblock');
      if (!Process.canCheck(new ArrayProcessHost(this.array))) {
        throw this.#cannot(
          'BANDSTAND_ARRAY_DEGRADED',
          'too few members are in service to compare',
          {
            hint: `make it whole first: bandstand member add ${this.#address.stack} DEVICE${this.#address.option}`,
          },
        );
      }
      this.checkWanted = { repair, block: 0, paused: false };
      await this.next();
    });
  }

  async pauseProcess(): Promise<void> {
    await this.serial(async () => {
      const run = this.#running('pause');
      run.pause();
      await this.recordRun();
      this.emit({ kind: 'process-paused', message: `the ${run.plan.kind} is paused` });
    });
  }

  async resumeProcess(): Promise<void> {
    await this.serial(async () => {
      const run = this.#running('resume');
      run.resume();
      await this.recordRun();
      this.emit({ kind: 'process-resumed', message: `the ${run.plan.kind} goes on` });
    });
  }

  /** Ends the rebuild or check; a rebuild does not begin again until a member is added. */
  async cancelProcess(): Promise<void> {
    const run = this.#running('end');
    if (run.plan.kind === 'rebuild') this.held = true;
    run.stop();
    await run.ended;
    // What follows from its end was queued by it.
    await this.serial(async () => {});
  }

  /** Bytes per second of each member; null: as fast as the foreground allows. */
  setRate(bytesPerSecond: number | null): void {
    this.tuning = { ...this.tuning, limitBytesPerSecond: bytesPerSecond };
    this.run?.pacer.setLimit(bytesPerSecond);
    this.emit({
      kind: 'process-rate',
      message:
        bytesPerSecond === null
          ? 'background work goes as fast as the foreground allows'
          : `background work is limited to ${formatSize(bytesPerSecond)}/s`,
      details: { limit_bytes_per_second: bytesPerSecond },
    });
  }

  // --- helpers ----------------------------------------------------------------------------------

  /** What is on a device. No loss waits for it, should it not answer. */
  async #look(device: BlockDevice): Promise<Examination> {
    device.observer = this.array;
    return await examineDevice(this.reactor, device);
  }

  /** What the device is to this array. `known`: it has its label already. */
  #identify(device: BlockDevice, found: Examination): { one: Candidate; known: boolean } {
    const { array, metadata } = this;
    const superblock = this.#superblock;
    const label = ownLabel(found, superblock);
    const base = { device, delta: false, block: 0, begun: false, replace: false };
    const labelSequence = found.label?.sequence ?? 0;
    const uuid = label?.memberUuid ?? makeUuid();
    if (this.#isKnown(uuid)) {
      throw this.#cannot('BANDSTAND_MEMBER_DUPLICATE', `member ${uuid} is in use already`, {
        hint: 'wipe the clone before it is added: bandstand wipe DEVICE',
      });
    }
    const slots = this.#assembledSlots();
    const own = slots.find((slot) => slot.uuid === uuid);
    if (own !== undefined && found.superblock.value?.uuid === superblock.uuid) {
      const inService = slots.filter((slot) => slot.device !== null);
      const { missedSince } = metadata!.facts;
      const { delta } = judgeReturn(found, superblock, own, inService, missedSince);
      return { one: { ...base, uuid, slot: own.slot, delta, labelSequence }, known: true };
    }
    assert(array.isRedundant, 'members come and go where there is redundancy');
    const isSpare = label?.role === 'spare';
    const one = { ...base, uuid: isSpare ? uuid : makeUuid(), slot: null, labelSequence };
    return { one, known: isSpare };
  }

  #isKnown(uuid: string): boolean {
    const { array } = this;
    const inService = array.members.some((one) => one.uuid === uuid && one.device !== null);
    return (
      inService || array.target?.uuid === uuid || this.candidates.some((one) => one.uuid === uuid)
    );
  }

  /** The slots as assembly would see them now. */
  #assembledSlots(): AssembledSlot[] {
    const { array, metadata } = this;
    const { superblock, facts } = metadata!;
    return superblock.members.map(({ slot, uuid, dataOffset, dataSize, state }) => {
      const { device } = array.members[slot]!;
      const inService = device !== null;
      return {
        slot,
        uuid,
        dataOffset,
        dataSize,
        device: device?.name ?? null,
        label: inService
          ? {
              ...facts,
              sequence: 1,
              memberUuid: uuid,
              arrayUuid: superblock.uuid,
              superblockSeq: superblock.seq,
              slot,
              role: 'member' as const,
            }
          : null,
        labelSequence: 0,
        seq: inService ? superblock.seq : null,
        reason: null,
        recorded: state !== 'configured',
      };
    });
  }

  /** The entry that a device has to fit: that of its slot, or the most demanding one. */
  #widestEntry(slot: number | null) {
    const { members } = this.#superblock;
    if (slot !== null) return members[slot]!;
    return members.reduce((most, entry) => (entry.dataSize > most.dataSize ? entry : most));
  }

  #outcome(one: Candidate): AddOutcome {
    const { uuid, device, delta } = one;
    const { target } = this.array;
    if (target?.device === device) {
      return {
        role: 'rebuild',
        slot: target.slot,
        uuid,
        mode: delta ? 'delta' : this.copiesAll ? 'full' : 'used',
      };
    }
    if (this.candidates.includes(one)) return { role: 'spare', slot: null, uuid, mode: null };
    throw (
      this.refusals.get(device) ??
      this.#cannot('BANDSTAND_MEMBER_STATE', `the rebuild onto ${device.name} could not begin`, {
        hint: `see why with: bandstand events ${this.#address.stack}`,
      })
    );
  }

  get #address() {
    return this.array.address;
  }

  get #superblock() {
    const { metadata } = this;
    if (metadata === null || this.intent === null) {
      throw this.#cannot('BANDSTAND_LEVEL_REDUNDANCY', 'it has no redundancy to rebuild from', {
        hint: 'copy its data to a new array to change its members',
      });
    }
    return metadata.superblock;
  }

  #belongs(device: BlockDevice, slot: number): BandstandError {
    const { option, stack } = this.#address;
    return this.#cannot('BANDSTAND_MEMBER_STATE', `${device.name} belongs to slot ${slot}`, {
      hint: `return it there with: bandstand member add ${stack} ${device.name}${option}`,
    });
  }

  #running(what: string) {
    const { run } = this;
    if (run !== null) return run;
    throw new BandstandError('BANDSTAND_ACTIVITY_NONE', {
      message: `cannot ${what} the activity of ${this.array.name}: nothing is going on`,
      hint: `see what has happened with: bandstand events ${this.#address.stack}`,
      details: { array: this.array.name },
    });
  }

  #refuseBusy(what: string): void {
    const { run } = this;
    if (run === null) return;
    throw new BandstandError('BANDSTAND_ACTIVITY_BUSY', {
      message: `cannot ${what} of ${this.array.name}: a ${run.plan.kind} is running`,
      hint: `wait for it with: bandstand wait ${this.#address.stack} --for ${run.plan.kind}`,
      details: { array: this.array.name, kind: run.plan.kind },
    });
  }

  #cannot(code: ErrorCode, why: string, { hint }: { hint: string }): BandstandError {
    return new BandstandError(code, {
      message: `cannot change the members of ${this.array.name}: ${why}`,
      hint,
      details: { array: this.array.name },
    });
  }
}
