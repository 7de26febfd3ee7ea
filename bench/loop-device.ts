/**
 * A loop device over a file, for as long as this process lives.
 *
 * It is detached right after it was attached, while this process holds it open: the kernel then
 * detaches it when the last one closes it, also when the benchmark fails or is killed.
 */

import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';

const SECTOR_BYTES = 4096;

export class LoopDevice {
  readonly path: string;
  readonly #fd: number;

  private constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  /** The device, or why there can be none here. */
  static attach(file: string): LoopDevice | string {
    if (process.getuid?.() !== 0) return 'they need root';
    const attached = losetup([
      '--find',
      '--show',
      '--direct-io=on',
      `--sector-size=${SECTOR_BYTES}`,
      file,
    ]);
    if (attached.failure !== null) return attached.failure;
    const path = attached.output;
    let fd = -1;
    try {
      fd = openSync(path, 'r');
    } finally {
      const { failure } = losetup(['--detach', path]);
      if (failure !== null) process.stderr.write(`${path} is still attached: ${failure}\n`);
    }
    return new LoopDevice(path, fd);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function losetup(args: readonly string[]): { output: string; failure: string | null } {
  const { error, status, stdout, stderr } = spawnSync('losetup', args, { encoding: 'utf8' });
  if (error !== undefined) return { output: '', failure: error.message };
  return { output: stdout.trim(), failure: status === 0 ? null : stderr.trim() };
}
