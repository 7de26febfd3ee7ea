/**
 * Checks of leftovers: what killed servers have left, and who cleans it up.         (control plane)
 *
 * A ublk device without a server holds up its users, a write buffer has answered writes in it that
 * may be nowhere else; sockets and notes are mere litter. Each goes with the command that goes on
 * with it, or gives it up. A lock file by itself is nothing: the lock is its process's.
 */

import { type Check, ok, problem, type Question, warning } from './check.ts';

export interface LeftoverFacts {
  /** Stacks without a server that answers, and what there is of theirs in RUN_DIR. */
  readonly stacks: readonly StackLeftovers[];
  /** ublk devices that this program has made, and that no note is about; null: only root sees. */
  readonly strayDevices: readonly StrayDevice[] | null;
  /** Write buffers of servers with other run directories. */
  readonly strayBuffers: readonly string[];
}

export interface StackLeftovers {
  readonly name: string;
  /** The stack is known: an export finds its members. */
  readonly isKnown: boolean;
  readonly runDir: string;
  /** The device that waits for a server; null: none. */
  readonly device: string | null;
  /** What the driver says of it: `quiesced`, `live` …; null: only root is told. */
  readonly deviceState: string | null;
  /** A note about a device that is not there any more. */
  readonly staleNote: string | null;
  /** Sockets that nobody listens at. */
  readonly sockets: readonly string[];
  /** The write buffer that a killed server has left. */
  readonly buffer: string | null;
  /** A process that holds the lock, and does not answer. */
  readonly holder: number | null;
}

export interface StrayDevice {
  readonly device: string;
  readonly state: string;
  readonly serverPid: number;
}

const LEFTOVERS = { area: 'leftovers' } as const;

export function leftoverChecks(facts: LeftoverFacts): Check[] {
  const found = [
    ...facts.stacks.flatMap(stackChecks),
    ...strayDeviceChecks(facts.strayDevices ?? []),
    ...strayBufferChecks(facts.strayBuffers),
  ];
  if (found.length > 0) return found;
  const question: Question = {
    ...LEFTOVERS,
    stack: null,
    name: 'leftovers',
    lookedAt: 'the run directory, /sys/class/ublk-char, /dev/shm, /proc/locks',
    why: 'what a killed server leaves may hold up I/O, or hold data',
  };
  const seen = facts.strayDevices === null ? ' (devices without a note: only root sees them)' : '';
  return [ok(question, `no killed server has left anything${seen}`)];
}

function stackChecks(left: StackLeftovers): Check[] {
  const checks = [holderCheck(left), deviceCheck(left), bufferCheck(left), litterCheck(left)];
  return checks.filter((check) => check !== null);
}

function question(left: StackLeftovers, name: string, lookedAt: string, why: string): Question {
  return { ...LEFTOVERS, stack: left.name, name, lookedAt, why };
}

/** What brings the stack back: one that is not known needs to be told its members. */
function exportOf({ isKnown, name, runDir }: StackLeftovers): string {
  return `bandstand export ${name}${isKnown ? '' : ` --device PATH… --run-dir ${runDir}`}`;
}

function holderCheck(left: StackLeftovers): Check | null {
  const { holder, name, runDir } = left;
  if (holder === null) return null;
  const why = 'nobody else can start the stack as long as the process has its lock';
  const about = question(left, 'lock', `${runDir}/${name}.lock`, why);
  const found = `process ${holder} has the lock of ${name}, and answers nobody: it is starting, ending, or stuck`;
  const action = `look at ${runDir}/${name}.log; to give up on it: kill -9 ${holder}`;
  return problem(about, found, action);
}

function deviceCheck(left: StackLeftovers): Check | null {
  const { device, deviceState, name } = left;
  if (device === null) return null;
  const why = 'its I/O waits until a server takes it over, or it is removed';
  const about = question(left, 'orphan', device, why);
  const state = deviceState === null ? '' : `, ${deviceState}`;
  const action = `take it over: ${exportOf(left)}; or give it up: bandstand stop ${name}`;
  return problem(about, `${device} of ${name} has no server${state}`, action);
}

function bufferCheck(left: StackLeftovers): Check | null {
  const { buffer, name } = left;
  if (buffer === null) return null;
  const why = 'writes that were answered may be in it and nowhere else; it ends with the machine';
  const about = question(left, 'write-buffer', buffer, why);
  const found = `a killed server of ${name} has left ${buffer}`;
  return problem(
    about,
    found,
    `have it written to the members: ${exportOf(left)}; do not remove it`,
  );
}

function litterCheck(left: StackLeftovers): Check | null {
  const { device, name, sockets, staleNote } = left;
  const litter = staleNote === null || device !== null ? sockets : [...sockets, staleNote];
  if (litter.length === 0) return null;
  const why = 'they are of no use, and do no harm: the next start replaces them';
  const about = question(left, 'files', litter.join(', '), why);
  const found = `a killed server of ${name} has left ${litter.join(', ')}`;
  return warning(about, found, `go on: ${exportOf(left)}; or clean up: bandstand stop ${name}`);
}

function strayDeviceChecks(devices: readonly StrayDevice[]): Check[] {
  return devices.map(({ device, serverPid, state }) => {
    const about: Question = {
      ...LEFTOVERS,
      stack: null,
      name: 'orphan',
      lookedAt: device,
      why: 'its I/O waits until a server takes it over, or it is removed',
    };
    const found = `bandstand has made ${device} (${state}, server ${serverPid}), and no note in this run directory is about it`;
    const action =
      'look for its note NAME.ublk where its server ran: bandstand doctor --run-dir DIR';
    return problem(about, found, action);
  });
}

function strayBufferChecks(buffers: readonly string[]): Check[] {
  return buffers.map((path) => {
    const about: Question = {
      ...LEFTOVERS,
      stack: null,
      name: 'write-buffer',
      lookedAt: path,
      why: 'writes that were answered may be in it and nowhere else; it ends with the machine',
    };
    const found = `a killed server with another run directory has left ${path}`;
    const action =
      'export the stack with the --run-dir that its server had; do not remove it before';
    return warning(about, found, action);
  });
}
