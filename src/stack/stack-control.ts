/**
 * StackControl: everything that a managed array adds to a stack, in one place.      (control plane)
 *
 * The requests of clients (stack-members.ts, stack-processes.ts, stack-cache.ts), the events of the
 * array, and the part of the status that only the array's manager knows. The stack has one and
 * gives it the manager once the array runs; an array without superblock never has a manager.
 */

import type { StatusDocument } from '../control/schema.ts';
import type {
  ActivityReply,
  CacheReply,
  MemberCall,
  MemberReply,
} from '../control/schema-members.ts';
import type { ArrayEvent } from '../raid/array-events.ts';
import type { AbsentSpare } from './absent-spares.ts';
import {
  managedAction,
  managedHealth,
  managedMembers,
  managedReason,
  managedSpares,
} from './managed-status.ts';
import { StackCache, type StackCacheHost } from './stack-cache.ts';
import { StackMembers, type StackMembersHost } from './stack-members.ts';
import { StackProcesses } from './stack-processes.ts';

export interface ManagedPart
  extends Pick<StatusDocument, 'health' | 'reason' | 'action' | 'activity'> {
  readonly members: NonNullable<StatusDocument['array']>['members'];
  readonly spares: NonNullable<StatusDocument['array']>['spares'];
}

export class StackControl {
  readonly #host: StackMembersHost;
  readonly #cache: StackCache;
  readonly members: StackMembers;
  readonly processes: StackProcesses;

  constructor(host: StackMembersHost & StackCacheHost) {
    this.#host = host;
    this.#cache = new StackCache(host);
    this.members = new StackMembers(host);
    this.processes = new StackProcesses(host, this.members);
  }

  /** What the array's manager tells; called from a reactor turn. */
  arrayEvent(event: ArrayEvent): void {
    const told = this.processes.arrayEvent(event);
    if (told !== null) this.members.arrayEvent(told);
  }

  /** The spares that are not here, or that nothing is done with. */
  get absentSpares(): readonly AbsentSpare[] {
    const status = this.#host.manager()?.status();
    return status === undefined ? [] : this.members.absentSpares(status);
  }

  /** Null without a manager. `why`: why a slot was out of service at the start. */
  status(why: (slot: number) => string | null): ManagedPart | null {
    const status = this.#host.manager()?.status();
    if (status === undefined) return null;
    const stack = {
      name: this.#host.name,
      level: this.#host.spec().level,
      readOnly: this.#host.readOnly,
      hasFtl: this.#host.ftl() !== null,
      status,
      why: (slot: number): string | null => this.members.why(slot) ?? why(slot),
    };
    return {
      health: managedHealth(status),
      reason: managedReason(stack),
      action: managedAction(stack),
      activity: this.processes.activity(status.process),
      members: managedMembers(status),
      spares: managedSpares(status, this.members.absentSpares(status)),
    };
  }

  /** Throws a BandstandError that says what could not be done; then nothing has changed. */
  change({ method, request }: MemberCall): Promise<MemberReply | ActivityReply | CacheReply> {
    switch (method) {
      case 'member-add':
        return this.members.addMember(request);
      case 'member-fail':
        return this.members.failMember(request);
      case 'member-remove':
        return this.members.removeMember(request);
      case 'member-replace':
        return this.members.replaceMember(request);
      case 'rebuild':
        return this.processes.controlRebuild(request);
      case 'check':
        return this.processes.controlCheck(request);
      case 'cache':
        return this.#cache.change(request);
    }
  }
}
