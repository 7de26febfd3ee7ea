/**
 * StackMembers: adding, failing, removing and replacing members of a running stack. (control plane)
 *
 * Finds out which member is meant, refuses what would cost data or make no sense, opens new
 * devices, and only then asks the array. What was so already is an answer, not an error. A dry run
 * goes the same way up to the last step. Hears the array's events and passes them on, with the news
 * that members have changed, so that they are remembered.
 *
 * Not here: who rebuilds what onto what, superblocks, labels: the array's manager does that.
 */

import type { BlockDevice } from '../block/block-device.ts';
import type { BandstandError } from '../block/errors.ts';
import { formatSize } from '../block/quantities.ts';
import type {
  MemberAction,
  MemberAddRequest,
  MemberChangeRequest,
  MemberReplaceRequest,
  MemberReply,
} from '../control/schema-members.ts';
import type { ArrayEvent } from '../raid/array-events.ts';
import type { ArraySpec } from '../raid/array-spec.ts';
import { levelRules } from '../raid/level-rules.ts';
import type { AddOutcome } from '../raid/member-admin.ts';
import { memberOffset } from '../raid/plan.ts';
import type { Ring } from '../reactor/ring.ts';
import { type AbsentSpare, stillAbsent } from './absent-spares.ts';
import type { ArrayWords } from './array-words.ts';
import type { CheckedFtl } from './checksum-check.ts';
import { keyOf } from './find-members.ts';
import type { ManagedArray, ManagedProcess, ManagedStatus } from './managed-array.ts';
import { failuresLeft, managedHealth } from './managed-status.ts';
import { candidatesOf } from './member-candidates.ts';
import { type MemberCandidate, resolveMember } from './member-reference.ts';
import { cannot, type Subject } from './new-device.ts';
import { openNewMember } from './open-new-member.ts';
import type { PresentMembers } from './remember-members.ts';
import type { StackEvent } from './worker-messages.ts';

export interface StackMembersHost {
  readonly ring: Ring;
  readonly words: ArrayWords;
  readonly readOnly: boolean;
  /** Null for an array without superblock, whose members nothing records. */
  manager(): ManagedArray | null;
  spec(): ArraySpec;
  /** The FTL that lies on the array, while it is open. */
  ftl(): CheckedFtl | null;
  /** What an export offers. */
  sizeBytes(): number;
  emit(event: StackEvent): void;
}

/** Kinds of events after which something else has to be remembered. */
const MEMBERSHIP = /^(member|spare|rebuild)-|^array-resized$/;

export class StackMembers {
  readonly #host: StackMembersHost;
  /** Slot → the device that left service there, and why; it is open until it is removed. */
  readonly #gone = new Map<
    number,
    { readonly device: string | null; readonly why: string | null }
  >();

  #absent: readonly AbsentSpare[] = [];
  /** A rebuild was cancelled: as in the array, none begins until a device is added to be used. */
  rebuildsHeld = false;

  constructor(host: StackMembersHost) {
    this.#host = host;
  }

  // --- requests ---------------------------------------------------------------------------------

  async addMember(request: MemberAddRequest): Promise<MemberReply> {
    const subject = `add ${request.device} to ${this.#host.words.whole}`;
    const manager = this.changeable(subject);
    const device = await this.#open(subject, manager, request.device);
    const options = { spareOnly: request.spare_only };
    return await this.#give(device, request.dry_run, async () => {
      const outcome = request.dry_run
        ? foreseen(manager.status(), request.spare_only && this.rebuildsHeld)
        : await manager.addMember(device, options);
      if (!request.dry_run && !request.spare_only) this.rebuildsHeld = false;
      return this.#joined('add', request, device, outcome, null);
    });
  }

  async replaceMember(request: MemberReplaceRequest): Promise<MemberReply> {
    const { stack: name } = this.#host.words;
    const subject = `replace ${request.member} with ${request.device}`;
    const manager = this.changeable(subject);
    const found = this.#resolve('replace', request, manager);
    const { slot } = found;
    if (found.health === 'spare' || slot === null) {
      const hint = `remove it and add the other: bandstand member remove ${name} ${request.member}`;
      throw this.#state(subject, 'it is a spare, which replaces nothing', hint);
    }
    this.#refuseRebuilding(subject, found);
    const status = manager.status();
    if (status.process !== null) throw this.#busy(subject, status.process);
    const inUse = found.health === 'ok';
    if (!inUse) this.#refuseOtherOrder(subject, slot, status, request.device);
    const device = await this.#open(subject, manager, request.device);
    return await this.#give(device, request.dry_run, async () => {
      const outcome = request.dry_run
        ? { role: 'rebuild' as const, slot, uuid: null, mode: null }
        : inUse
          ? await manager.replaceMember(slot, device)
          : // Its slot is empty: there is nothing to copy from, the others give the content.
            await manager.addMember(device);
      if (!request.dry_run) this.rebuildsHeld = false;
      return this.#joined('replace', request, device, outcome, found);
    });
  }

  async failMember(request: MemberChangeRequest): Promise<MemberReply> {
    const { stack: name } = this.#host.words;
    const subject = `fail ${request.member}`;
    const manager = this.changeable(subject);
    const found = this.#resolve('fail', request, manager);
    const { slot, health } = found;
    if (health === 'spare' || slot === null) {
      const hint = `take it away with bandstand member remove ${name} ${request.member}`;
      throw this.#state(subject, 'it is a spare, which is not in use', hint);
    }
    this.#refuseRebuilding(subject, found);
    if (health !== 'ok') return this.#left('fail', request, found, false);
    if (failuresLeft(this.#host.spec().level, manager.status()) < 1) {
      throw this.#needed(subject, manager.status());
    }
    if (!request.dry_run) await manager.failMember(slot);
    return this.#left('fail', request, found, true);
  }

  async removeMember(request: MemberChangeRequest): Promise<MemberReply> {
    const { stack: name, whole } = this.#host.words;
    const subject = `remove ${request.member}`;
    const manager = this.changeable(subject);
    const found = this.#resolve('remove', request, manager);
    const { slot, uuid, health } = found;
    this.#refuseRebuilding(subject, found);
    if (health === 'ok') {
      throw cannot(
        subject,
        'BANDSTAND_MEMBER_IN_SERVICE',
        `it is in use in slot ${slot} of ${whole}`,
        `fail it first: bandstand member fail ${name} ${request.member}`,
        { name, slot },
      );
    }
    const there = found.device !== null;
    if (there && !request.dry_run) {
      if (slot !== null) await manager.removeMember(slot);
      else if (health === 'missing') this.#absent = this.#absent.filter((one) => one.uuid !== uuid);
      else await manager.removeSpare(uuid!);
    }
    return this.#left('remove', request, found, there);
  }

  // --- what is shared with stack-processes.ts ---------------------------------------------------

  /** The manager, when members may be changed. Throws BandstandError. */
  changeable(subject: Subject): ManagedArray {
    const manager = this.managed(subject);
    this.refuseReadOnly(subject);
    return manager;
  }

  refuseReadOnly(subject: Subject): void {
    const { readOnly } = this.#host;
    const { stack: name } = this.#host.words;
    if (!readOnly) return;
    const always = this.#host.spec().level === 'raid5f' && this.#host.ftl() === null;
    throw cannot(
      subject,
      'BANDSTAND_STACK_READ_ONLY',
      always
        ? `${name} is raid5f without an FTL, which is exported read-only`
        : `${name} was started with --read-only`,
      always
        ? 'copy the data to a stack with an FTL, whose members can be checked and changed'
        : `start it for writing: bandstand stop ${name}, then bandstand export ${name}`,
      { name },
    );
  }

  /** The manager, when the level has redundancy and the members are recorded. */
  managed(subject: Subject): ManagedArray {
    const { stack: name } = this.#host.words;
    const { level, members } = this.#host.spec();
    if (levelRules(level).tolerates(members.length) === 0) {
      throw cannot(
        subject,
        'BANDSTAND_LEVEL_REDUNDANCY',
        `${name} is ${level}, which needs every member as it is`,
        'copy the data to a raid1 stack, which can lose members',
        { name, level },
      );
    }
    const manager = this.#host.manager();
    if (manager !== null) return manager;
    throw cannot(
      subject,
      'BANDSTAND_ARRAY_UNRECORDED',
      `${name} has no superblock, so no change of its members could be recorded`,
      'copy the data to a stack that was created with a superblock',
      { name },
    );
  }

  get arrayUuid(): string | null {
    return this.#host.spec().uuid;
  }

  setAbsentSpares(absent: readonly AbsentSpare[]): void {
    this.#absent = absent;
  }

  /** The spares that are not here. */
  absentSpares(status: ManagedStatus): readonly AbsentSpare[] {
    return stillAbsent(this.#absent, status);
  }

  /** Who the members and spares are, to be remembered. */
  present(manager: ManagedArray): PresentMembers {
    const status = manager.status();
    const { members, spares, process } = status;
    const absent = this.absentSpares(status).map(({ uuid, path }) => ({ uuid, path }));
    return { members, spares, process, absent, sizeBytes: this.#host.sizeBytes() };
  }

  /** Why the slot is out of service, as far as it happened since the start. */
  why(slot: number): string | null {
    return this.#gone.get(slot)?.why ?? null;
  }

  // --- events of the array ----------------------------------------------------------------------

  arrayEvent(event: ArrayEvent): void {
    this.#noteGone(event);
    this.#host.emit({ event: 'array', array: event });
    if (MEMBERSHIP.test(event.kind)) this.#tellMembers();
  }

  /** A removal is an error when the array does it, and information when a person does. */
  #noteGone({ kind, severity, slot, device, reason: why }: ArrayEvent): void {
    if (slot === null) return;
    if (kind === 'member-in-service' || (kind === 'member-removed' && severity !== 'error')) {
      this.#gone.delete(slot);
    } else if (kind === 'member-failed' || kind === 'member-removed') {
      // A target that fails leaves the slot as it was: with its member, or with the one before.
      const { members } = this.#host.manager()?.status() ?? { members: [] };
      const isTarget = this.#gone.has(slot) || members[slot]?.health === 'ok';
      if (!isTarget) this.#gone.set(slot, { device, why });
    }
  }

  #tellMembers(): void {
    const manager = this.#host.manager();
    if (manager === null) return;
    // What the array has by now is the array's; it does not come back here when it leaves.
    this.#absent = stillAbsent(this.#absent, manager.status());
    this.#host.emit({ event: 'members-changed', status: this.present(manager) });
  }

  // --- new devices ------------------------------------------------------------------------------

  async #open(subject: Subject, manager: ManagedArray, text: string): Promise<BlockDevice> {
    const { ring } = this.#host;
    const { stack: name } = this.#host.words;
    const { blockBytes, uuid } = this.#host.spec();
    const candidates = this.#candidates(manager);
    const device = await openNewMember(
      { ring, subject, name, arrayUuid: uuid!, blockBytes, candidates, keyOf },
      text,
    );
    try {
      this.#checkSize(subject, device);
      return device;
    } catch (error) {
      await device.close();
      throw error;
    }
  }

  #checkSize(subject: Subject, device: BlockDevice): void {
    const { blockBytes, members } = this.#host.spec();
    const { geometry } = device;
    if (geometry.blockBytes !== blockBytes) {
      const why = `it has ${geometry.blockBytes}-byte blocks, the array ${blockBytes}-byte blocks`;
      const hint = 'name a device with the same block size';
      throw cannot(subject, 'BANDSTAND_MEMBER_MISMATCH', why, hint, { device: device.name });
    }
    const data = Math.max(...members.map(({ dataSize }) => dataSize));
    const needed = memberOffset(geometry) + data;
    if (geometry.blockCount >= needed) return;
    const [has, needs] = [geometry.blockCount * blockBytes, needed * blockBytes];
    const sizes = [has, needs].map((bytes) => `${formatSize(bytes)} (${bytes} bytes)`);
    throw cannot(
      subject,
      'BANDSTAND_DEVICE_TOO_SMALL',
      `it has ${sizes[0]}, at least ${sizes[1]} are needed`,
      'name a larger device',
      { device: device.name, size_bytes: has, needed_bytes: needs },
    );
  }

  /** Hands the device over; it stays open only when `work` succeeds and is no dry run. */
  async #give<T>(device: BlockDevice, dryRun: boolean, work: () => Promise<T>): Promise<T> {
    let given = false;
    try {
      const result = await work();
      given = !dryRun;
      return result;
    } finally {
      if (!given) await device.close();
    }
  }

  // --- refusals ---------------------------------------------------------------------------------

  #resolve(verb: string, request: MemberChangeRequest, manager: ManagedArray): MemberCandidate {
    const { stack: name } = this.#host.words;
    return resolveMember({ verb, name }, request, this.#candidates(manager), keyOf);
  }

  /** Everything that may be meant by the name of a member; [] without a manager. */
  candidates(): MemberCandidate[] {
    const manager = this.#host.manager();
    return manager === null ? [] : this.#candidates(manager);
  }

  /** The device fills a slot, or did, or is a spare. */
  knows(device: string): boolean {
    const key = keyOf(device);
    if (key === null) return false;
    return this.candidates().some((one) => one.device !== null && keyOf(one.device) === key);
  }

  #candidates(manager: ManagedArray): MemberCandidate[] {
    const status = manager.status();
    const gone = (slot: number): string | null => this.#gone.get(slot)?.device ?? null;
    const candidates = candidatesOf(status, this.absentSpares(status), gone);
    const { slotPrefix } = this.#host.words;
    return candidates.map((candidate) => ({ ...candidate, slotPrefix }));
  }

  #refuseRebuilding(subject: Subject, { health, slot }: MemberCandidate): void {
    if (health !== 'rebuilding') return;
    const { option, stack } = this.#host.words;
    const hint = `end the rebuild first: bandstand rebuild ${stack} --cancel${option}`;
    throw this.#state(subject, `it is being filled for slot ${slot}`, hint);
  }

  #busy(subject: Subject, { kind, slot }: ManagedProcess): BandstandError {
    const { stack: name, whole } = this.#host.words;
    const what =
      kind === 'rebuild' ? `slot ${slot} of ${whole} is being rebuilt` : `a ${kind} is running`;
    const wait = `wait for it (bandstand wait ${name} --for ${kind})`;
    const hint =
      kind === 'check'
        ? `${wait}, or stop it: bandstand check ${name} --stop`
        : `${wait}, or add the device as a spare`;
    return cannot(subject, 'BANDSTAND_ACTIVITY_BUSY', what, hint, { name, kind, slot });
  }

  /** An empty slot is filled by the array's own rule: the lowest first, and with a spare first. */
  #refuseOtherOrder(subject: Subject, slot: number, status: ManagedStatus, device: string): void {
    const { option, stack } = this.#host.words;
    const hint = `add the device, for whichever slot is next: bandstand member add ${stack} ${device}${option}`;
    const [spare] = status.spares;
    if (spare !== undefined) {
      throw this.#state(subject, `the spare ${spare.device} takes the place of what is lost`, hint);
    }
    const first = lostSlot(status);
    if (first === slot || first === null) return;
    throw this.#state(subject, `slot ${first} is lost, too, and is filled first`, hint);
  }

  #state(subject: Subject, why: string, hint: string): BandstandError {
    return cannot(subject, 'BANDSTAND_MEMBER_STATE', why, hint, { name: this.#host.words.stack });
  }

  #needed(subject: Subject, { members, process }: ManagedStatus): BandstandError {
    const { option, stack: name, whole } = this.#host.words;
    const { level } = this.#host.spec();
    const bears = levelRules(level).tolerates(members.length);
    const survives = `survives ${bears === 1 ? 'one failure' : `${bears} failures`}`;
    const what = level === 'raid5f' ? level : `${level} of ${members.length} members`;
    return cannot(
      subject,
      'BANDSTAND_MEMBER_NEEDED',
      `${whole} is already degraded and ${what} ${survives}`,
      process?.kind === 'rebuild'
        ? `wait for the rebuild (bandstand wait ${name} --for rebuild)`
        : `add a device first: bandstand member add ${name} DEVICE${option}`,
      { name },
    );
  }

  // --- replies ----------------------------------------------------------------------------------

  #joined(
    action: MemberAction,
    request: { readonly dry_run: boolean; readonly spare_only?: boolean },
    device: BlockDevice,
    outcome: Foreseen | AddOutcome,
    old: MemberCandidate | null,
  ): MemberReply {
    const { role, slot, uuid, mode } = outcome;
    const reply = this.#reply(action, request.dry_run, true);
    const rebuild = request.dry_run && role === 'rebuild' ? { device: device.name, slot } : null;
    const status = this.#host.manager()!.status();
    const lost = lostSlot(status) !== null && request.spare_only !== true;
    const process = status.process?.kind ?? null;
    return {
      ...reply,
      device: device.name,
      uuid,
      slot,
      was: old?.health ?? null,
      role,
      mode,
      replaces: old?.device ?? null,
      rebuild_device: rebuild?.device ?? reply.rebuild_device,
      rebuild_slot: rebuild?.slot ?? reply.rebuild_slot,
      waits_for: role === 'spare' && lost ? process : null,
    };
  }

  #left(
    action: MemberAction,
    request: { readonly dry_run: boolean },
    found: MemberCandidate,
    changed: boolean,
  ): MemberReply {
    const reply = this.#reply(action, request.dry_run, changed);
    const { device, uuid, slot, health } = found;
    return { ...reply, device, uuid, slot, was: health };
  }

  #reply(action: MemberAction, dryRun: boolean, changed: boolean): MemberReply {
    const status = this.#host.manager()!.status();
    if (changed && !dryRun) this.#tellMembers();
    const rebuild = status.process?.kind === 'rebuild' ? status.process : null;
    return {
      action,
      dry_run: dryRun,
      of_cache: this.#host.words.slotPrefix !== '',
      changed,
      device: null,
      uuid: null,
      slot: null,
      was: null,
      role: null,
      mode: null,
      replaces: null,
      rebuild_device: rebuild?.target?.device ?? null,
      rebuild_slot: rebuild?.slot ?? null,
      waits_for: null,
      health: managedHealth(status),
    };
  }
}

/** What an addition would come to; the device has no UUID yet. */
interface Foreseen {
  readonly role: 'rebuild' | 'spare';
  readonly slot: number | null;
  readonly uuid: null;
  readonly mode: null;
}

/** `held`: a lost slot does not take it, either. */
function foreseen(status: ManagedStatus, held: boolean): Foreseen {
  const lost = lostSlot(status);
  // A spare that is there already goes first, and any process is ended or awaited first.
  const waits = status.process !== null || status.spares.length > 0;
  const spare = held || lost === null || waits;
  return {
    role: spare ? 'spare' : 'rebuild',
    slot: spare ? null : lost,
    uuid: null,
    mode: null,
  };
}

/** The slot that the array fills next, or null. */
function lostSlot({ members }: ManagedStatus): number | null {
  const lost = members.find(({ health }) => health === 'failed' || health === 'missing');
  return lost?.slot ?? null;
}
