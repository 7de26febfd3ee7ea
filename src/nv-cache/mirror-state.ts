/**
 * What an NV cache has to know of a mirror that it lies on.                        (control plane)
 */

export interface CacheMirrorState {
  /** How many of its halves are not in service. */
  readonly absent: number;
  /** Whether so many blocks are read from one half only, because the halves may differ there. */
  readsSteadily(block: number, blockCount: number): boolean;
}
