/**
 * BandstandError: every error that a person may see.                                 (control plane)
 *
 * The message says what could not be done, to which object, and why: lower case, no full stop,
 * values included. The hint, on the next line, starts with a verb. Codes are stable across minor
 * versions, messages are not. The table below generates docs/errors.md; misuse of an internal
 * interface is an assertion and has no code.
 */

/** Code → what it means, for the manual. Grouped by noun; keep each group sorted. */
export const ERROR_CODES = {
  // the machine
  BANDSTAND_ADDON_MISSING: 'the native addon is not built or cannot be loaded',
  BANDSTAND_ARENA_FULL: 'not enough buffer memory for the requested depth and sizes',
  BANDSTAND_URING_UNAVAILABLE: 'io_uring is missing from this kernel or forbidden',
  // the command line
  BANDSTAND_USAGE: 'the command line is wrong',
  // devices
  BANDSTAND_DEVICE_BUSY: 'the device is in use by something else',
  BANDSTAND_DEVICE_IN_USE: 'the device holds data that would be lost',
  BANDSTAND_DEVICE_INVALID: 'the device specification cannot be understood or is of the wrong kind',
  BANDSTAND_DEVICE_IO: 'the device returned an input/output error',
  BANDSTAND_DEVICE_MISSING: 'the device does not exist',
  BANDSTAND_DEVICE_PERMISSION: 'no permission to open the device',
  BANDSTAND_DEVICE_TOO_SMALL: 'the device is too small',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export type ErrorDetails = Readonly<Record<string, unknown>>;

export interface BandstandErrorOptions {
  readonly message: string;
  /** What to do next; starts with a verb. */
  readonly hint?: string;
  /** Plain data for --json. */
  readonly details?: ErrorDetails;
  readonly cause?: unknown;
}

export class BandstandError extends Error {
  override readonly name = 'BandstandError';
  readonly code: ErrorCode;
  readonly hint: string | null;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, options: BandstandErrorOptions) {
    super(options.message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint ?? null;
    this.details = options.details ?? {};
  }

  /** 2 when the command line is wrong, otherwise 1. */
  get exitStatus(): 1 | 2 {
    return this.code === 'BANDSTAND_USAGE' ? 2 : 1;
  }
}
