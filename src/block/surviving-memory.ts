/**
 * SurvivingMemory: the part of an arena that outlives the process.                    (data plane)
 *
 * A killed process leaves it, byte for byte, to the next one that asks for the same name; a power
 * cut takes it, as it takes the volatile cache of a disk. It is ordinary arena memory otherwise:
 * devices read from it and write to it, the kernels compute on it. It is not in the arena's free
 * list: whoever uses it divides it up.
 *
 * What a user has to see to
 *   - A process can die between any two stores. What is to be found again needs a checksum, or an
 *     order of stores that is safe at every point: this memory promises no more than that each
 *     aligned word holds an old or a new value, and that no store is seen before an earlier one.
 *   - The content is untrusted, as if it came from a disk: it may be that of another version, or of
 *     another object that once had this name. It has to name what it belongs to, and the state in
 *     which that was: memory left by a server that died a week ago must not undo what servers
 *     elsewhere have written since.
 *   - The kernel may still be working for a process that was just killed. Its writes to devices
 *     read from here, so nothing here changes before the devices are open and locked: their locks
 *     are released after its last operation. Its reads from devices and sockets must not have had
 *     a target in this memory; they go elsewhere and are copied.
 */

export interface SurvivingMemory {
  /** Where it lies, for messages: a file. */
  readonly path: string;
  /** Position in the arena; a multiple of 4096. */
  readonly at: number;
  /** A multiple of 4096. What an earlier process left keeps its size, whatever is asked for now. */
  readonly bytes: number;
  /** True: left by an earlier process, perhaps before it stored anything. False: new, all zero. */
  readonly isAdopted: boolean;
  /**
   * Nothing in it is needed any more (a clean stop): no later process finds it. It can be used for
   * the rest of this process's life, and then is gone. A second call does nothing.
   */
  discard(): void;
}
