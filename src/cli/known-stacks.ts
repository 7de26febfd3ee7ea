/**
 * Finds stacks by name: running ones by sockets, others by what is remembered.     (control plane)
 *
 * Reading verbs also look where root's stacks are (directories.ts), so that `list` and `status`
 * need no sudo. A socket without a server behind it is what a killed server leaves: such a stack
 * counts as crashed until `stop` or `export` has cleaned up.
 */

import { existsSync, readdirSync } from 'node:fs';
import { BandstandError } from '../block/errors.ts';
import { call, protocolError } from '../control/client.ts';
import { decodeStatus, type StatusDocument } from '../control/schema.ts';
import { type Directories, readableDirectories, stackPaths } from '../stack/directories.ts';
import { nameDefect } from '../stack/stack-name.ts';
import { type RememberedStack, StateStore } from '../stack/state-store.ts';
import { stoppedStatus } from '../stack/stopped-status.ts';
import { type Orphan, orphanOf } from './orphans.ts';
import { suggest } from './suggest.ts';

/** A server has both in RUN_DIR while it runs, and leaves them when it is killed. */
const SOCKET = '.status.sock';
const NOTE = '.ublk';

/** Names of every stack that runs, has crashed or is remembered, sorted. */
export function stackNames(directories: Directories): string[] {
  const names = new Set<string>();
  for (const { runDir, stateDir } of readableDirectories(directories)) {
    for (const name of new StateStore(stateDir).names()) names.add(name);
    for (const entry of entriesOf(runDir)) {
      if (entry.endsWith(SOCKET)) names.add(entry.slice(0, -SOCKET.length));
      const noted = entry.endsWith(NOTE) ? entry.slice(0, -NOTE.length) : null;
      if (noted !== null && orphanOf(runDir, noted) !== null) names.add(noted);
    }
  }
  return [...names].filter((name) => nameDefect(name) === null).sort();
}

function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/**
 * The status of one stack, running or not. Throws BANDSTAND_STACK_NOT_FOUND. Given up through
 * `signal`, it may be anything.
 */
export async function readStatus(
  directories: Directories,
  name: string,
  timeoutMs?: number,
  signal?: AbortSignal,
): Promise<StatusDocument> {
  for (const { runDir, stateDir } of readableDirectories(directories)) {
    const running = await runningStatus(runDir, name, timeoutMs, signal);
    if (running !== null) return running;
    const remembered = new StateStore(stateDir).load(name);
    const orphan = orphanOf(runDir, name);
    const crashed = orphan !== null || existsSync(stackPaths(runDir, name).statusSocket);
    if (remembered !== null) return offered(stoppedStatus(remembered, crashed), orphan);
    if (crashed) return offered(crashedStatus(name), orphan);
  }
  throw notFound(directories, name);
}

/** With what can be done about the device that its server has left. */
function offered(status: StatusDocument, orphan: Orphan | null): StatusDocument {
  if (orphan === null) return status;
  const { device, remove, takeOver } = orphan;
  return {
    ...status,
    reason: `its server ended without a clean stop, and ${device} waits for another one`,
    action: `take the device over: ${takeOver}; or give it up: ${remove}`,
  };
}

/** Of the stacks that have no server: the devices that wait for one. */
export function orphansOf(
  directories: Directories,
  stacks: readonly StatusDocument[],
): readonly Orphan[] {
  const stopped = stacks.filter(({ server }) => server === null);
  return stopped.flatMap(({ name }) => {
    for (const { runDir } of readableDirectories(directories)) {
      const orphan = orphanOf(runDir, name);
      if (orphan !== null) return [orphan];
    }
    return [];
  });
}

export async function runningStatus(
  runDir: string,
  name: string,
  timeoutMs?: number,
  signal?: AbortSignal,
): Promise<StatusDocument | null> {
  const path = stackPaths(runDir, name).statusSocket;
  const given = signal === undefined ? {} : { signal };
  const options = { name, ...given, ...(timeoutMs === undefined ? {} : { timeoutMs }) };
  const answer = await call(path, 'status', {}, options);
  if (answer === null) return null;
  const status = decodeStatus(answer.result);
  if ('why' in status) throw protocolError(name, status.why);
  return status.value;
}

/** A server was killed and nothing is remembered: there is a name and no more. */
function crashedStatus(name: string): StatusDocument {
  const nothing: RememberedStack = {
    name,
    uuid: '00000000-0000-0000-0000-000000000000',
    level: 'unknown',
    stripBytes: 0,
    blockBytes: 0,
    sizeBytes: 0,
    superblock: true,
    ftl: false,
    members: [],
    spares: [],
    cache: null,
  };
  const status = stoppedStatus(nothing, true);
  return { ...status, uuid: null, size_bytes: null, block_size: null, array: null };
}

/** `otherwise`: what to do when the name is not a slip. */
export function notFound(
  directories: Directories,
  name: string,
  otherwise = 'see which ones there are: bandstand list',
): BandstandError {
  const near = suggest(name, stackNames(directories));
  return new BandstandError('BANDSTAND_STACK_NOT_FOUND', {
    message: `cannot find a stack called ${name}: ${directories.stateDir} does not know it`,
    hint:
      near === null ? otherwise : `did you mean ${near}? see which ones there are: bandstand list`,
    details: { name, state_dir: directories.stateDir },
  });
}
