/**
 * Stacks with real server processes: created, exported over NBD, stopped, whatever the test does.
 */

import { readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { bufferFile } from '../../src/stack/buffer-file.ts';
import { NbdClient } from './nbd-client.ts';
import { type CliOutcome, CliWorld } from './run-cli.ts';

const PIECE_BYTES = 128 * 1024;
const MIB = 2 ** 20;

export class StackWorld extends CliWorld {
  readonly #t: ExecutionContext;

  constructor(t: ExecutionContext) {
    super(t);
    this.#t = t;
    // After a failed test a server may be left; its pid is in its lock file.
    t.teardown(() => {
      for (const pid of this.#pids) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // It has ended as it should.
        }
      }
      // What a killed server has left for the next one lies outside the world's folder.
      for (const name of this.#names) {
        const buffer = bufferFile({ name, remembered: null }, this.path('run'));
        if (buffer !== null) rmSync(buffer.path, { force: true });
      }
    });
  }

  readonly #pids = new Set<number>();
  readonly #names = new Set<string>();

  /** Runs a command that has to succeed. */
  async ok(...words: string[]): Promise<CliOutcome> {
    const outcome = await this.spawn(...words);
    this.#t.is(outcome.status, 0, `bandstand ${words.join(' ')}: ${outcome.stderr}`);
    return outcome;
  }

  /** Exports over NBD; returns the URI. */
  async export(name: string, ...words: string[]): Promise<string> {
    const { stdout } = await this.ok('export', name, '--via', 'nbd', ...words);
    this.#pids.add(await this.serverPid(name));
    this.#names.add(name);
    return stdout.trim();
  }

  /** Asked from this process: tests look at it again and again. */
  async status(name: string): Promise<Record<string, never>> {
    const { status, stdout, stderr } = await this.run('status', name, '--json');
    this.#t.is(status, 0, `bandstand status ${name}: ${stderr}`);
    return JSON.parse(stdout).data;
  }

  async serverPid(name: string): Promise<number> {
    return Number(readFileSync(this.path(`run/${name}.lock`), 'utf8'));
  }

  async connect(name: string): Promise<NbdClient> {
    return await NbdClient.connectUnix(this.path(`run/${name}.nbd`), { exportName: name });
  }

  async write(name: string, content: Uint8Array, at = 0): Promise<void> {
    const client = await this.connect(name);
    for (let done = 0; done < content.length; done += PIECE_BYTES) {
      await client.write(at + done, content.subarray(done, done + PIECE_BYTES));
    }
    await client.flush();
    await client.disconnect();
  }

  async read(name: string, bytes: number, at = 0): Promise<Buffer> {
    const client = await this.connect(name);
    const pieces: Buffer[] = [];
    for (let done = 0; done < bytes; done += PIECE_BYTES) {
      pieces.push(await client.read(at + done, Math.min(PIECE_BYTES, bytes - done)));
    }
    await client.disconnect();
    return Buffer.concat(pieces);
  }
}

/** Waits for a condition, a bounded time. */
export async function eventually(
  what: string,
  condition: () => boolean,
  seconds = 10,
): Promise<void> {
  for (let left = seconds * 50; left > 0; left -= 1) {
    if (condition()) return;
    await sleep(20);
  }
  throw new Error(`did not happen: ${what}`);
}

/** Bytes that no two positions share by accident: a 32-bit generator with a seed. */
export function noise(bytes: number, seed: number): Buffer {
  const words = new Uint32Array(Math.ceil(bytes / 4));
  let state = seed >>> 0;
  for (let index = 0; index < words.length; index += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    words[index] = state ^ (state >>> 15);
  }
  return Buffer.from(words.buffer, 0, bytes);
}

export const DISK_BYTES = 16 * MIB;
