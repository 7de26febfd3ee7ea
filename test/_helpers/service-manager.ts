/**
 * A service manager for one program: what it sends to NOTIFY_SOCKET arrives here, and its data path
 * can be held (test/_fixtures/service-manager.py, because Node has no datagrams over Unix sockets).
 */

import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import type { ExecutionContext } from 'ava';
import { ROOT } from './repository.ts';

const FIXTURE = path.join(ROOT, 'test', '_fixtures', 'service-manager.py');

interface Line {
  readonly pid?: number;
  readonly state?: string;
  readonly done?: string;
  readonly ended?: number;
}

export class ServiceManager {
  /** Every datagram so far. */
  readonly states: string[] = [];
  /** All that the program has printed. */
  output = '';
  readonly #child: ChildProcess;
  readonly #lines: Line[] = [];
  #wake = (): void => {};

  constructor(
    t: ExecutionContext,
    { socket, watchdogMs, command }: { socket: string; watchdogMs: number; command: string[] },
  ) {
    const words = [FIXTURE, socket, String(watchdogMs * 1000), ...command];
    this.#child = spawn('python3', words, { stdio: ['pipe', 'pipe', 'pipe'] });
    // Its program is killed when nobody writes to it any more.
    t.teardown(() => this.#child.stdin!.end());
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    let rest = '';
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop()!;
      for (const line of lines) this.#take(JSON.parse(line));
    });
    this.#child.on('close', () => this.#take({}));
  }

  #take(line: Line): void {
    this.#lines.push(line);
    if (line.state !== undefined) this.states.push(line.state);
    this.#wake();
  }

  async #line<T>(found: (line: Line) => T | undefined): Promise<T> {
    for (let at = 0; ; at += 1) {
      while (at >= this.#lines.length) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
      const line = this.#lines[at]!;
      const value = found(line);
      if (value !== undefined) return value;
      if (Object.keys(line).length === 0) throw new Error(`it has ended: ${this.output}`);
    }
  }

  pid(): Promise<number> {
    return this.#line(({ pid }) => pid);
  }

  /** The exit status; negative is the signal. */
  ended(): Promise<number> {
    return this.#line(({ ended }) => ended);
  }

  /** Waits until `count` datagrams with this line have come. */
  async heard(text: string, count = 1): Promise<void> {
    let left = count;
    await this.#line(({ state }) => {
      if (state?.split('\n').includes(text)) left -= 1;
      return left === 0 ? true : undefined;
    });
  }

  /** Stops the thread of the data path; the others go on. */
  async hold(): Promise<void> {
    this.#child.stdin!.write('hold\n');
    await this.#line(({ done }) => done === 'hold' || undefined);
  }

  async release(): Promise<void> {
    this.#child.stdin!.write('release\n');
    await this.#line(({ done }) => done === 'release' || undefined);
  }
}
