/**
 * Starts a detached server process and waits until its export can be used.          (control plane)
 *
 * The server tells over the IPC channel that it is ready, or why it cannot be: that error is shown
 * as if it had happened here. After that the two are strangers: the channel is closed, the server
 * has its own session and writes to its own log.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BandstandError } from '../block/errors.ts';
import { decodeExportReply, type ExportReply, isRecord } from '../control/schema.ts';
import { ensureDirectory, stackPaths } from '../stack/directories.ts';
import { errorOf } from '../stack/stack-host.ts';
import type { ServeOptions } from './serve.ts';
import type { ServerAnswer } from './server-entry.ts';

const KILL_DELAY_MS = 5000;

/** Throws what keeps the server from starting. Without an answer in time the server is ended. */
export async function startServer(options: ServeOptions, timeoutMs: number): Promise<ExportReply> {
  const name = options.plan.name;
  ensureDirectory(options.runDir, 'run');
  const log = stackPaths(options.runDir, name).log;
  const child = spawnServer(log, options.exitWithParent);
  try {
    const answer = await firstAnswer(child, options, timeoutMs, log);
    if ('error' in answer) throw errorOf(answer.error);
    const reply = decodeExportReply(answer.ready);
    if ('why' in reply) throw serverError(name, log, reply.why);
    return reply.value;
  } finally {
    if (child.connected) child.disconnect();
    // One that is being ended is waited for.
    if (!child.killed) child.unref();
  }
}

function spawnServer(log: string, attached: boolean): ChildProcess {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const program = fileURLToPath(new URL(`./server-entry.${extension}`, import.meta.url));
  const fd = openSync(log, 'a', 0o640);
  try {
    return spawn(process.execPath, [...process.execArgv, program], {
      cwd: '/',
      detached: !attached,
      stdio: ['ignore', fd, fd, 'ipc'],
    });
  } finally {
    closeSync(fd);
  }
}

function firstAnswer(
  child: ChildProcess,
  options: ServeOptions,
  timeoutMs: number,
  log: string,
): Promise<ServerAnswer> {
  const { name } = options.plan;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      endServer(child);
      reject(
        new BandstandError('BANDSTAND_SERVER_TIMEOUT', {
          message: `cannot export ${name}: its server was not ready within ${timeoutMs / 1000} s and was ended`,
          hint: `look at ${log} and the kernel log (dmesg), or wait longer with --timeout`,
          details: { name, timeout_ms: timeoutMs, log },
        }),
      );
    }, timeoutMs);
    child.once('message', (message) => {
      clearTimeout(timer);
      if (isRecord(message)) resolve(message as unknown as ServerAnswer);
      else reject(serverError(name, log, 'it sent something that is no answer'));
    });
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(serverError(name, log, error.message));
    });
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      reject(serverError(name, log, `it ended with ${signal ?? `status ${code}`}`));
    });
    child.send(options, (error) => {
      if (error !== null) reject(serverError(name, log, error.message));
    });
  });
}

/** A clean end where the server is well; a stuck one is killed, which is always survivable. */
function endServer(child: ChildProcess): void {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), KILL_DELAY_MS);
  child.ref();
  child.once('exit', () => clearTimeout(timer));
}

function serverError(name: string, log: string, why: string): BandstandError {
  return new BandstandError('BANDSTAND_SERVER_FAILED', {
    message: `cannot start the server of ${name}: ${why}`,
    hint: `look at its log: ${log}`,
    details: { name, log },
  });
}
