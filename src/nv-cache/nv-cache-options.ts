/**
 * NvCacheOptions: what an NV cache is told by those who make it.                    (control plane)
 */

import type { StepObserver } from '../block/steps.ts';
import type { CacheMirrorState } from './mirror-state.ts';

export interface NvCacheOptions {
  /** UUID of the device behind. */
  readonly owner: string;
  /** Of the content that was last in use; null: any of that owner. */
  readonly uuid?: string | null;
  /** That was last in use. */
  readonly epoch?: number;
  /** The caller has opened both devices and closes them. */
  readonly keepsDevices?: boolean;
  /** Nothing is written to either device. */
  readonly readOnly?: boolean;
  /** Shares of the ring: it is drained when so much is not, until so much is left. */
  readonly highMark?: number;
  readonly lowMark?: number;
  /** Blocks that are drained at once; 128 to 1024. */
  readonly drainBlocks?: number;
  /** Told about each step of a start. */
  readonly steps?: StepObserver;
  /** Told once what a start has found after a crash is drained. */
  readonly recovered?: () => void;
  /** Makes the owner remember the epoch; awaited before any record has it. */
  readonly epochBegins?: (epoch: number) => Promise<void>;
  /** Of a mirror below, if it is one. */
  readonly mirror?: CacheMirrorState | null;
  /**
   * Makes the owner forget this cache: nothing in it counts any more. Called when it is empty but
   * its header cannot be written.
   */
  readonly forget?: () => Promise<void>;
}
