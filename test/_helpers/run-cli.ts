/**
 * Runs the command line: in this process with captured streams, or as a real process.
 */

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import type { ExecutionContext } from 'ava';
import type { Streams } from '../../src/cli/command-context.ts';
import { main } from '../../src/cli/main.ts';
import { checkPrinted } from './json-schemas.ts';
import { PROGRAM } from './repository.ts';

export interface CliOutcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface PrintedError {
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
}

/** The error of a command with --json, which stands behind notes for people. */
export function printedError({ stderr }: CliOutcome): PrintedError {
  return JSON.parse(stderr.trimEnd().split('\n').at(-1)!).error;
}

/** A folder of its own with run and state directories; removed after the test. */
export class CliWorld {
  readonly folder: string;

  constructor(t: ExecutionContext) {
    this.folder = mkdtempSync(path.join(tmpdir(), 'bs-'));
    t.teardown(() => rmSync(this.folder, { recursive: true, force: true }));
  }

  path(name: string): string {
    return path.join(this.folder, name);
  }

  /** Makes a sparse file; returns its path. */
  file(name: string, bytes: number): string {
    const file = this.path(name);
    writeFileSync(file, '');
    truncateSync(file, bytes);
    return file;
  }

  files(count: number, bytes: number): string[] {
    return Array.from({ length: count }, (_, index) => this.file(`disk${index}.img`, bytes));
  }

  /** Options that keep a command in this world. */
  get directories(): string[] {
    return ['--run-dir', this.path('run'), '--state-dir', this.path('state')];
  }

  /** In this process: fast, for what needs no server. */
  async run(...words: string[]): Promise<CliOutcome> {
    return await runMain([...words.slice(0, 1), ...this.directories, ...words.slice(1)]);
  }

  /** The same, with `input` on standard input. */
  async feed(input: string | Buffer, ...words: string[]): Promise<CliOutcome> {
    return await runMain([...words, ...this.directories], input);
  }

  /** A process of the installed program (built before by `npm run build:ts`). */
  spawn(...words: string[]): Promise<CliOutcome> {
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [PROGRAM, ...words, ...this.directories], {
        stdio: ['ignore', 'pipe', 'pipe'],
        cwd: this.folder,
        timeout: 90_000,
      });
      let stdout = '';
      let stderr = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
      child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
      child.on('error', reject);
      child.on('close', (status) => {
        try {
          checkPrinted(words, stdout, stderr);
          resolve({ status: status ?? -1, stdout, stderr });
        } catch (error) {
          reject(error);
        }
      });
    });
  }
}

export async function runMain(
  words: readonly string[],
  input: string | Buffer | null = null,
): Promise<CliOutcome> {
  const stdin = new PassThrough();
  if (input !== null) stdin.end(input);
  const out = capture();
  const err = capture();
  const streams = { stdin, stdout: out.stream, stderr: err.stream } as unknown as Streams;
  const status = await main(words, streams);
  checkPrinted(words, out.text(), err.text());
  return { status, stdout: out.text(), stderr: err.text() };
}

function capture(): { stream: PassThrough; text(): string } {
  const stream = new PassThrough();
  let text = '';
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  return { stream, text: () => text };
}
