/**
 * A real terminal for tests: tmux, with a shell in it.
 */

import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';

/** A tmux of its own with one window, in which a shell runs. */
export class Tmux {
  readonly #socket: string;

  constructor(t: ExecutionContext, folder: string, columns: number, rows: number) {
    this.#socket = path.join(folder, 'tmux');
    const size = ['-x', String(columns), '-y', String(rows)];
    // As for a person: AVA says that there are no colours, and CI that nobody looks.
    const shell = ['env', '-u', 'CI', '-u', 'NO_COLOR', '-u', 'FORCE_COLOR', 'LC_ALL=C.UTF-8'];
    this.#run('new-session', '-d', ...size, ...shell, 'PS1=READY:', 'sh');
    t.teardown(() => {
      try {
        this.#run('kill-server');
      } catch {
        // It has ended with its shell.
      }
    });
  }

  #run(...words: string[]): string {
    const all = ['-f', '/dev/null', '-S', this.#socket, ...words];
    return execFileSync('tmux', all, { encoding: 'utf8', env: { ...process.env, TMUX: '' } });
  }

  get text(): string {
    return this.#run('capture-pane', '-p');
  }

  /** With the sequences of colours. */
  get coloured(): string {
    return this.#run('capture-pane', '-p', '-e');
  }

  format(what: string): string {
    return this.#run('display-message', '-p', `#{${what}}`).trim();
  }

  type(...keys: string[]): void {
    this.#run('send-keys', ...keys);
  }

  resize(columns: number, rows: number): void {
    this.#run('resize-window', '-x', String(columns), '-y', String(rows));
  }

  async sees(pattern: RegExp, seconds = 30): Promise<void> {
    for (let left = seconds * 10; left > 0; left -= 1) {
      if (pattern.test(this.text)) return;
      await sleep(100);
    }
    throw new Error(`${pattern} was not seen on\n${this.text}`);
  }
}

/** Words for the shell. */
export const quoted = (words: readonly string[]): string =>
  words.map((word) => `'${word}'`).join(' ');
