/**
 * MonitorProcess: a foreground server's handle of the monitor on its terminal.      (control plane)
 *
 * The process is started before the server protects itself from the out-of-memory killer and from
 * waiting for its own device: neither is for what draws a screen. It waits until it is shown.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { isRecord } from '../control/schema.ts';
import type { MonitorOrder } from './monitor-entry.ts';

/** `quit`: by q. `interrupt`: by Ctrl-C. `gone`: by a signal, or by a defect. */
export type MonitorEnd = 'quit' | 'interrupt' | 'gone';

export class MonitorProcess {
  readonly #child: ChildProcess;
  /** Resolves when the process is gone, and the terminal is free. */
  readonly ended: Promise<MonitorEnd>;
  #isShown = false;
  #hasEnded = false;

  static spawn(): MonitorProcess {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const program = fileURLToPath(new URL(`./monitor-entry.${extension}`, import.meta.url));
    const child = spawn(process.execPath, [...process.execArgv, program], {
      stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    });
    return new MonitorProcess(child);
  }

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.ended = new Promise((resolve) => {
      let end: MonitorEnd = 'gone';
      const ended = (): void => {
        this.#hasEnded = true;
        resolve(end);
      };
      child.on('message', (message) => {
        const left = isRecord(message) ? message['left'] : null;
        if (left === 'quit' || left === 'interrupt') end = left;
      });
      child.once('error', ended).once('exit', ended);
    });
  }

  /** It has the terminal: nobody else may write to it. */
  get hasTerminal(): boolean {
    return this.#isShown && !this.#hasEnded;
  }

  show(order: MonitorOrder): void {
    if (this.#isShown || !this.#child.connected) return;
    this.#isShown = true;
    // One that has just ended is told of by `ended`.
    this.#child.send(order, () => {});
  }

  /** Has it give the terminal back; resolves when it is gone. */
  async end(): Promise<void> {
    if (!this.#hasEnded) this.#child.kill('SIGTERM');
    await this.ended;
  }
}
