/**
 * Reads the facts about a stopped stack: assembly-look.ts, as plain data.           (control plane)
 */

import { existsSync } from 'node:fs';
import type { BandstandError } from '../../block/errors.ts';
import { isRecord } from '../../control/schema.ts';
import type { AssemblyLook, DeviceLook, LayerLook } from '../../stack/assembly-look.ts';
import { bootId } from '../../stack/boot-id.ts';
import { bufferFile } from '../../stack/buffer-file.ts';
import type { Directories } from '../../stack/directories.ts';
import type { ExaminedDevice } from '../../stack/examine-device.ts';
import { presentPath } from '../../stack/find-members.ts';
import type { RememberedStack } from '../../stack/state-store.ts';
import { headline } from '../commands/examine.ts';
import { lookAtStart } from '../next-start.ts';
import type {
  AssemblyFacts,
  DamageFacts,
  DeviceFacts,
  ErrorFacts,
  LayerFacts,
  SlotFacts,
} from './assembly-checks.ts';

/** Throws where there is no io_uring to look with. */
export async function readAssembly(
  { runDir }: Directories,
  remembered: RememberedStack,
): Promise<AssemblyFacts> {
  const { name } = remembered;
  const look = await lookAtStart(remembered);
  const buffer = bufferFile({ name, remembered }, runDir);
  const isThere = buffer !== null && existsSync(buffer.path);
  return {
    name,
    error: look.error === null ? null : errorFacts(look.error),
    startsDegraded: look.startsDegraded,
    startsWith: look.startsWith,
    clean: look.found?.assembly.clean ?? null,
    slots: slotsOf(look, remembered),
    devices: look.devices.map(deviceFacts),
    unused: look.found?.assembly.unused ?? [],
    warnings: look.found?.assembly.warnings ?? [],
    ftl: layerFacts(look.ftl),
    cache: layerFacts(look.cache),
    buffer: isBufferNeeded(look) ? { path: buffer?.path ?? null, isThere } : null,
  };
}

/** It is of this boot: of an earlier one nothing can be left, and power was cut. */
function isBufferNeeded({ bufferBoot }: AssemblyLook): boolean {
  return bufferBoot !== null && bufferBoot === bootId();
}

function errorFacts({ details, hint, message }: BandstandError): ErrorFacts {
  const { device } = details;
  return { message, hint, device: typeof device === 'string' ? device : null };
}

function layerFacts({ error, state, where }: LayerLook): LayerFacts {
  return { state, where, error: error === null ? null : errorFacts(error) };
}

/** What assembly has decided, or what its refusal says about slots; null: nothing. */
function slotsOf(look: AssemblyLook, { members }: RememberedStack): SlotFacts[] | null {
  if (look.found !== null) return assembledSlots(look.found.assembly);
  const missing = look.error?.details['missing'];
  if (!Array.isArray(missing)) return null;
  return members.map(({ path, slot }) => {
    const entry: unknown = missing.find((one) => isRecord(one) && one['slot'] === slot);
    const reason = isRecord(entry) ? String(entry['reason']) : null;
    const device = reason === null ? presentPath(path) : null;
    return { slot, device, reason, recorded: false, filledBy: null };
  });
}

type Assembly = NonNullable<AssemblyLook['found']>['assembly'];

function assembledSlots({ returning, slots, spares, target }: Assembly): SlotFacts[] {
  return slots.map(({ device, reason, recorded, slot }) => {
    const rebuilt = target?.slot === slot ? target.device : null;
    const back = returning.find((one) => one.slot === slot && !one.failed)?.device ?? null;
    const spare = spares[0] === undefined ? null : `the spare ${spares[0].device}`;
    const filledBy = device === null ? (rebuilt ?? back ?? spare) : null;
    return { slot, device, reason, recorded, filledBy };
  });
}

function deviceFacts({ error, examined, path, role, slot }: DeviceLook): DeviceFacts {
  return {
    path: presentPath(path),
    role,
    slot,
    content: examined === null ? null : headline(examined),
    error: error === null ? null : errorFacts(error),
    damage: examined === null ? [] : damageOf(examined),
    usage: examined?.usage ?? null,
  };
}

function damageOf({ cache, examination }: ExaminedDevice): DamageFacts[] {
  const { labels, superblock } = examination;
  const parts = [
    ['superblock', superblock.error],
    ['label copy 0', labels[0].error],
    ['label copy 1', labels[1].error],
    ['header of the NV cache', cache?.error ?? null],
  ] as const;
  return parts.flatMap(([part, error]) => {
    if (error === null) return [];
    const { field } = error.details;
    return [{ part, message: error.message, field: typeof field === 'string' ? field : null }];
  });
}
