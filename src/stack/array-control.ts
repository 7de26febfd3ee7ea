/**
 * ArrayControl: what clients ask of one managed array, and what its manager knows.  (control plane)
 *
 * The stack's own array has one, and so has the mirror under its NV cache. An array without
 * superblock never has a manager, and then refuses whatever it is asked.
 */

import type { StatusDocument } from '../control/schema.ts';
import type { ArrayEvent } from '../raid/array-events.ts';
import type { AbsentSpare } from './absent-spares.ts';
import {
  managedAction,
  managedHealth,
  managedMembers,
  managedReason,
  managedSpares,
} from './managed-status.ts';
import { StackMembers, type StackMembersHost } from './stack-members.ts';
import { StackProcesses } from './stack-processes.ts';

export interface ManagedPart
  extends Pick<StatusDocument, 'health' | 'reason' | 'action' | 'activity'> {
  readonly members: NonNullable<StatusDocument['array']>['members'];
  readonly spares: NonNullable<StatusDocument['array']>['spares'];
}

export class ArrayControl {
  readonly #host: StackMembersHost;
  readonly members: StackMembers;
  readonly processes: StackProcesses;

  constructor(host: StackMembersHost) {
    this.#host = host;
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
      words: this.#host.words,
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
}
