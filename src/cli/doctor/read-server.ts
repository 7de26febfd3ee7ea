/**
 * Reads the facts about a running server: its status, and /proc.                    (control plane)
 */

import { readFileSync } from 'node:fs';
import { BandstandError } from '../../block/errors.ts';
import { call } from '../../control/client.ts';
import { isRecord, type StatusDocument } from '../../control/schema.ts';
import { bufferFile } from '../../stack/buffer-file.ts';
import { stuckMount } from '../../stack/device-usage.ts';
import { type Directories, stackPaths } from '../../stack/directories.ts';
import { DATA_PATH_THREAD } from '../../stack/thread-name.ts';
import { runningStatus } from '../known-stacks.ts';
import { version } from '../version.ts';
import type { Places } from './places.ts';
import {
  environmentOf,
  linkOf,
  openFiles,
  readText,
  statusBytes,
  statusUid,
  threadsOf,
} from './proc.ts';
import type { ProcessFacts, ServerFacts } from './server-checks.ts';

/** A server that is there, whether it answers or not. */
export interface FoundServer {
  readonly name: string;
  readonly directories: Directories;
  readonly pid: number;
  readonly status: StatusDocument | null;
  readonly silence: ServerFacts['silence'];
}

/** Null when nobody listens at its socket. */
export async function findServer(
  directories: Directories,
  name: string,
  timeoutMs: number | undefined,
): Promise<FoundServer | null> {
  const { runDir } = directories;
  try {
    const status = await runningStatus(runDir, name, timeoutMs);
    if (status === null) return null;
    const pid = status.server?.pid ?? 0;
    return { name, directories, pid, status, silence: null };
  } catch (error) {
    if (!(error instanceof BandstandError)) throw error;
    const pid = await pidOf(runDir, name);
    const silence = { why: error.message, hint: error.hint };
    return { name, directories, pid, status: null, silence };
  }
}

/** The main thread may answer although the data path does not; else the lock file has it. */
async function pidOf(runDir: string, name: string): Promise<number> {
  const { lock, statusSocket } = stackPaths(runDir, name);
  try {
    const answer = await call(statusSocket, 'ping', {}, { name, timeoutMs: 1000 });
    const result = answer?.result;
    if (isRecord(result) && typeof result['pid'] === 'number') return result['pid'];
  } catch {
    // Not even that.
  }
  try {
    return Number.parseInt(readFileSync(lock, 'utf8'), 10) || 0;
  } catch {
    return 0;
  }
}

export function readServer(found: FoundServer, places: Places): ServerFacts {
  const { directories, name, pid, silence, status } = found;
  const { runDir } = directories;
  // Whether there is an FTL is asked of the status.
  const buffer = bufferFile({ name, remembered: null }, runDir);
  return {
    name,
    pid,
    status,
    silence,
    version: version(),
    process: readProcess(pid, status),
    log: places.read(stackPaths(runDir, name).log),
    buffer: buffer === null ? null : places.read(buffer.path),
  };
}

function readProcess(pid: number, status: StatusDocument | null): ProcessFacts | null {
  const text = readText(`/proc/${pid}/status`);
  const score = readText(`/proc/${pid}/oom_score_adj`);
  if (text === null || score === null) return null;
  const threads = threadsOf(pid);
  const main = threads.find(({ tid }) => tid === pid);
  const data = threads.find(({ name, tid }) => tid !== pid && name === DATA_PATH_THREAD);
  const environment = environmentOf(pid);
  return {
    uid: statusUid(text) ?? 0,
    lockedBytes: (statusBytes(text, 'VmLck') ?? 0) + (statusBytes(text, 'HugetlbPages') ?? 0),
    swappedBytes: statusBytes(text, 'VmSwap') ?? 0,
    oomScoreAdj: Number(score),
    isFlusher: main?.isFlusher === true,
    isDataPathFlusher: data?.isFlusher ?? null,
    hasOwnMounts: hasOwnMounts(pid),
    stuckMount: stuckMount()?.target ?? null,
    members: membersOf(pid, status),
    service:
      environment === null
        ? null
        : {
            notifies: environment.has('NOTIFY_SOCKET'),
            watchdogUs: Number(environment.get('WATCHDOG_USEC') ?? 0),
          },
  };
}

function hasOwnMounts(pid: number): boolean | null {
  const [its, ours] = [linkOf(`/proc/${pid}/ns/mnt`), linkOf('/proc/self/ns/mnt')];
  return its === null || ours === null ? null : its !== ours;
}

function membersOf(pid: number, status: StatusDocument | null): ProcessFacts['members'] {
  const files = openFiles(pid);
  if (files === null || status === null) return null;
  const { array, cache } = status;
  const paths = [
    ...(array?.members ?? []).map(({ device }) => device),
    ...(cache?.array?.members ?? []).map(({ device }) => device),
    ...(cache?.array === null ? [cache.device] : []),
  ];
  return paths.flatMap((path) => {
    const direct = path === null ? undefined : files.get(path);
    return direct === undefined ? [] : [{ path: path!, direct }];
  });
}
