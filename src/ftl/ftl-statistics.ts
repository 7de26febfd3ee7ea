/**
 * FtlStatistics: what an FTL has done since it was opened.                            (data plane)
 *
 * Counted in blocks of 4096 bytes. Write amplification is what was written to the base, over what
 * users wrote: data, copies, summaries, padding and the pages of the map.
 */

export class FtlStatistics {
  userBlocks = 0;
  trimmedBlocks = 0;
  relocatedBlocks = 0;
  /** Blocks of units, with summaries and padding. */
  unitBlocks = 0;
  metadataBlocks = 0;
  unitsWritten = 0;
  /** Units that were sealed before they were full. */
  unitsPadded = 0;
  unitsFailed = 0;
  baseFlushes = 0;
  bandsRelocated = 0;
  checkpoints = 0;
  /** Blocks that relocation could not read anywhere. */
  unreadableBlocks = 0;
  /** Blocks, summaries and the like that were found wrong, and those of them that were mended. */
  wrongParts = 0;
  repairedParts = 0;
  /** Times that a write had to wait for a free band or a free slot. */
  bandStalls = 0;
  slotStalls = 0;

  /** Null until a user has written something. */
  get writeAmplification(): number | null {
    if (this.userBlocks === 0) return null;
    return (this.unitBlocks + this.metadataBlocks) / this.userBlocks;
  }
}
