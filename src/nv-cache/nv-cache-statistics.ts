/**
 * NvCacheStatistics: what an NV cache counts since its start.                         (data plane)
 *
 * Blocks of 4096 bytes unless the name says otherwise. How many blocks users have written, and how
 * few of them went to the device behind, is what the cache is for.
 */

export class NvCacheStatistics {
  /** Written by users, and trimmed by them. */
  userBlocks = 0;
  trims = 0;
  records = 0;
  /** Written to the ring: descriptions and data. */
  ringBlocks = 0;
  /** Sent to the device behind. */
  drainedBlocks = 0;
  /** Not sent there, because they had been overwritten or trimmed. */
  droppedBlocks = 0;
  /** Writes to the device behind: runs of neighbouring blocks. */
  drainRuns = 0;
  readFromRing = 0;
  readFromBacking = 0;
  cacheFlushes = 0;
  /** Asked the device behind to make durable what it has written. */
  settles = 0;
  /** Flushed the device behind, because the ring was full of what it held back. */
  backingFlushes = 0;
  /** Writes that had to wait for room in the ring. */
  spaceWaits = 0;
  recordsFailed = 0;
  ringReadErrors = 0;
}
