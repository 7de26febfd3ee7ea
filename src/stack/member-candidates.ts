/**
 * Everything of a running stack that a person may mean by the name of a member.     (control plane)
 *
 * Members and spares, and what the array's own table does not show: the device that is filled in
 * place of a member in service, the one that has failed while its slot is being rebuilt (the server
 * still has it open), and spares that are not here.
 */

import type { AbsentSpare } from './absent-spares.ts';
import type { ManagedStatus } from './managed-array.ts';
import type { MemberCandidate } from './member-reference.ts';

/** `gone`: slot → the device that left service there and has not been let go of. */
export function candidatesOf(
  { members, spares, process }: ManagedStatus,
  absent: readonly AbsentSpare[],
  gone: (slot: number) => string | null,
): Omit<MemberCandidate, 'slotPrefix'>[] {
  const target = process?.target ?? null;
  const copies = process?.replace === true;
  const candidates: Omit<MemberCandidate, 'slotPrefix'>[] = [];
  for (const { slot, uuid, device, health } of members) {
    if (health !== 'rebuilding') {
      candidates.push({ slot, uuid, device, health });
      continue;
    }
    candidates.push({ slot, uuid: target?.uuid ?? uuid, device, health });
    const before = gone(slot);
    if (before === null || before === device) continue;
    const former = uuid === target?.uuid ? null : uuid;
    candidates.push({ slot, uuid: former, device: before, health: 'failed', beside: 'gone' });
  }
  if (target !== null && copies) {
    const { slot } = process!;
    candidates.push({ slot, ...target, health: 'rebuilding', beside: 'target' });
  }
  for (const spare of spares) {
    if (spare.uuid !== target?.uuid) candidates.push({ slot: null, ...spare, health: 'spare' });
  }
  for (const { uuid, path, why } of absent) {
    const health = why === null ? 'spare' : 'missing';
    candidates.push({ slot: null, uuid, device: path, health });
  }
  return candidates;
}
