/** `bandstand metrics --listen` as a process: what it prints, where it listens, how it ends. */

import { type ChildProcess, spawn } from 'node:child_process';
import type { ExecutionContext } from 'ava';
import { type ListenAddress, parseListen } from '../../src/cli/listen-address.ts';
import { checkPrinted } from './json-schemas.ts';
import { PROGRAM } from './repository.ts';
import type { CliWorld } from './run-cli.ts';

export class MetricsListener {
  readonly #child: ChildProcess;
  readonly #words: readonly string[];
  readonly #ended: Promise<number | null>;
  stdout = '';
  stderr = '';

  private constructor(t: ExecutionContext, world: CliWorld, words: readonly string[]) {
    this.#words = words;
    this.#child = spawn(process.execPath, [PROGRAM, 'metrics', ...words, ...world.directories], {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: world.folder,
    });
    t.teardown(() => this.#child.kill('SIGKILL'));
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    this.#ended = new Promise((resolve) => this.#child.once('close', resolve));
  }

  /** Resolves when it has said where it listens. */
  static async start(
    t: ExecutionContext,
    world: CliWorld,
    ...words: string[]
  ): Promise<MetricsListener> {
    const listener = new MetricsListener(t, world, words);
    const said = new Promise<void>((resolve) => {
      listener.#child.stdout!.on('data', () => {
        if (listener.stdout.endsWith('\n')) resolve();
      });
    });
    const ended = listener.#ended.then((status) => {
      throw new Error(`metrics ${words.join(' ')} ended with ${status}: ${listener.stderr}`);
    });
    await Promise.race([said, ended]);
    ended.catch(() => {});
    checkPrinted(words, listener.stdout);
    return listener;
  }

  /** From what it has printed for people. */
  get address(): ListenAddress {
    return parseListen(
      this.stdout.trim().replace(/^http:\/\/(.*)\/metrics$/, (_, place) => `tcp:${place}`),
    );
  }

  /** The exit status. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.#child.kill(signal);
    const status = await this.#ended;
    checkPrinted(this.#words, this.stdout, this.stderr);
    return status;
  }
}
