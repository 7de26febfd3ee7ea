/**
 * Starts a detached server process and waits until its export can be used.          (control plane)
 *
 * The process is started without knowing what for, and tells over the IPC channel that it has
 * loaded. Then it gets its options, and tells that it is ready, or why it cannot be: that error is
 * shown as if it had happened here. After that the two are strangers: the channel is closed, the
 * server has its own session and writes to its own log.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BandstandError } from '../block/errors.ts';
import { decodeExportReply, type ExportReply, isRecord } from '../control/schema.ts';
import { ensureDirectory, stackPaths } from '../stack/directories.ts';
import { errorOf } from '../stack/stack-host.ts';
import { wantsUblk } from './match-export.ts';
import type { ServeOptions } from './serve.ts';
import type { ServerAnswer } from './server-entry.ts';

const KILL_DELAY_MS = 5000;
/** The server's argument that says that ublk will be needed. */
export const WITH_UBLK = 'ublk';

export interface HowToStart {
  /** It stays in the session of this process. */
  readonly attached: boolean;
  /** It may have to serve a ublk device. */
  readonly ublk: boolean;
}

type Message = Readonly<Record<string, unknown>>;

/** Throws what keeps the server from starting. Without an answer in time the server is ended. */
export async function startServer(options: ServeOptions, timeoutMs: number): Promise<ExportReply> {
  const { plan, runDir, exitWithParent, requests } = options;
  const parts = {
    attached: exitWithParent,
    ublk: requests.some(wantsUblk),
  };
  return await StartingServer.spawn(plan.name, runDir, parts).start(options, timeoutMs);
}

export class StartingServer {
  readonly #name: string;
  readonly #log: string;
  readonly #child: ChildProcess;

  static spawn(name: string, runDir: string, how: HowToStart): StartingServer {
    ensureDirectory(runDir, 'run');
    const log = stackPaths(runDir, name).log;
    return new StartingServer(name, log, spawnServer(log, how));
  }

  private constructor(name: string, log: string, child: ChildProcess) {
    this.#name = name;
    this.#log = log;
    this.#child = child;
    // Told to whoever waits for a message; in between nobody does.
    child.on('error', () => {});
  }

  /** Resolves with its version when it has loaded, and only waits for its options. */
  async loaded(timeoutMs: number): Promise<string> {
    const message = await this.#message((one) => 'loaded' in one, timeoutMs);
    return String(message['loaded']);
  }

  async start(options: ServeOptions, timeoutMs: number): Promise<ExportReply> {
    const child = this.#child;
    try {
      const answered = this.#message((one) => 'ready' in one || 'error' in one, timeoutMs);
      child.send(options, (error) => {
        if (error !== null) child.emit('error', error);
      });
      const answer = (await answered) as unknown as ServerAnswer;
      if ('error' in answer) throw errorOf(answer.error);
      const reply = decodeExportReply(answer.ready);
      if ('why' in reply) throw serverError(this.#name, this.#log, reply.why);
      return reply.value;
    } finally {
      this.dismiss();
    }
  }

  /** Closes the channel; one that has no options yet ends by itself. */
  dismiss(): void {
    const child = this.#child;
    if (child.connected) child.disconnect();
    // One that is being ended is waited for.
    if (!child.killed) child.unref();
  }

  #message(isWanted: (message: Message) => boolean, timeoutMs: number): Promise<Message> {
    const child = this.#child;
    const [name, log] = [this.#name, this.#log];
    return new Promise((resolve, reject) => {
      const over = (): void => {
        clearTimeout(timer);
        child.off('message', message).off('error', failed).off('exit', ended);
      };
      const message = (one: unknown): void => {
        if (!isRecord(one)) return;
        if (!isWanted(one)) return;
        over();
        resolve(one);
      };
      const failed = (error: Error): void => {
        over();
        reject(serverError(name, log, error.message));
      };
      const ended = (code: number | null, signal: string | null): void => {
        over();
        reject(serverError(name, log, `it ended with ${signal ?? `status ${code}`}`));
      };
      const timer = setTimeout(() => {
        over();
        endServer(child);
        reject(timeoutError(name, log, timeoutMs));
      }, timeoutMs);
      child.on('message', message).on('error', failed).on('exit', ended);
    });
  }
}

function spawnServer(log: string, { attached, ublk }: HowToStart): ChildProcess {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const program = fileURLToPath(new URL(`./server-entry.${extension}`, import.meta.url));
  const fd = openSync(log, 'a', 0o640);
  try {
    return spawn(process.execPath, [...process.execArgv, program, ...(ublk ? [WITH_UBLK] : [])], {
      cwd: '/',
      detached: !attached,
      stdio: ['ignore', fd, fd, 'ipc'],
    });
  } finally {
    closeSync(fd);
  }
}

/** A clean end where the server is well; a stuck one is killed, which is always survivable. */
function endServer(child: ChildProcess): void {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), KILL_DELAY_MS);
  child.ref();
  child.once('exit', () => clearTimeout(timer));
}

function timeoutError(name: string, log: string, timeoutMs: number): BandstandError {
  return new BandstandError('BANDSTAND_SERVER_TIMEOUT', {
    message: `cannot export ${name}: its server was not ready within ${timeoutMs / 1000} s and was ended`,
    hint: `look at ${log} and the kernel log (dmesg), or wait longer with --timeout`,
    details: { name, timeout_ms: timeoutMs, log },
  });
}

function serverError(name: string, log: string, why: string): BandstandError {
  return new BandstandError('BANDSTAND_SERVER_FAILED', {
    message: `cannot start the server of ${name}: ${why}`,
    hint: `look at its log: ${log}`,
    details: { name, log },
  });
}
