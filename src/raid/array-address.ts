/**
 * How commands name an array: in hints, and in what events say is to be done.       (control plane)
 *
 * An array that is a part of something else is not called by its own name.
 */

export interface ArrayAddress {
  /** What every command takes as NAME. */
  readonly stack: string;
  /** What a command ends in that cannot tell by the member which array is meant. */
  readonly option: string;
  /** What stands in front of a slot. */
  readonly slotPrefix: string;
}

/** Of an array that is all there is of its name. */
export function ownAddress(name: string): ArrayAddress {
  return { stack: name, option: '', slotPrefix: '' };
}
