/**
 * What an NV cache has to know of a mirror that it lies on.                        (control plane)
 */

export interface CacheMirrorState {
  /** How many of its halves are not in service. */
  readonly absent: number;
  /** Whether what its halves have of so many blocks may differ. */
  readsSteadily(block: number, blockCount: number): boolean;
}
