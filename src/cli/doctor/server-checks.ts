/**
 * Checks of a running server: its health, its version, and its place in memory reclaim.
 *                                                                                 (control plane)
 * A server of a block device is in the path of memory reclaim: what docs/architecture.md promises
 * about its memory is read back here, from /proc, of the process as it is now. It is promised for
 * servers that root runs; the others serve files over NBD.
 */

import { formatSize } from '../../block/quantities.ts';
import type { Health, StatusDocument } from '../../control/schema.ts';
import { ARENA_BYTES_MIN } from '../server-memory.ts';
import { type Check, notApplicable, ok, problem, type Question, warning } from './check.ts';
import { onExportCheck, type PlaceFacts } from './directory-checks.ts';

export interface ServerFacts {
  readonly name: string;
  readonly pid: number;
  /** Null when it did not answer; then `silence` says why. */
  readonly status: Pick<
    StatusDocument,
    'action' | 'activity' | 'cache' | 'exports' | 'ftl' | 'health' | 'reason' | 'server'
  > | null;
  readonly silence: { readonly why: string; readonly hint: string | null } | null;
  /** Of this program. */
  readonly version: string;
  /** Null where /proc does not tell. */
  readonly process: ProcessFacts | null;
  readonly log: PlaceFacts;
  /** Null where the stack needs none: it has no FTL, or an NV cache. */
  readonly buffer: PlaceFacts | null;
}

/** What /proc says of a server. What is null may be read by its own user and by root only. */
export interface ProcessFacts {
  readonly uid: number;
  /** Locked, or in huge pages that are never swapped out. */
  readonly lockedBytes: number;
  readonly swappedBytes: number;
  readonly oomScoreAdj: number;
  /** Marked as an I/O flusher: the main thread, and that of the data path (null: not found). */
  readonly isFlusher: boolean;
  readonly isDataPathFlusher: boolean | null;
  /** It has left the mount namespace of whoever asks; null: that cannot be seen. */
  readonly hasOwnMounts: boolean | null;
  /** A mount point that would keep it in the common one; null: there is none. */
  readonly stuckMount: string | null;
  /** Members that it has open, and whether past the page cache. */
  readonly members: readonly { readonly path: string; readonly direct: boolean }[] | null;
  /** From its environment; null: that cannot be read. */
  readonly service: { readonly notifies: boolean; readonly watchdogUs: number } | null;
}

const OOM_SCORE_NEVER = -1000;

export function serverChecks(facts: ServerFacts): Check[] {
  const checks = [answerCheck(facts)];
  const { status } = facts;
  if (status !== null) checks.push(healthCheck(facts.name, status), versionCheck(facts, status));
  const { process } = facts;
  if (process !== null) {
    const isBlockDevice = status?.exports.some(({ kind }) => kind === 'ublk') ?? false;
    const server: ServerMemory = { name: facts.name, process, isBlockDevice };
    checks.push(
      lockCheck(server),
      swapCheck(server),
      flusherCheck(server),
      oomCheck(server),
      mountCheck(server),
      directCheck(server),
      watchdogCheck(server),
    );
  }
  return [...checks, logCheck(facts), bufferCheck(facts)];
}

function question(name: string, stack: string, lookedAt: string, why: string): Question {
  return { area: 'server', stack, name, lookedAt, why };
}

function answerCheck({ name, pid, silence }: ServerFacts): Check {
  const why = 'a server that does not answer may be stuck, and its I/O with it';
  const about = question('answer', name, 'its status socket', why);
  if (silence === null) return ok(about, `process ${pid} answers`);
  const hint = silence.hint ?? 'look at its log';
  const given = `${hint}; to give up on it: kill -9 ${pid}, then bandstand export ${name}`;
  return problem(about, silence.why, given);
}

type Running = NonNullable<ServerFacts['status']>;

function healthCheck(name: string, { action, activity, health, reason }: Running): Check {
  const why = 'without redundancy the next failure loses data';
  const about = question('health', name, 'its status', why);
  const words: Readonly<Record<Health, string>> = {
    healthy: 'healthy',
    degraded: 'degraded',
    failed: 'failed',
    stopped: 'it is being started',
  };
  const found = reason === null ? words[health] : `${words[health]}: ${reason}`;
  if (health === 'healthy') {
    return reason === null ? ok(about, found) : warning(about, found, action);
  }
  if (health === 'stopped') return warning(about, reason ?? found, action);
  const mends = activity.kind === 'rebuild' && activity.pace !== 'paused';
  if (health === 'degraded' && mends) return warning(about, found, action);
  return problem(about, found, action ?? `bandstand status ${name}`);
}

function versionCheck({ name, version }: ServerFacts, { server }: Running): Check {
  const why = 'fixes of this version are not in a server of another one';
  const about = question('version', name, 'the version of the server', why);
  const its = server?.version ?? 'unknown';
  if (its === version) return ok(about, version);
  return warning(about, `${its}, this program is ${version}`, `bandstand upgrade ${name}`);
}

// --- memory --------------------------------------------------------------------------------------

interface ServerMemory {
  readonly name: string;
  readonly process: ProcessFacts;
  readonly isBlockDevice: boolean;
}

/** As bad as it is: for a block device of this machine, and for others. */
function unkept(about: Question, server: ServerMemory, found: string, action: string): Check {
  const { isBlockDevice, process } = server;
  if (isBlockDevice) return problem(about, found, action);
  if (process.uid === 0) return warning(about, found, action);
  return notApplicable(about, `${found}; it serves NBD without root, where nothing is promised`);
}

const again = (name: string): string => `bandstand stop ${name}, then bandstand export ${name}`;

function lockCheck(server: ServerMemory): Check {
  const { name, process } = server;
  const why = 'what has been swapped out may come back only through the device that it serves';
  const about = question('locked-memory', name, 'VmLck in /proc/PID/status', why);
  const locked = formatSize(process.lockedBytes);
  if (process.lockedBytes >= ARENA_BYTES_MIN) return ok(about, `${locked} locked`);
  const action = `raise the limit (LimitMEMLOCK=infinity, or ulimit -l unlimited), then ${again(name)}`;
  const found = process.lockedBytes === 0 ? 'nothing is locked' : `no more than ${locked} locked`;
  return unkept(about, server, found, action);
}

function swapCheck(server: ServerMemory): Check {
  const { name, process } = server;
  const why = 'the heaps of JavaScript cannot be locked; what is in swap comes back slowly';
  const about = question('swap', name, 'VmSwap in /proc/PID/status', why);
  if (process.swappedBytes === 0) return ok(about, 'nothing is in swap');
  const action = 'give it a cgroup without swap: MemorySwapMax=0 in its unit';
  return warning(about, `${formatSize(process.swappedBytes)} in swap`, action);
}

function flusherCheck(server: ServerMemory): Check {
  const { name, process } = server;
  const why = 'a server that waits for writeback of its own device waits for itself';
  const lookedAt = 'the flags of its threads in /proc/PID/task/TID/stat';
  const about = question('io-flusher', name, lookedAt, why);
  const { isDataPathFlusher: data, isFlusher: main } = process;
  if (main && data === true) return ok(about, 'the main thread and the data path are marked');
  if (main && data === null) {
    return notApplicable(
      about,
      'the main thread is marked; which one the data path is cannot be told',
    );
  }
  const lacking = [
    ...(main ? [] : ['the main thread']),
    ...(data === false ? ['the data path'] : []),
  ];
  const found = `${lacking.join(' and ')} ${lacking.length === 1 ? 'is' : 'are'} not marked`;
  return unkept(about, server, found, `give it CAP_SYS_RESOURCE, then ${again(name)}`);
}

function oomCheck(server: ServerMemory): Check {
  const { name, process } = server;
  const why = 'a server that is killed to free memory takes its block device away for a while';
  const about = question('oom-score', name, '/proc/PID/oom_score_adj', why);
  const found = `oom_score_adj ${process.oomScoreAdj}`;
  if (process.oomScoreAdj === OOM_SCORE_NEVER) return ok(about, found);
  return unkept(about, server, found, `give it CAP_SYS_RESOURCE, then ${again(name)}`);
}

function mountCheck(server: ServerMemory): Check {
  const { isBlockDevice, name, process } = server;
  const why = 'the last process with a mount of its own device could not end';
  const about = question('mount-namespace', name, '/proc/PID/ns/mnt', why);
  if (!isBlockDevice) return notApplicable(about, 'it serves no block device of this machine');
  if (process.hasOwnMounts === null) return notApplicable(about, 'only root can see it');
  if (process.hasOwnMounts) return ok(about, 'a namespace of its own');
  const stuck = process.stuckMount;
  const found = 'the common one';
  if (stuck === null)
    return unkept(about, server, found, `give it CAP_SYS_ADMIN, then ${again(name)}`);
  const action = `unmount what is on its device before you stop it; or make mounts shared: mount --make-rshared /, then ${again(name)}`;
  return warning(about, `${found}, because the mount ${stuck} is not shared`, action);
}

function directCheck({ name, process }: ServerMemory): Check {
  const why = 'through the page cache each write takes memory just when it may be short';
  const about = question('direct-io', name, 'the flags of its members in /proc/PID/fdinfo', why);
  if (process.members === null) return notApplicable(about, 'only root can see them');
  if (process.members.length === 0) return notApplicable(about, 'no member is a file or a disk');
  const buffered = process.members.filter(({ direct }) => !direct).map(({ path }) => path);
  if (buffered.length === 0) {
    return ok(about, `all of ${process.members.length} devices are open past the page cache`);
  }
  const action = 'move them to a file system that takes O_DIRECT, or use disks';
  return warning(about, `${buffered.join(', ')}: through the page cache`, action);
}

function watchdogCheck({ name, process }: ServerMemory): Check {
  const why = 'a service manager with a watchdog starts a server again whose data path hangs';
  const about = question('watchdog', name, 'NOTIFY_SOCKET and WATCHDOG_USEC of the process', why);
  const { service } = process;
  if (service === null) return notApplicable(about, 'only root can see it');
  if (!service.notifies) return notApplicable(about, 'no service manager has started it');
  if (service.watchdogUs === 0) {
    return warning(about, 'a service without a watchdog', 'add WatchdogSec=30 to its unit');
  }
  return ok(about, `fed for a limit of ${service.watchdogUs / 1e6} s`);
}

// --- places --------------------------------------------------------------------------------------

function logCheck({ log, name }: ServerFacts): Check {
  const why = 'writing the log must not wait for the device that writes it';
  const about = question('log', name, log.path, why);
  if (log.kind === null) return notApplicable(about, `${log.path} is not there: it logs elsewhere`);
  if (log.onExport !== null) return onExportCheck(about, log.path, log.onExport, '--run-dir');
  return ok(about, `${log.path} is on no export`);
}

function bufferCheck({ buffer, name, status }: ServerFacts): Check {
  const why = 'writes that were answered are kept there when the server is killed';
  const about = question('write-buffer', name, buffer?.path ?? 'its FTL', why);
  if (status === null) return notApplicable(about, 'it does not answer');
  if (status.ftl === null) return notApplicable(about, 'the stack has no FTL');
  if (status.cache !== null) return notApplicable(about, 'the NV cache takes its place');
  if (buffer !== null && buffer.kind !== null) return ok(about, `${buffer.path}, in memory`);
  const found =
    buffer === null
      ? 'neither its run directory nor /dev/shm is in memory'
      : `${buffer.path} is not there`;
  if (buffer === null) {
    return warning(
      about,
      `${found}: each write waits for the members`,
      'mount a tmpfs at /dev/shm',
    );
  }
  const action = `have all of it written while the server lives: ${again(name)}`;
  return problem(about, `${found}: somebody has removed it`, action);
}
