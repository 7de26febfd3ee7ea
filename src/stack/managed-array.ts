/**
 * ManagedArray: what the stack needs of an array whose members can change.          (control plane)
 *
 * Narrow on purpose: what the stack asks for, and the plain data that it shows. Raid's manager is
 * one; tests have their own.
 */

import type { BlockDevice } from '../block/block-device.ts';

export interface AddOutcome {
  /** It is being filled now, or it waits for its turn. */
  readonly role: 'rebuild' | 'spare';
  readonly slot: number | null;
  readonly uuid: string;
  /** Everything is copied, or what the member missed; null for a spare. */
  readonly mode: 'delta' | 'full' | null;
}

export interface ManagedMember {
  readonly slot: number;
  /** The device in service, or the one that is being filled, or the one that has failed. */
  readonly device: string | null;
  readonly uuid: string | null;
  readonly health: 'ok' | 'rebuilding' | 'failed' | 'missing';
  readonly read_errors: number;
  readonly write_errors: number;
  readonly repaired_blocks: number;
}

export interface ManagedSpare {
  readonly uuid: string;
  readonly device: string;
}

export interface ManagedProcess {
  readonly kind: 'rebuild' | 'resync' | 'check';
  /** The slot that is rebuilt; null for the others. */
  readonly slot: number | null;
  /** A rebuild that replaces a member which stays in service meanwhile. */
  readonly replace: boolean;
  /** The device that is being filled; null for resync and check. */
  readonly target: ManagedSpare | null;
  /** A check that repairs. */
  readonly repair: boolean;
  readonly paused: boolean;
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** Over the last 60 s; 0 when stalled; null when not known yet (block/progress.ts). */
  readonly rateBytesPerSecond: number | null;
  readonly etaSeconds: number | null;
  readonly limitBytesPerSecond: number | null;
  /** Blocks. */
  readonly mismatches: number;
  readonly repaired: number;
  readonly lostBlocks: number;
}

export interface ManagedStatus {
  /** One per slot, in slot order. */
  readonly members: readonly ManagedMember[];
  readonly spares: readonly ManagedSpare[];
  readonly process: ManagedProcess | null;
  readonly failed: boolean;
  /** Data that is lost, in words, or null. */
  readonly lost: string | null;
}

/** Something that has happened to the array; the kinds are raid's. */
export interface ArrayEvent {
  readonly kind: string;
  readonly severity: 'info' | 'warning' | 'error';
  readonly message: string;
  readonly reason: string | null;
  readonly action: string | null;
  readonly slot: number | null;
  readonly device: string | null;
  readonly details: Readonly<Record<string, string | number | boolean | null>>;
}

export interface ManagedArray {
  /** `device` is open for writing; it belongs to the array unless this throws. */
  addMember(device: BlockDevice, options?: { spareOnly?: boolean }): Promise<AddOutcome>;
  failMember(slot: number): Promise<void>;
  /** Lets the device of a failed member go. */
  removeMember(slot: number): Promise<void>;
  removeSpare(uuid: string): Promise<void>;
  /** As addMember; a member in service stays so until the copy is complete. */
  replaceMember(slot: number, device: BlockDevice): Promise<AddOutcome>;
  startCheck(options: { repair: boolean }): Promise<void>;
  pauseProcess(): Promise<void>;
  resumeProcess(): Promise<void>;
  cancelProcess(): Promise<void>;
  setRate(bytesPerSecond: number | null): void;
  status(): ManagedStatus;
}
