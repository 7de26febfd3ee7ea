/**
 * A managed array without an array: its status is the test's, and every call is noted.
 */

import type { BlockDevice } from '../../src/block/block-device.ts';
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

  addMember(device: BlockDevice, options?: { spareOnly?: boolean }): Promise<AddOutcome> {
    return this.#take(device, ['addMember', device.name, options]);
  }

  replaceMember(slot: number, device: BlockDevice): Promise<AddOutcome> {
    return this.#take(device, ['replaceMember', slot, device.name]);
  }

  async #take(device: BlockDevice, call: unknown[]): Promise<AddOutcome> {
    this.calls.push(call);
    if (this.refusal !== null) throw this.refusal;
    this.given.push(device);
    return this.outcome;
  }

  async failMember(slot: number): Promise<void> {
    this.calls.push(['failMember', slot]);
    this.lose('failed', slot);
  }

  async removeMember(slot: number): Promise<void> {
    this.calls.push(['removeMember', slot]);
    this.lose('missing', slot);
  }

  async removeSpare(uuid: string): Promise<void> {
    this.calls.push(['removeSpare', uuid]);
    this.spares = this.spares.filter((spare) => spare.uuid !== uuid);
  }

  async startCheck(options: { repair: boolean }): Promise<void> {
    this.calls.push(['startCheck', options]);
    this.process = processOf({ kind: 'check', slot: null, target: null, ...options });
  }

  async pauseProcess(): Promise<void> {
    this.calls.push(['pauseProcess']);
    this.process = { ...this.process!, paused: true };
  }

  async resumeProcess(): Promise<void> {
    this.calls.push(['resumeProcess']);
    this.process = { ...this.process!, paused: false };
  }

  async cancelProcess(): Promise<void> {
    this.calls.push(['cancelProcess']);
    this.process = null;
  }

  setRate(bytesPerSecond: number | null): void {
    this.calls.push(['setRate', bytesPerSecond]);
  }
}
