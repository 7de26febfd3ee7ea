/**
 * A managed array without an array: its status is the test's, and every call is noted. What the
 * real manager (raid/member-admin.ts) refuses, this one refuses with the same code.
 */

import type { BlockDevice } from '../../src/block/block-device.ts';
import { BandstandError, type ErrorCode } from '../../src/block/errors.ts';
import type { SpareStatus } from '../../src/raid/array-manager.ts';
import type { MemberStatus } from '../../src/raid/array-members.ts';
import type { AddOutcome } from '../../src/raid/member-admin.ts';
import type { ManagedArray, ManagedProcess, ManagedStatus } from '../../src/stack/managed-array.ts';

export const NEW_UUID = 'eeeeeeee-0000-4000-8000-000000000000';

export function memberOf(slot: number, change: Partial<MemberStatus> = {}): MemberStatus {
  return {
    slot,
    device: `/dev/none${slot}`,
    uuid: `0000000${slot}-0000-4000-8000-000000000000`,
    health: 'ok',
    read_errors: 0,
    write_errors: 0,
    repaired_blocks: 0,
    ...change,
  };
}

export function processOf(change: Partial<ManagedProcess> = {}): ManagedProcess {
  return {
    kind: 'rebuild',
    slot: 2,
    replace: false,
    target: { uuid: NEW_UUID, device: '/dev/none9' },
    repair: false,
    paused: false,
    doneBytes: 410,
    totalBytes: 1000,
    rateBytesPerSecond: 10,
    etaSeconds: 59,
    limitBytesPerSecond: null,
    mismatches: 0,
    repaired: 0,
    lostBlocks: 0,
    ...change,
  };
}

export class FakeManager implements ManagedArray {
  members: MemberStatus[] = [memberOf(0), memberOf(1), memberOf(2)];
  spares: SpareStatus[] = [];
  process: ManagedProcess | null = null;
  failed = false;
  lost: string | null = null;
  outcome: AddOutcome = { role: 'spare', slot: null, uuid: NEW_UUID, mode: null };
  refusal: Error | null = null;
  readonly calls: unknown[][] = [];
  readonly given: BlockDevice[] = [];

  status(): ManagedStatus {
    const { members, spares, process, failed, lost } = this;
    return { members, spares, process, failed, lost };
  }

  /** Members in these slots are out of service. */
  lose(health: 'failed' | 'missing', ...slots: number[]): void {
    this.members = this.members.map((member) =>
      slots.includes(member.slot)
        ? { ...member, health, device: health === 'missing' ? null : member.device }
        : member,
    );
  }

  async addMember(device: BlockDevice, options?: { spareOnly?: boolean }): Promise<AddOutcome> {
    return this.#take(device, ['addMember', device.name, options]);
  }

  async replaceMember(slot: number, device: BlockDevice): Promise<AddOutcome> {
    this.#refuseBusy();
    if (!this.#inService(slot)) refuse('BANDSTAND_MEMBER_STATE', `slot ${slot} has no member`);
    return this.#take(device, ['replaceMember', slot, device.name]);
  }

  #take(device: BlockDevice, call: unknown[]): AddOutcome {
    this.calls.push(call);
    if (this.refusal !== null) throw this.refusal;
    this.given.push(device);
    return this.outcome;
  }

  #inService(slot: number): boolean {
    return this.members[slot]?.health === 'ok';
  }

  #refuseBusy(): void {
    if (this.process === null) return;
    refuse('BANDSTAND_ACTIVITY_BUSY', `a ${this.process.kind} is running`);
  }

  async failMember(slot: number): Promise<void> {
    if (!this.#inService(slot)) refuse('BANDSTAND_MEMBER_STATE', `slot ${slot} has no member`);
    this.calls.push(['failMember', slot]);
    this.lose('failed', slot);
  }

  /** A member that has failed, or the device beside which its slot is being rebuilt. */
  async removeMember(slot: number): Promise<void> {
    if (this.#inService(slot)) refuse('BANDSTAND_MEMBER_IN_SERVICE', `slot ${slot} is in service`);
    const { health, device } = this.members[slot]!;
    if (device === null) refuse('BANDSTAND_MEMBER_STATE', `slot ${slot} has no device`);
    this.calls.push(['removeMember', slot]);
    if (health === 'failed') this.lose('missing', slot);
  }

  async removeSpare(uuid: string): Promise<void> {
    const kept = this.spares.filter((spare) => spare.uuid !== uuid);
    if (kept.length === this.spares.length)
      refuse('BANDSTAND_MEMBER_NOT_FOUND', `no spare ${uuid}`);
    this.calls.push(['removeSpare', uuid]);
    this.spares = kept;
  }

  async startCheck(options: { repair: boolean }): Promise<void> {
    this.#refuseBusy();
    const inService = this.members.filter(({ health }) => health === 'ok');
    if (inService.length < 2) refuse('BANDSTAND_ARRAY_DEGRADED', 'too few members are in service');
    this.calls.push(['startCheck', options]);
    this.process = processOf({ kind: 'check', slot: null, target: null, ...options });
  }

  async pauseProcess(): Promise<void> {
    this.process = { ...this.#running(), paused: true };
    this.calls.push(['pauseProcess']);
  }

  async resumeProcess(): Promise<void> {
    this.process = { ...this.#running(), paused: false };
    this.calls.push(['resumeProcess']);
  }

  async cancelProcess(): Promise<void> {
    this.#running();
    this.calls.push(['cancelProcess']);
    this.process = null;
  }

  #running(): ManagedProcess {
    return this.process ?? refuse('BANDSTAND_ACTIVITY_NONE', 'nothing is going on');
  }

  setRate(bytesPerSecond: number | null): void {
    this.calls.push(['setRate', bytesPerSecond]);
  }
}

function refuse(code: ErrorCode, why: string): never {
  throw new BandstandError(code, { message: `the manager refuses: ${why}` });
}
