/**
 * Checks of a stack that does not run: would it start, and what is wrong with whom? (control plane)
 *
 * The first check is the answer that an export would give. The others explain it: for each slot who
 * fills it, or why nobody does and what lies at the place where its member was; for each damaged
 * piece of metadata which field; for FTL, write buffer and NV cache whether they are there.
 */

import { type Check, notApplicable, ok, problem, type Question, warning } from './check.ts';

export interface ErrorFacts {
  readonly message: string;
  readonly hint: string | null;
  /** The device that it is about. */
  readonly device: string | null;
}

export interface SlotFacts {
  readonly slot: number;
  /** What fills it; null: nobody, and `reason` says why. */
  readonly device: string | null;
  readonly reason: string | null;
  /** The metadata says so: an export starts without it. */
  readonly recorded: boolean;
  /** What the start puts there by itself; null: nothing. */
  readonly filledBy: string | null;
}

/** What is at the path where a device of the stack was. */
export interface DeviceFacts {
  readonly path: string;
  readonly role: 'member' | 'spare' | 'cache';
  readonly slot: number | null;
  /** `member of tank (…), slot 0 of 2, raid1`, `an ext4 file system`; null: see `error`. */
  readonly content: string | null;
  readonly error: ErrorFacts | null;
  readonly damage: readonly DamageFacts[];
  /** `mounted at /srv`; null: nobody has it. */
  readonly usage: string | null;
}

export interface DamageFacts {
  /** `superblock`, `label copy 1`. */
  readonly part: string;
  readonly message: string;
  readonly field: string | null;
}

export interface LayerFacts {
  readonly state: 'absent' | 'found' | 'wrong' | 'unknown';
  readonly where: string | null;
  readonly error: ErrorFacts | null;
}

export interface AssemblyFacts {
  readonly name: string;
  /** What an export is refused with; null: it starts. */
  readonly error: ErrorFacts | null;
  /** It starts with --degraded; or only with --degraded and these devices. */
  readonly startsDegraded: boolean;
  readonly startsWith: readonly string[] | null;
  /** The last stop was clean; null where that is not known. */
  readonly clean: boolean | null;
  /** Null where assembly could decide nothing. */
  readonly slots: readonly SlotFacts[] | null;
  readonly devices: readonly DeviceFacts[];
  /** Devices that were found and are not used, and why. */
  readonly unused: readonly { readonly device: string; readonly reason: string }[];
  readonly warnings: readonly string[];
  readonly ftl: LayerFacts;
  readonly cache: LayerFacts;
  /** Writes were answered out of it in this boot; null: nothing is needed of one. */
  readonly buffer: { readonly path: string | null; readonly isThere: boolean } | null;
}

export function assemblyChecks(facts: AssemblyFacts): Check[] {
  const { devices, slots } = facts;
  const members =
    slots === null
      ? devices.filter(({ role }) => role === 'member').map((one) => placeCheck(facts, one))
      : slots.map((slot) => slotCheck(facts, slot));
  const others = devices
    .filter(({ role }) => role === 'spare')
    .map((one) => spareCheck(facts, one));
  return [
    startCheck(facts),
    ...members,
    ...others,
    ...damageChecks(facts),
    ...usageChecks(facts),
    ...warningChecks(facts),
    ftlCheck(facts),
    bufferCheck(facts),
    cacheCheck(facts),
  ];
}

function question(facts: AssemblyFacts, name: string, lookedAt: string, why: string): Question {
  return { area: 'stack', stack: facts.name, name, lookedAt, why };
}

// --- the array -----------------------------------------------------------------------------------

function startCheck(facts: AssemblyFacts): Check {
  const { clean, error, name, slots } = facts;
  const lookedAt = 'what an export would find, without writing anything';
  const about = question(facts, 'start', lookedAt, 'a stack that does not start serves nobody');
  if (error !== null) return problem(about, error.message, startAction(facts, error));
  const layer = [ftlCheck(facts), bufferCheck(facts), cacheCheck(facts)].find(
    ({ state }) => state === 'problem',
  );
  if (layer !== undefined) {
    const found = `its members are there, and it would not start: see ${layer.name}`;
    return problem(about, found, layer.action);
  }
  const missing = (slots ?? []).filter(({ device }) => device === null);
  const stop = clean === false ? ', after a recovery: its last stop was not clean' : '';
  if (missing.length === 0) return ok(about, `it would start${stop}`);
  const found = `it would start without ${missing.length} of ${slots!.length} members${stop}`;
  if (missing.every(({ filledBy }) => filledBy !== null)) return warning(about, found, null);
  const action = `bandstand export ${name}, then bandstand member add ${name} DEVICE`;
  return problem(about, found, action);
}

function startAction(facts: AssemblyFacts, { device, hint }: ErrorFacts): string | null {
  const { name, startsDegraded, startsWith } = facts;
  const actions = hint === null ? [] : [hint];
  if (hint === null && device !== null) actions.push(`look at it: bandstand examine ${device}`);
  if (startsDegraded && hint?.includes('--degraded') !== true) {
    actions.push(`start without what is missing: bandstand export ${name} --degraded`);
  }
  if (startsWith !== null) actions.push(`start without it: ${startsWithout(name, startsWith)}`);
  return actions.length === 0 ? null : actions.join('; or ');
}

function startsWithout(name: string, devices: readonly string[]): string {
  const given = devices.map((device) => `--device ${device}`);
  return ['bandstand export', name, '--degraded', ...given].join(' ');
}

const WHY_MEMBER = 'a member that is missing takes redundancy away, or data where there is none';

function slotCheck(facts: AssemblyFacts, slot: SlotFacts): Check {
  const place = facts.devices.find((one) => one.role === 'member' && one.slot === slot.slot);
  const lookedAt = place?.path ?? 'all block devices of the machine';
  const about = question(facts, `member-${slot.slot}`, lookedAt, WHY_MEMBER);
  if (slot.device !== null) {
    const moved =
      place === undefined || place.path === slot.device ? '' : `; it was at ${place.path}`;
    return ok(about, `${slot.device}${moved}`);
  }
  const what = placeWords(facts, place);
  const found = [slot.reason ?? 'nobody holds it', ...(what === null ? [] : [what])].join('; ');
  if (slot.filledBy !== null) {
    return warning(about, `${found}; ${slot.filledBy} is put there by the start`, null);
  }
  return problem(about, found, slotAction(facts, slot, place));
}

/** What lies where the member was. */
function placeWords({ error }: AssemblyFacts, place: DeviceFacts | undefined): string | null {
  if (place === undefined) return null;
  if (place.error !== null) return place.error.message;
  if (error !== null && error.device === place.path) return error.message;
  const damage = superblockDamage(place);
  if (damage !== null) return damage.message;
  return `${place.path} is there: ${place.content}`;
}

function superblockDamage({ damage }: DeviceFacts): DamageFacts | null {
  return damage.find(({ part }) => part === 'superblock') ?? null;
}

function slotAction(
  facts: AssemblyFacts,
  { recorded }: SlotFacts,
  place: DeviceFacts | undefined,
): string {
  const { error, name, startsDegraded, startsWith } = facts;
  const add = `bandstand member add ${name} DEVICE`;
  if (recorded) return `bandstand export ${name}, then ${add}`;
  const isThere = place !== undefined && place.error === null;
  const isOurs = isThere && (superblockDamage(place) !== null || error?.device === place.path);
  const look = isOurs
    ? `look at it: bandstand examine ${place.path}`
    : 'look for the device that holds it: bandstand examine DEVICE';
  const bring = place?.error?.hint ?? look;
  if (startsWith !== null) {
    return `${bring}; to go on without it: ${startsWithout(name, startsWith)}, then ${add}`;
  }
  if (error !== null && !startsDegraded) return `${bring}; the stack cannot start without it`;
  return `${bring}; if it is gone for good: bandstand export ${name} --degraded, then ${add}`;
}

/** Where assembly could decide nothing: what the device says by itself. */
function placeCheck(facts: AssemblyFacts, place: DeviceFacts): Check {
  const about = question(facts, `member-${place.slot}`, place.path, WHY_MEMBER);
  if (place.error !== null) return problem(about, place.error.message, place.error.hint);
  const { error } = facts;
  if (error !== null && error.device === place.path)
    return problem(about, error.message, error.hint);
  const damage = superblockDamage(place);
  if (damage !== null) {
    return problem(about, damage.message, `look at it: bandstand examine ${place.path}`);
  }
  return ok(about, `${place.path}: ${place.content}`);
}

function spareCheck(facts: AssemblyFacts, { content, error, path }: DeviceFacts): Check {
  const why = 'without it nothing is rebuilt by itself';
  const about = question(facts, 'spare', path, why);
  if (error !== null) return warning(about, error.message, error.hint);
  const reason = facts.unused.find(({ device }) => device === path)?.reason;
  if (reason === undefined) return ok(about, `${path}: ${content}`);
  const action = `bandstand examine ${path}`;
  return warning(about, `${path} is not used: ${reason}`, action);
}

/** The superblock of a member that is out is told with its slot. */
function damageChecks({ devices, name, slots }: AssemblyFacts): Check[] {
  const filled = new Set((slots ?? []).map(({ device }) => device));
  return devices.flatMap((device) =>
    device.damage.flatMap(({ field, message, part }) => {
      const { path, role } = device;
      if (part === 'superblock' && role === 'member' && !filled.has(path)) return [];
      const about: Question = {
        area: 'stack',
        stack: name,
        name: 'metadata',
        lookedAt: `the ${part} of ${path}`,
        why: 'it is kept twice, on this device or on others: what is left is the last copy',
      };
      const where = field === null ? part : `${part}, field ${field}`;
      const action = `look at it: bandstand examine ${path}; a start writes it again where it can`;
      return [warning(about, `${path}, ${where}: ${message}`, action)];
    }),
  );
}

function usageChecks(facts: AssemblyFacts): Check[] {
  return facts.devices.flatMap(({ path, usage }) => {
    if (usage === null) return [];
    const why = 'what others write to a member is not on the other members';
    const about = question(facts, 'usage', path, why);
    return [
      problem(about, `${path} is in use: ${usage}`, 'end that use before the stack is exported'),
    ];
  });
}

function warningChecks(facts: AssemblyFacts): Check[] {
  return facts.warnings.map((found) => {
    const why = 'it does not keep the stack from starting, and may be a sign of something else';
    return warning(question(facts, 'note', 'superblocks and labels', why), found, null);
  });
}

// --- what lies on it -----------------------------------------------------------------------------

function ftlCheck(facts: AssemblyFacts): Check {
  const { error, state } = facts.ftl;
  const why = 'it says where each block of the stack is';
  const about = question(facts, 'ftl', 'both superblocks of the FTL, on the array', why);
  if (state === 'absent') return notApplicable(about, 'the stack has none');
  if (state === 'unknown') return notApplicable(about, 'not before the array can be assembled');
  if (state === 'found') return ok(about, 'its superblock is there');
  return problem(about, error!.message, error!.hint);
}

function bufferCheck(facts: AssemblyFacts): Check {
  const { buffer, ftl, name } = facts;
  const why = 'writes that were answered are in it, and perhaps nowhere else';
  const about = question(facts, 'write-buffer', buffer?.path ?? 'the superblock of the FTL', why);
  if (ftl.state === 'absent') return notApplicable(about, 'the stack has no FTL');
  if (ftl.state !== 'found') return notApplicable(about, 'not before its FTL can be read');
  if (buffer === null) return ok(about, 'nothing of the stack is in one');
  if (buffer.isThere) return ok(about, `${buffer.path} is there: the start writes what is in it`);
  const found =
    'the write buffer that a killed server has left is gone: writes since the last flush may be lost';
  const action = `if that server had another --run-dir, name that one; to go on without them: bandstand export ${name} --discard-buffer`;
  return problem(about, found, action);
}

function cacheCheck(facts: AssemblyFacts): Check {
  const { error, state, where } = facts.cache;
  const why = 'the newest copy of many blocks is only there';
  const lookedAt = 'the NV cache that the FTL names, in its header';
  const about = question(facts, 'nv-cache', lookedAt, why);
  if (state === 'absent') return notApplicable(about, 'the stack has none');
  if (state === 'unknown') return notApplicable(about, 'not before its FTL can be read');
  if (state === 'found') return ok(about, `${where}`);
  return problem(about, error!.message, error!.hint);
}
