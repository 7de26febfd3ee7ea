/**
 * Redundancy: what a device that keeps its data more than once offers to a layer that has
 * checksums.                                                                      (control plane)
 *
 * A mirror that differs from another one, or data that does not match its parity, says that
 * something is wrong and not what. A layer above that keeps checksums can tell: so the device
 * shows it the ways in which a range can be read, and the layer says which of them is right.
 *
 *   mirror   a copy is what one member says
 *   parity   there is one copy: the data; what one member says of it can be computed from all
 *            others instead
 *
 * Whoever composes the stack hands this to the layer above: neither knows the other. For what has
 * gone wrong and for checks; operations of users do not come this way. Calls in flight have to be
 * over before the device is closed.
 */

export interface MendRequest {
  /** In blocks of the device. */
  readonly block: number;
  readonly blockCount: number;
  /** Arena position with room for the range twice. What is right is left in the first half. */
  readonly buffer: number;
  /** True: what is wrong is written again. False: nothing is changed. */
  readonly repair: boolean;
  /** Judges the range as it is in the first half of `buffer`. Neither awaits nor submits. */
  isRight(): boolean;
}

export interface Mended {
  /** There is a way to read the range that gives what is right; it is in the buffer then. */
  readonly found: boolean;
  /** Of reads that failed, the last; 0 when all that could be read was wrong. */
  readonly status: number;
  /** Slots of the members that have something else, or could not be read. */
  readonly wrong: readonly number[];
  /** Those of them that have what is right now. */
  readonly repaired: readonly number[];
}

export interface Redundancy {
  /** Copies that can be read one by one: all mirrors, or 1 where there is parity. */
  readonly copyCount: number;
  /** Reads one copy and nothing else; gives a status: ENODEV where that copy is not in service. */
  readCopy(copy: number, block: number, blockCount: number, buffer: number): Promise<number>;
  /**
   * Tries every way in which the range can be read, until `isRight`; a mirror shows all of its
   * copies, so that each that is wrong is known. The range is locked against changes meanwhile.
   */
  mend(request: MendRequest): Promise<Mended>;
}
