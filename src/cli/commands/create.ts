/**
 * `bandstand create NAME --raid LEVEL MEMBER…`: makes a stack, starts nothing.      (control plane)
 *
 * Refusals come first and name the device; what would be lost has to be named with --erase, device
 * by device, and confirmed: by typing the stack's name on a terminal, by --confirm NAME or --yes in
 * scripts. Without --erase nothing can be lost and nothing is asked.
 */

import { BandstandError } from '../../block/errors.ts';
import { formatSize } from '../../block/quantities.ts';
import { makeUuid, parseUuid } from '../../block/uuid.ts';
import {
  type CreateRequest,
  executeCreate,
  type PreparedCreate,
  type PreparedDevice,
  prepareCreate,
  preparedSize,
} from '../../stack/create-stack.ts';
import { STRIP_BYTES_DEFAULT } from '../../stack/device-spec.ts';
import { type Ring, withRing } from '../../stack/offline-ring.ts';
import { checkStackName } from '../../stack/stack-name.ts';
import { StateStore } from '../../stack/state-store.ts';
import { type Arguments, usageError } from '../arguments.ts';
import { cacheDevices } from '../cache-devices.ts';
import { type Command, type CommandResult, DRY_RUN } from '../command.ts';
import type { CommandContext } from '../command-context.ts';
import { runningStatus } from '../known-stacks.ts';
import { LEVEL_NAMES, parseLevelOrRefuse } from '../level-option.ts';
import { MeteredWork } from '../metered-work.ts';
import { table } from '../table.ts';

/** An array and its FTL are written with large requests. */
const ARENA_BYTES = 32 * 2 ** 20;

export const create: Command = {
  name: 'create',
  summary: 'Writes the metadata of a new array to its members. Starts nothing.',
  positionals: [
    { name: 'NAME', required: true, many: false },
    { name: 'MEMBER', required: true, many: true },
  ],
  options: [
    {
      name: 'raid',
      kind: 'text',
      value: 'LEVEL',
      words: LEVEL_NAMES,
      summary: 'raid0, raid1, raid5f or concat',
    },
    {
      name: 'strip-size',
      kind: 'text',
      value: 'SIZE',
      summary: 'a power of two (128K); not for raid1',
    },
    { name: 'uuid', kind: 'text', value: 'UUID', summary: 'of the array; random by default' },
    { name: 'erase', kind: 'list', value: 'DEVICE', summary: 'this member may lose what it holds' },
    {
      name: 'superblock',
      kind: 'flag',
      shown: 'off',
      summary: 'write nothing, remember it here only',
    },
    { name: 'ftl', kind: 'flag', shown: 'both', summary: 'log-structured layer; on for raid5f' },
    {
      name: 'cache',
      kind: 'text',
      value: 'DEV[,DEV]',
      summary: 'fast device that takes writes first, or a mirror of two',
    },
    { name: 'spare', kind: 'list', value: 'DEV', summary: 'kept ready to replace a failed member' },
    { name: 'op', kind: 'text', value: 'PERCENT', summary: 'space the FTL holds back; 20' },
    DRY_RUN,
    {
      name: 'confirm',
      kind: 'text',
      value: 'NAME',
      summary: 'confirm --erase without being asked',
    },
    { name: 'yes', kind: 'flag', summary: 'the same without the name' },
  ],
  examples: [
    ['create tank --raid raid1 /dev/sdb /dev/sdc', 'mirrors two disks'],
    ['create fast --raid raid0 --strip-size 64K a.img b.img', 'stripes over two files'],
  ],
  async run(context, args) {
    const request = createRequest(args);
    await refuseKnown(context, request.name);
    const work = new MeteredWork(context, request.name);
    const make = async (ring: Ring): Promise<CommandResult> => {
      work.begin('Look at the devices');
      const prepared = await prepareCreate(ring, request);
      const dryRun = args.flag('dry-run');
      for (const warning of prepared.warnings) context.note(`warning: ${warning}`);
      if (dryRun) return result(prepared, prepared.plan.uuid, true);
      await confirm(context, args, prepared);
      work.begin('Write the metadata');
      const remembered = await executeCreate(ring, prepared, work.advanced);
      new StateStore(context.directories.stateDir).save(remembered);
      return result(prepared, remembered.uuid, false);
    };
    return await withRing(make, ARENA_BYTES).finally(() => context.progress.end());
  },
};

function createRequest(args: Arguments): CreateRequest {
  const name = args.positional('NAME');
  checkStackName(name);
  const level = parseLevelOrRefuse(args.text('raid'));
  const uuidText = args.text('uuid');
  const uuid = uuidText === null ? null : parseUuid(uuidText);
  if (uuidText !== null && uuid === null) {
    throw usageError(
      `cannot use --uuid '${uuidText}': it is not a UUID`,
      'leave it out, and a random one is made',
    );
  }
  const strip = args.sizeBytes('strip-size');
  if (level === 'raid1' && strip !== null) {
    throw usageError('cannot use --strip-size with raid1: it has no strips', 'leave it out');
  }
  const superblock = args.choice('superblock') !== false;
  const spares = args.list('spare').map((spare) => refuseForm(spare));
  if (spares.length > 0) refuseSpares(level, superblock);
  const caches = cacheDevices(args.text('cache')).map((cache) => refuseForm(cache));
  const ftl = ftlRequest(args, level, superblock);
  if (caches.length > 0 && !ftl.ftl) refuseCache(superblock);
  return {
    name,
    level,
    stripBytes: level === 'raid1' ? null : (strip ?? STRIP_BYTES_DEFAULT),
    uuid: uuid ?? (superblock ? null : makeUuid()),
    superblock,
    ...ftl,
    members: args.many('MEMBER').map((member) => refuseForm(member)),
    spares,
    caches,
    erase: args.list('erase'),
  };
}

function refuseCache(superblock: boolean): never {
  throw superblock
    ? usageError(
        'cannot use --cache with --no-ftl: the FTL takes what the cache has gathered',
        'leave one of them out',
      )
    : usageError(
        'cannot use --cache with --no-superblock: nothing would record that there is a cache',
        'leave one of them out',
      );
}

function ftlRequest(
  args: Arguments,
  level: string,
  superblock: boolean,
): Pick<CreateRequest, 'ftl' | 'overProvisioning'> {
  const text = args.text('op');
  // Without metadata on the members nothing would say that they are not what they seem.
  const wanted = level === 'raid5f' || args.text('cache') !== null;
  const ftl = args.choice('ftl') ?? (wanted && superblock);
  if (ftl && !superblock) {
    throw usageError(
      'cannot use --ftl with --no-superblock: nothing would record that there is an FTL',
      'leave one of them out',
    );
  }
  if (text === null) return { ftl, overProvisioning: null };
  if (!ftl) throw usageError('cannot use --op without an FTL', 'add --ftl, or leave it out');
  const percent = Number(text);
  if (!/^\d{1,2}$/.test(text) || percent < 1) {
    throw usageError(`cannot use --op '${text}': it is a number of per cent, 1 to 99`, 'use 20');
  }
  return { ftl, overProvisioning: percent };
}

function refuseSpares(level: string, superblock: boolean): void {
  if (level !== 'raid1' && level !== 'raid5f') {
    throw usageError(
      `cannot use --spare with ${level}: it has no redundancy to rebuild from`,
      'leave it out',
    );
  }
  if (superblock) return;
  throw usageError(
    'cannot use --spare with --no-superblock: nothing would record who replaces whom',
    'leave one of them out',
  );
}

/** Members are kept, so they cannot live in memory. */
function refuseForm(member: string): string {
  const form = /^(null|mem):|^(error|delay|raid0|raid1|raid5f|concat)\(/.exec(member);
  if (form === null) return member;
  throw usageError(
    `cannot create a stack on '${member}': members are block devices or regular files`,
    'write ./NAME for a file whose name looks like that',
  );
}

async function refuseKnown(context: CommandContext, name: string): Promise<void> {
  const { runDir, stateDir } = context.directories;
  const running = await runningStatus(runDir, name, context.timeoutMs ?? undefined);
  const known = running !== null || new StateStore(stateDir).load(name) !== null;
  if (!known) return;
  throw new BandstandError('BANDSTAND_STACK_EXISTS', {
    message: `cannot create ${name}: a stack of this name is ${running === null ? 'known already' : 'running'}`,
    hint:
      running === null
        ? `choose another name, or look at it: bandstand status ${name}; if it is gone for good: bandstand forget ${name}`
        : `choose another name, or look at it: bandstand status ${name}`,
    details: { name, state: new StateStore(stateDir).path(name) },
  });
}

async function confirm(
  context: CommandContext,
  args: Arguments,
  prepared: PreparedCreate,
): Promise<void> {
  const { name } = prepared.request;
  const confirmed = args.text('confirm');
  if (confirmed !== null && confirmed !== name) {
    throw usageError(
      `cannot create ${name}: --confirm says '${confirmed}'`,
      'write the same name twice',
    );
  }
  const all = [...prepared.members, ...prepared.spares, ...cachesOf(prepared)];
  const lost = all.filter((member) => member.erase && member.holds.length > 0);
  if (lost.length === 0 || confirmed !== null || args.flag('yes')) return;
  const list = lost.map((member) => member.device).join(', ');
  if (!context.interactive) {
    throw new BandstandError('BANDSTAND_NOT_CONFIRMED', {
      message: `cannot create ${name}: what ${list} ${lost.length === 1 ? 'holds' : 'hold'} would be lost, and nobody can be asked`,
      hint: `repeat the command with --confirm ${name}`,
      details: { name, devices: lost.map((member) => member.device) },
    });
  }
  context.note(`${planLines(prepared).join('\n')}\n`);
  const answer = await context.ask('Type the name of the stack to create it: ');
  if (answer === name) return;
  throw new BandstandError('BANDSTAND_NOT_CONFIRMED', {
    message: `cannot create ${name}: the answer was '${answer}'`,
    hint: 'repeat the command and type the name; nothing was written',
    details: { name },
  });
}

function result(prepared: PreparedCreate, uuid: string | null, dryRun: boolean): CommandResult {
  const { plan, request } = prepared;
  const notes = laterNotes(prepared);
  const members = prepared.members.map((member) => ({
    slot: member.slot,
    device: member.device,
    uuid: plan.members[member.slot]!.uuid,
    size_bytes: member.sizeBytes,
    holds: member.holds.map((held) => ({ kind: held.kind, label: held.label })),
    erase: member.erase,
    data_offset_bytes: plan.members[member.slot]!.dataOffset * plan.blockBytes,
    data_size_bytes: plan.members[member.slot]!.dataSize * plan.blockBytes,
  }));
  const spares = prepared.spares.map((spare) => ({
    device: spare.device,
    uuid: spare.uuid,
    size_bytes: spare.sizeBytes,
    holds: spare.holds.map((held) => ({ kind: held.kind, label: held.label })),
    erase: spare.erase,
  }));
  const cacheDocuments = cachesOf(prepared).map((device) => ({
    device: device.device,
    size_bytes: device.sizeBytes,
    holds: device.holds.map((held) => ({ kind: held.kind, label: held.label })),
    erase: device.erase,
  }));
  const cache =
    prepared.cache === null
      ? null
      : {
          device: prepared.cache.name,
          uuid: dryRun ? null : prepared.cache.uuid,
          size_bytes: prepared.cache.sizeBytes,
          holds: cacheDocuments.flatMap(({ holds }) => holds),
          erase: cacheDocuments.some(({ erase }) => erase),
          devices: cacheDocuments,
        };
  const data = {
    name: plan.name,
    uuid: dryRun && request.uuid === null ? null : uuid,
    dry_run: dryRun,
    level: plan.level,
    strip_size_bytes: plan.stripBlocks === 0 ? null : plan.stripBlocks * plan.blockBytes,
    block_size: plan.blockBytes,
    size_bytes: preparedSize(prepared),
    superblock: request.superblock,
    ftl:
      prepared.ftl === null
        ? null
        : {
            op_percent: prepared.ftl.overProvisioning,
            bands: prepared.ftl.bandCount,
            band_size_bytes: prepared.ftl.bandBytes,
            unit_size_bytes: prepared.ftl.unitBytes,
          },
    members,
    spares,
    cache,
    notes,
  };
  const last = dryRun
    ? [`would create ${plan.name}; nothing was written`]
    : [`created ${plan.name} (${uuid})`, ...notes.map((note) => `  ${note}`)];
  return {
    schema: 'bandstand.create/1',
    data,
    text: () => [...planLines(prepared), '', ...last].join('\n'),
    plain: () => [[plan.name, data.uuid, plan.level, data.size_bytes]],
  };
}

function cachesOf({ cache }: PreparedCreate): readonly PreparedDevice[] {
  return cache?.devices ?? [];
}

function laterNotes({ plan, request }: PreparedCreate): string[] {
  const command = `export it: bandstand export ${plan.name}`;
  if (plan.level !== 'raid5f' || request.ftl) return [command];
  const why = 'raid5f takes full stripes only, which the FTL makes';
  return [`it can be exported read-only: ${why}`, `${command} --read-only`];
}

function ftlLine({ ftl }: PreparedCreate): string[] {
  if (ftl === null) return [];
  const { bandBytes, bandCount, overProvisioning } = ftl;
  return [
    `  ftl     ${bandCount} bands of ${formatSize(bandBytes)}, ${overProvisioning} % held back`,
  ];
}

function planLines(prepared: PreparedCreate): string[] {
  const { plan, members, spares } = prepared;
  const bytes = (blocks: number): string => formatSize(blocks * plan.blockBytes);
  const data = plan.level === 'raid5f' ? plan.members.length - 1 : plan.members.length;
  const strip =
    plan.stripBlocks === 0
      ? ''
      : `, strip ${bytes(plan.stripBlocks)}${plan.level === 'concat' ? '' : `, stripe ${bytes(plan.stripBlocks * data)}`}`;
  const raw = members.reduce((sum, member) => sum + member.sizeBytes, 0);
  const row = (place: string, device: PreparedDevice): string[] => [
    place,
    device.device,
    formatSize(device.sizeBytes),
    device.holds[0]?.description.replace(/^an? /, '') ?? 'nothing recognised',
    device.erase && device.holds.length > 0 ? 'will be erased' : '',
  ];
  const rows = [
    ...members.map((member) => row(String(member.slot), member)),
    ...spares.map((spare) => row('spare', spare)),
    ...cachesOf(prepared).map((cache) => row('cache', cache)),
  ];
  const count = spares.length;
  const ready = count === 0 ? '' : `, ${count} ${count === 1 ? 'spare' : 'spares'}`;
  return [
    `  array   ${plan.level}, ${members.length} members${ready}${strip}`,
    ...ftlLine(prepared),
    `  usable  ${formatSize(preparedSize(prepared))} of ${formatSize(raw)} raw`,
    '',
    ...table([['SLOT', 'DEVICE', 'SIZE', 'NOW HOLDS', ''], ...rows], { indent: '  ' }),
  ];
}
