/**
 * The server process of one stack: composition root.                                (control plane)
 *
 * Everything that the process will ever need is imported here, before it serves: a later import
 * could have to read a file system that lives on the very device that is served. Then, in order:
 * the lock (two servers never run for one stack), the log, the process's place in memory reclaim
 * (I/O flusher, locked memory, out-of-memory score, mount namespace), the stack, the control
 * sockets, the export, `ready`.
 *
 * Signals: TERM and INT flush, remove the export, mark clean and end with 0, a second one ends at
 * once; HUP reopens the log; USR1 writes the status to the log (without a handler Node would open
 * its debugger port in a root process). SIGKILL is always survivable.
 */

import { writeFileSync } from 'node:fs';
import { availableParallelism, constants } from 'node:os';
import { BandstandError } from '../block/errors.ts';
import { statusName } from '../block/status.ts';
import type { ExportReply, ExportRequest } from '../control/schema.ts';
import type { NativeAddon } from '../native/addon.ts';
import { loadAddon } from '../native/load.ts';
import { bufferFile } from '../stack/buffer-file.ts';
import { stuckMount } from '../stack/device-usage.ts';
import { ensureDirectory, stackPaths } from '../stack/directories.ts';
import type { StackPlan } from '../stack/worker-messages.ts';
import { wantsUblk } from './match-export.ts';
import { openFileLog, openStderrLog, type ServerLog } from './server-log.ts';
import { arenaBytesFor } from './server-memory.ts';
import { endParts, type ServerParts, serverParts } from './server-parts.ts';
import { takeStackLock } from './stack-lock.ts';
import { StackServer } from './stack-server.ts';
import { version } from './version.ts';

/**
 * What the kernel sends when the parent dies. Not SIGTERM, because the kernel repeats it for each
 * thread that a dying parent's children are handed to, and a second SIGTERM ends a server at once.
 */
const PARENT_DIED = 'SIGUSR2';

export interface ServeOptions {
  readonly plan: StackPlan;
  /** What to export it as; at least one, and the first is the one that the caller waits for. */
  readonly requests: readonly ExportRequest[];
  readonly runDir: string;
  readonly stateDir: string;
  readonly foreground: boolean;
  /** In the foreground, too: something else is on the terminal. */
  readonly logsToFile: boolean;
  readonly exitWithParent: boolean;
}

/** On a single processor a spin would keep away the very work that it waits for. */
const POLL_US = availableParallelism() > 1 ? 50 : 0;
const OOM_SCORE = '-1000';
/** The service manager wants to hear more often than it waits. */
const WATCHDOG_DIVISOR = 2;

/**
 * Runs the server until it is stopped; resolves with the exit status. `onReady` is told once the
 * export can be used. Throws what keeps the server from starting; then nothing is left behind.
 *
 * `parts`: they may have been loaded while nobody knew the options yet.
 */
export async function serve(
  options: ServeOptions,
  onReady: (reply: ExportReply) => void,
  parts = serverParts(options.requests.some(wantsUblk)),
): Promise<number> {
  try {
    return await serveOn(parts, options, onReady);
  } catch (error) {
    await endParts(parts);
    throw error;
  }
}

async function serveOn(
  parts: ServerParts,
  options: ServeOptions,
  onReady: (reply: ExportReply) => void,
): Promise<number> {
  const native = loadAddon();
  const { plan, runDir, foreground, logsToFile } = options;
  ensureDirectory(runDir, 'run');
  const paths = stackPaths(runDir, plan.name);
  const lockFd = takeStackLock(native, runDir, plan.name, 'start a server for');
  const toFile = logsToFile || !foreground;
  const log = toFile ? openFileLog(paths.log, plan.name) : openStderrLog(plan.name);
  try {
    return await serveLocked({ native, parts, log }, options, onReady);
  } finally {
    log.flush();
    native.fileClose(lockFd);
  }
}

async function serveLocked(
  { native, parts, log }: { native: NativeAddon; parts: ServerParts; log: ServerLog },
  options: ServeOptions,
  onReady: (reply: ExportReply) => void,
): Promise<number> {
  const { plan, runDir, stateDir, foreground, exitWithParent } = options;
  const leavesMounts = harden(native, options, log);
  const buffer = bufferFile(plan, runDir);
  return await new Promise<number>((resolve, reject) => {
    const server = new StackServer({
      native,
      parts,
      logger: log.logger,
      runDir,
      stateDir,
      version: version(),
      isDetached: !foreground && !exitWithParent,
      worker: {
        plan,
        arenaBytes: arenaBytesFor({
          remembered: plan.remembered,
          requests: options.requests,
          bufferSurvives: buffer !== null,
        }),
        pollUs: POLL_US,
        buffer,
        leavesMounts,
      },
      onProgress: (line) => native.sdNotify(`STATUS=${line}`),
      onFailure: (error) => {
        log.logger.fatal({ code: error.code, details: error.details }, error.message);
        end(1);
      },
      // From now on the service manager waits for the end, and for no sign of life.
      onStopping: () => native.sdNotify('STOPPING=1'),
      onStop: () => end(0),
    });
    const end = (status: number): void => {
      server.disconnect().finally(() => resolve(status));
    };
    handleSignals(server, log, end);
    start(server, options, native, onReady).catch(async (error: unknown) => {
      await server.stop().catch(() => {});
      await server.disconnect();
      log.logger.error(error instanceof Error ? error.message : String(error));
      reject(error);
    });
  });
}

async function start(
  server: StackServer,
  options: ServeOptions,
  native: NativeAddon,
  onReady: (reply: ExportReply) => void,
): Promise<void> {
  await server.start();
  const [first, ...others] = options.requests;
  const reply = await server.export(first!);
  const notes = [...reply.notes];
  // One that fails is no reason to give up those that work.
  for (const request of others) notes.push(...(await exportToo(server, request)));
  native.sdNotify(`READY=1\nSTATUS=exported as ${reply.address}`);
  startWatchdog(server, native);
  onReady({ ...reply, notes });
}

/** Gives what the user should know. */
async function exportToo(server: StackServer, request: ExportRequest): Promise<readonly string[]> {
  try {
    const { address } = await server.export(request);
    return [`exported as ${address}, too`];
  } catch (error) {
    if (!(error instanceof BandstandError)) throw error;
    return [`an export that it had is missing: ${error.message}`];
  }
}

/**
 * The process is in the path of memory reclaim: if it had to wait for memory that is freed only by
 * writing to its own device, both would wait for ever.
 *
 * @returns whether the mount namespace has been left, which each thread does for itself
 */
function harden(native: NativeAddon, options: ServeOptions, log: ServerLog): boolean {
  const { logger } = log;
  native.setProcessName(`bandstand ${options.plan.name}`.slice(0, 15));
  const flusher = native.setIoFlusher(true);
  if (flusher < 0 || native.getIoFlusher() !== 1) {
    logger.warn({ errno: statusName(flusher) }, 'cannot mark the process as an I/O flusher');
  }
  const locked = native.lockMemory();
  if (locked < 0)
    logger.warn({ errno: statusName(locked) }, 'cannot lock the memory of the process');
  try {
    writeFileSync('/proc/self/oom_score_adj', OOM_SCORE);
  } catch (error) {
    const errno = (error as NodeJS.ErrnoException).code;
    logger.warn({ errno }, 'cannot protect the process from the out-of-memory killer');
  }
  const { [PARENT_DIED]: signal } = constants.signals;
  if (options.exitWithParent && native.setParentDeathSignal(signal) < 0) {
    logger.warn('cannot follow the parent process');
  }
  return leaveMountNamespace(native, options, log);
}

/**
 * A server that is the last process in a mount namespace with a mount of its own device would wait
 * for itself when it ends. But a copy of a mount that does not follow its original would keep that
 * file system busy after it was unmounted outside, so the namespace is left only where they follow.
 */
function leaveMountNamespace(
  native: NativeAddon,
  { requests }: ServeOptions,
  { logger }: ServerLog,
): boolean {
  const stuck = stuckMount();
  if (stuck !== null) {
    logger.info({ mount: stuck.target }, 'stays in the mount namespace: mounts are not shared');
    return false;
  }
  const result = native.privateMounts();
  if (result >= 0) return true;
  // NBD needs no block device, nor the right to make one; but one may be asked for later.
  const level = requests.some(wantsUblk) ? 'warn' : 'info';
  logger[level]({ errno: statusName(result) }, 'cannot leave the mount namespace');
  return false;
}

function handleSignals(server: StackServer, log: ServerLog, end: (status: number) => void): void {
  let asked = false;
  const stop = (signal: string): void => {
    asked = true;
    log.logger.info({ signal }, 'stopping');
    server.stop().then(
      () => end(0),
      (error: unknown) => {
        log.logger.error(error instanceof Error ? error.message : String(error));
        end(1);
      },
    );
  };
  process.on(PARENT_DIED, () => {
    if (!asked) stop(PARENT_DIED);
  });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (asked) {
        log.logger.warn({ signal }, 'ended without a clean stop');
        log.flush();
        // As if there had never been a handler: at once, whatever the other threads do.
        process.removeAllListeners(signal);
        process.kill(process.pid, signal);
        return;
      }
      stop(signal);
    });
  }
  process.on('SIGHUP', () => log.reopen());
  process.on('SIGUSR1', () => {
    server.status().then(
      (status) => log.logger.info({ status }, 'status'),
      (error: unknown) => log.logger.warn(error instanceof Error ? error.message : String(error)),
    );
  });
}

/**
 * Feeds WATCHDOG_USEC through the data path: a stuck reactor does not answer. The variables may be
 * meant for another process, which has started this one.
 */
function startWatchdog(server: StackServer, native: NativeAddon): void {
  const { WATCHDOG_PID: pid, WATCHDOG_USEC: usec } = process.env;
  const us = Number(usec ?? 0);
  if (!(us > 0) || (pid !== undefined && Number(pid) !== process.pid)) return;
  const timer = setInterval(
    () => {
      server.status().then(
        () => native.sdNotify('WATCHDOG=1'),
        () => {},
      );
    },
    us / 1000 / WATCHDOG_DIVISOR,
  );
  timer.unref();
}
