/**
 * Reads the facts about the machine; nothing is created and no module is loaded.    (control plane)
 */

import { release } from 'node:os';
import { BandstandError } from '../../block/errors.ts';
import { UblkControl } from '../../exporter/ublk/control.ts';
import { loadAddon } from '../../native/load.ts';
import { ringFeatures } from '../../stack/machine-features.ts';
import type { MachineFacts, UblkFacts } from './machine-checks.ts';
import { readText, statusCapabilities } from './proc.ts';

const HUGE_PAGES = '/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages';

/** A ublk device that this program has made, whoever serves it. */
export interface OwnUblkDevice {
  readonly id: number;
  readonly state: string;
  readonly serverPid: number;
}

export interface ReadMachine {
  readonly facts: MachineFacts;
  /** Null where the driver cannot be asked. */
  readonly devices: readonly OwnUblkDevice[] | null;
}

export async function readMachine(timeoutMs: number): Promise<ReadMachine> {
  const { devices, ublk } = await askDriver(timeoutMs);
  const facts: MachineFacts = {
    kernel: release(),
    features: await ringFeatures(),
    ublk,
    isRoot: process.geteuid!() === 0,
    capabilities: statusCapabilities(readText('/proc/self/status') ?? ''),
    memlockBytes: memlockOf(readText('/proc/self/limits') ?? ''),
    transparentHugePages: chosenOf(readText('/sys/kernel/mm/transparent_hugepage/enabled')),
    freeHugePages: Number(readText(HUGE_PAGES) ?? 0),
  };
  return { facts, devices };
}

async function askDriver(timeoutMs: number): Promise<{
  readonly ublk: UblkFacts;
  readonly devices: readonly OwnUblkDevice[] | null;
}> {
  try {
    const native = loadAddon();
    const control = await UblkControl.open({ native, timeoutMs, loadModule: false });
    try {
      const { names: features } = control.features;
      const own = (await control.list()).filter((info) => control.isOurs(info));
      const devices = own.map(({ id, serverPid, state }) => ({ id, serverPid, state }));
      const ublk = { available: true, features, code: null, reason: null, hint: null };
      return { ublk, devices };
    } finally {
      control.close();
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const { code, hint } = error instanceof BandstandError ? error : { code: null, hint: null };
    // Without a driver there are no devices.
    const devices = code === 'BANDSTAND_UBLK_UNAVAILABLE' ? [] : null;
    return { ublk: { available: false, features: [], code, reason, hint }, devices };
  }
}

/** The soft limit in a text like /proc/self/limits. */
export function memlockOf(limits: string): number | null {
  const soft = /^Max locked memory\s+(\S+)/m.exec(limits)?.[1];
  if (soft === undefined) return null;
  return soft === 'unlimited' ? Infinity : Number(soft);
}

/** `madvise` of `always [madvise] never`. */
export function chosenOf(text: string | null): string | null {
  return /\[(\w+)\]/.exec(text ?? '')?.[1] ?? null;
}
