/**
 * `bandstand export NAME --dry-run`: what a start would put together, and as what.  (control plane)
 *
 * It is found by doing what a start does, as far as nothing is written (stack/assembly-look.ts);
 * what a start would be refused with is thrown. Loaded when it is asked for: it brings the data
 * path.
 */

import { BandstandError } from '../block/errors.ts';
import type { ExportRequest } from '../control/schema.ts';
import { type AssemblyLook, lookAtAssembly } from '../stack/assembly-look.ts';
import { withRing } from '../stack/offline-ring.ts';
import type { RememberedStack } from '../stack/state-store.ts';
import type { StackPlan } from '../stack/worker-messages.ts';
import type { CommandResult } from './command.ts';
import { arenaBytesFor } from './server-memory.ts';
import { table } from './table.ts';

const HOW = { auto: 'ublk or NBD', ublk: 'ublk', nbd: 'NBD' } as const;

interface PlannedMember {
  readonly slot: number;
  /** Null: it is missing. */
  readonly device: string | null;
}

/** Throws what the start would be refused with. */
export async function planExport(plan: StackPlan, request: ExportRequest): Promise<CommandResult> {
  const { name, remembered } = plan;
  if (remembered === null) throw unknownDevices(name, plan.devices);
  const bytes = arenaBytesFor({ remembered, requests: [request], bufferSurvives: true });
  const looked = { ...plan, remembered, readOnly: true };
  const look = await withRing((ring) => lookAtAssembly(ring, looked), bytes);
  const starts = look.error === null || (plan.degraded && look.startsDegraded);
  const error = starts ? (look.ftl.error ?? look.cache.error) : look.error;
  if (error !== null) throw error;
  return planned(name, membersOf(look, remembered), look, request);
}

function unknownDevices(name: string, devices: readonly string[]): BandstandError {
  return new BandstandError('BANDSTAND_STACK_NOT_FOUND', {
    message: `cannot plan an export of ${name}: it has not been used on this machine`,
    hint: `look at its devices: bandstand examine ${devices.join(' ')}`,
    details: { name },
  });
}

/** Without superblocks members are where they were. */
function membersOf({ found }: AssemblyLook, { members }: RememberedStack): PlannedMember[] {
  if (found === null) return members.map(({ slot, path }) => ({ slot, device: path }));
  return found.assembly.slots.map(({ device }, slot) => ({ slot, device }));
}

function planned(
  name: string,
  members: readonly PlannedMember[],
  { cache, ftl }: AssemblyLook,
  { read_only, via }: ExportRequest,
): CommandResult {
  const present = members.filter(({ device }) => device !== null).length;
  const hasFtl = ftl.state === 'found';
  const lines = [
    `${name} would be assembled from ${present} of ${members.length} members`,
    ...table(
      members.map(({ device, slot }) => [String(slot), device ?? 'missing']),
      { indent: '  ' },
    ),
    ...(hasFtl ? ['with its FTL'] : []),
    ...(cache.where === null ? [] : [`with its NV cache: ${cache.where}`]),
    `and exported ${read_only ? 'read-only' : 'read-write'}, by ${HOW[via]}`,
  ];
  return {
    schema: 'bandstand.export-plan/1',
    data: { name, via, read_only, members, ftl: hasFtl, cache: cache.where },
    text: () => lines.join('\n'),
    plain: () => members.map(({ device, slot }) => [slot, device]),
  };
}
