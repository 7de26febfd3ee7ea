/**
 * What this machine offers to a stack: kernel, io_uring, CPU kernels, O_DIRECT.     (control plane)
 *
 * Everything is tried, not guessed from version numbers.
 */

import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { BandstandError } from '../block/errors.ts';
import { loadAddon } from '../native/load.ts';
import { RingReactor } from '../reactor/ring-reactor.ts';

export interface MachineFeatures {
  readonly kernel: string;
  readonly node: string;
  readonly cpus: number;
  readonly cpu_model: string | null;
  /** Byte loops chosen for this CPU, for example `avx2+sse4.2`; null without the addon. */
  readonly kernels: string | null;
  readonly io_uring: {
    readonly available: boolean;
    readonly setup_flags: readonly string[];
    readonly fixed_buffers: boolean;
    readonly fixed_files: boolean;
    readonly huge_pages: boolean;
    /** Why it is not available, and what to do about it. */
    readonly reason: string | null;
    readonly hint: string | null;
  };
  /** O_DIRECT in the directory that was asked about. */
  readonly direct_io: { readonly directory: string; readonly available: boolean };
}

/** linux/io_uring.h */
const SETUP_FLAGS: readonly (readonly [bit: number, name: string])[] = [
  [1 << 8, 'COOP_TASKRUN'],
  [1 << 9, 'TASKRUN_FLAG'],
  [1 << 12, 'SINGLE_ISSUER'],
  [1 << 13, 'DEFER_TASKRUN'],
  [1 << 16, 'NO_SQARRAY'],
];

export async function machineFeatures(directory: string): Promise<MachineFeatures> {
  const processors = cpus();
  const ring = await ringFeatures();
  return {
    kernel: release(),
    node: process.versions.node,
    cpus: processors.length,
    cpu_model: processors[0]?.model ?? null,
    kernels: ring.kernels,
    io_uring: ring.io_uring,
    direct_io: { directory, available: directIo(directory) },
  };
}

export type RingFeatures = Pick<MachineFeatures, 'kernels' | 'io_uring'>;

/** Makes a ring and closes it; creates no file. */
export async function ringFeatures(): Promise<RingFeatures> {
  const nothing = {
    available: false,
    setup_flags: [],
    fixed_buffers: false,
    fixed_files: false,
    huge_pages: false,
  };
  let kernels: string | null = null;
  try {
    const native = loadAddon();
    kernels = native.kernelName();
    const reactor = RingReactor.create({ native, arenaBytes: 4 * 2 ** 20 });
    const { stats } = reactor;
    await reactor.close();
    const names = SETUP_FLAGS.filter(([bit]) => (stats.setup_flags & bit) !== 0);
    return {
      kernels,
      io_uring: {
        available: true,
        setup_flags: names.map(([, name]) => name),
        fixed_buffers: stats.arena_registered,
        fixed_files: stats.files_registered,
        huge_pages: stats.huge_pages,
        reason: null,
        hint: null,
      },
    };
  } catch (error) {
    const reason =
      error instanceof BandstandError || error instanceof Error ? error.message : String(error);
    const hint = error instanceof BandstandError ? error.hint : null;
    return { kernels, io_uring: { ...nothing, reason, hint } };
  }
}

function directIo(directory: string): boolean {
  let folder: string | null = null;
  try {
    folder = mkdtempSync(join(directory, 'bandstand-'));
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_DIRECT;
    closeSync(openSync(join(folder, 'probe'), flags, 0o600));
    return true;
  } catch {
    return false;
  } finally {
    if (folder !== null) rmSync(folder, { recursive: true, force: true });
  }
}
