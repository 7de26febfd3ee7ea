/**
 * `bandstand doctor [NAME]`: what is wrong here, why, and what to do.               (control plane)
 *
 * Reads facts and judges them: the machine, the directories, servers that run, what killed ones
 * have left, and of stacks that do not run whether they would start. Nothing is written, locked or
 * loaded, so it may be run at any time, by anybody; who is not root sees less, and is told so.
 */

import { BandstandError } from '../../block/errors.ts';
import { type Directories, readableDirectories } from '../../stack/directories.ts';
import { checkStackName } from '../../stack/stack-name.ts';
import { StateStore } from '../../stack/state-store.ts';
import type { Command } from '../command.ts';
import type { CommandContext } from '../command-context.ts';
import { assemblyChecks } from '../doctor/assembly-checks.ts';
import {
  type Check,
  checkJson,
  checkRecord,
  checksText,
  countOf,
  exitStatusOf,
  notApplicable,
  problem,
  type Question,
} from '../doctor/check.ts';
import { directoryChecks } from '../doctor/directory-checks.ts';
import { leftoverChecks } from '../doctor/leftover-checks.ts';
import { machineChecks } from '../doctor/machine-checks.ts';
import { Places } from '../doctor/places.ts';
import { readAssembly } from '../doctor/read-assembly.ts';
import { namesIn, readLeftovers } from '../doctor/read-leftovers.ts';
import { readMachine } from '../doctor/read-machine.ts';
import { type FoundServer, findServer, readServer } from '../doctor/read-server.ts';
import { serverChecks } from '../doctor/server-checks.ts';
import { notFound } from '../known-stacks.ts';
import { orphanOf } from '../orphans.ts';
import { readUblkRecord } from '../ublk-record.ts';
import { version } from '../version.ts';

const TIMEOUT_MS_DEFAULT = 10_000;

export const doctor: Command = {
  name: 'doctor',
  summary: 'Looks for what is wrong: machine, servers, leftovers, stacks that would not start.',
  positionals: [{ name: 'NAME', required: false, many: false }],
  options: [],
  examples: [
    ['doctor', 'looks at everything, and ends with 1 when something is a problem'],
    ['doctor tank', 'explains why the stack tank does not start'],
  ],
  async run(context, args) {
    const name = args.optionalPositional('NAME');
    if (name !== null) checkStackName(name);
    const checks = await examine(context, name);
    return {
      schema: 'bandstand.doctor/1',
      data: {
        version: version(),
        problems: countOf(checks, 'problem'),
        warnings: countOf(checks, 'warning'),
        checks: checks.map(checkJson),
      },
      text: () => checksText(checks),
      plain: () => checks.map(checkRecord),
      exitStatus: exitStatusOf(checks),
    };
  },
};

async function examine(context: CommandContext, name: string | null): Promise<Check[]> {
  const timeoutMs = context.timeoutMs ?? TIMEOUT_MS_DEFAULT;
  const directories = readableDirectories(context.directories);
  const known = directories.flatMap((pair) => namesIn(pair).map((one) => [one, pair] as const));
  if (name !== null && !known.some(([one]) => one === name)) {
    throw notFound(context.directories, name);
  }
  context.detail('asking the machine, and every server');
  const machine = await readMachine(timeoutMs);
  const all = known.map(([one, pair]) => findServer(pair, one, timeoutMs));
  const servers = (await Promise.all(all)).filter((one) => one !== null);
  const places = new Places(exportedBy(servers, known));
  const running = new Set(servers.map((server) => server.name));
  const { devices } = machine;
  const left = readLeftovers({ directories, name, running, devices });
  const isWanted = (one: string): boolean => name === null || one === name;
  const wanted = servers.filter((server) => isWanted(server.name));
  const stopped = known.filter(([one]) => isWanted(one) && !running.has(one));
  const stacks: Check[] = [];
  for (const [one, pair] of stopped) {
    context.detail(`looking at ${one}, which does not run`);
    const holder = left.stacks.find((stack) => stack.name === one)?.holder ?? null;
    stacks.push(...(await stoppedChecks(pair, one, holder)));
  }
  return [
    ...machineChecks(machine.facts),
    ...directoryChecks(places.directories(context.directories)),
    ...wanted.flatMap((server) => serverChecks(readServer(server, places))),
    ...leftoverChecks(left),
    ...stacks,
  ];
}

/** What servers export, also those that do not answer, and what killed ones have left. */
function exportedBy(
  servers: readonly FoundServer[],
  known: readonly (readonly [string, Directories])[],
) {
  return [
    ...servers.map(({ name: stack, status }) => ({ stack, exports: status?.exports ?? [] })),
    ...known.flatMap(([stack, { runDir }]) => {
      const isSilent = servers.some(({ name, status }) => name === stack && status === null);
      const id = isSilent ? readUblkRecord(runDir, stack)?.id : orphanOf(runDir, stack)?.id;
      if (id === undefined) return [];
      return [{ stack, exports: [{ kind: 'ublk' as const, address: `/dev/ublkb${id}` }] }];
    }),
  ];
}

/** Of a stack without a server: [] where no more is known of it than what a server has left. */
async function stoppedChecks(
  directories: Directories,
  name: string,
  holder: number | null,
): Promise<Check[]> {
  const store = new StateStore(directories.stateDir);
  const question: Question = {
    area: 'stack',
    stack: name,
    name: 'start',
    lookedAt: store.path(name),
    why: 'a stack that does not start serves nobody',
  };
  try {
    const remembered = store.load(name);
    if (remembered === null) return [];
    if (holder !== null) return [notApplicable(question, `process ${holder} has its lock`)];
    return assemblyChecks(await readAssembly(directories, remembered));
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    if (error instanceof BandstandError && error.code === 'BANDSTAND_STATE_INVALID') {
      return [problem(question, error.message, error.hint)];
    }
    const isDefect = !(error instanceof BandstandError) && error.name !== 'AddonMissingError';
    if (isDefect) throw error;
    return [notApplicable(question, `it cannot be looked at: ${error.message}`)];
  }
}
