/**
 * A disk for a benchmark: a loop device over a file, or the file itself where there can be none.
 *
 * The file is full of bytes, because one without blocks would be read for free.
 */

import { randomFillSync } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { LoopDevice } from './loop-device.ts';

const CHUNK_BYTES = 8 * 2 ** 20;

export class BenchDisk {
  readonly path: string;
  /** What it is, for the report. */
  readonly kind: string;
  readonly #loop: LoopDevice | null;

  private constructor(file: string, loop: LoopDevice | string) {
    this.path = loop instanceof LoopDevice ? loop.path : file;
    this.kind = loop instanceof LoopDevice ? 'loop device' : `file (no loop device: ${loop})`;
    this.#loop = loop instanceof LoopDevice ? loop : null;
  }

  static make(file: string, bytes: number): BenchDisk {
    const fd = openSync(file, 'w');
    const chunk = randomFillSync(Buffer.alloc(CHUNK_BYTES));
    for (let at = 0; at < bytes; at += chunk.length) {
      writeSync(fd, chunk, 0, Math.min(chunk.length, bytes - at));
    }
    closeSync(fd);
    return new BenchDisk(file, LoopDevice.attach(file));
  }

  get isLoop(): boolean {
    return this.#loop !== null;
  }

  close(): void {
    this.#loop?.close();
  }
}
