/**
 * BandstandError: every error that a person may see.                                (control plane)
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
  BANDSTAND_DEFECT: 'bandstand met a defect of its own; please report it',
  BANDSTAND_OUTPUT: 'standard output cannot be written',
  BANDSTAND_SURVIVING_BUSY: 'another server has the memory that outlives the server of this name',
  BANDSTAND_SURVIVING_FULL: 'there is no room for the memory that outlives a server',
  BANDSTAND_SURVIVING_UNUSABLE: 'the file of the memory that outlives a server cannot be used',
  BANDSTAND_URING_FAILED: 'the kernel refused an operation of a running io_uring',
  BANDSTAND_URING_UNAVAILABLE: 'io_uring is missing from this kernel or forbidden',
  // the command line
  BANDSTAND_NOT_CONFIRMED: 'data would be lost and nobody has confirmed it',
  BANDSTAND_USAGE: 'the command line is wrong',
  // devices
  BANDSTAND_DEVICE_BUSY: 'the device is in use by something else',
  BANDSTAND_DEVICE_IN_USE: 'the device holds data that would be lost',
  BANDSTAND_DEVICE_INVALID: 'the device specification cannot be understood or is of the wrong kind',
  BANDSTAND_DEVICE_IO: 'the device returned an input/output error',
  BANDSTAND_DEVICE_MISSING: 'the device does not exist',
  BANDSTAND_DEVICE_PERMISSION: 'no permission to open the device',
  BANDSTAND_DEVICE_TOO_SMALL: 'the device is too small',
  // exports
  BANDSTAND_EXPORT_ADDRESS_BUSY: 'something else is at the address to listen at',
  BANDSTAND_EXPORT_ADDRESS_INVALID: 'the address cannot or must not be listened at',
  BANDSTAND_EXPORT_NAME_INVALID: 'the name or the description of the export cannot be used',
  BANDSTAND_EXPORT_TLS_INVALID: 'a certificate or a key for TLS cannot be used',
  // stacks and their servers
  BANDSTAND_CONTROL_PROTOCOL: 'the other side of a control socket broke the protocol',
  BANDSTAND_DIRECTORY_UNUSABLE: 'a run or state directory cannot be used',
  BANDSTAND_HAND_OVER_REFUSED: 'the server of a stack cannot be replaced while it serves',
  BANDSTAND_SERVER_FAILED: 'the server of a stack ended or could not start',
  BANDSTAND_SERVER_TIMEOUT: 'the server of a stack did not answer in time',
  BANDSTAND_STACK_EXISTS: 'a stack of this name is known already',
  BANDSTAND_STACK_IN_USE: 'the export of the stack is mounted, held or open',
  BANDSTAND_STACK_NOT_FOUND: 'no stack of this name is known',
  BANDSTAND_STACK_NOT_RUNNING: 'the stack has no running server',
  BANDSTAND_STACK_READ_ONLY: 'the stack can only be exported read-only',
  BANDSTAND_STACK_RUNNING: 'the stack has a running server',
  BANDSTAND_STATE_INVALID: 'the remembered state of a stack is damaged',
  // what a stack is doing
  BANDSTAND_ACTIVITY_BUSY: 'the stack is busy with something that excludes what was asked for',
  BANDSTAND_ACTIVITY_NONE: 'what was to be paused, resumed or ended is not going on',
  BANDSTAND_ACTIVITY_STOPPED: 'what was waited for has ended without success',
  BANDSTAND_WAIT_TIMEOUT: 'what was waited for was not over in time',
  // arrays, members and their metadata
  BANDSTAND_ARRAY_AMBIGUOUS: 'more than one array matches',
  BANDSTAND_ARRAY_CONFLICT: 'members contradict each other about their array',
  BANDSTAND_ARRAY_DEGRADED: 'members are missing and a degraded start was not asked for',
  BANDSTAND_ARRAY_FAILED: 'more members are missing than the level can bear',
  BANDSTAND_ARRAY_INCOMPLETE: 'the array was never completely created',
  BANDSTAND_ARRAY_NOT_FOUND: 'no superblock of the wanted array was found',
  BANDSTAND_ARRAY_UNRECORDED: 'the array has no superblock that could record a change of members',
  BANDSTAND_LABEL_INVALID: 'a member label is damaged or contradicts the superblock',
  BANDSTAND_LEVEL_INVALID: 'the RAID level is unknown',
  BANDSTAND_LEVEL_REDUNDANCY: 'the RAID level has no redundancy to rebuild or check from',
  BANDSTAND_MEMBER_AMBIGUOUS: 'more than one member is called so',
  BANDSTAND_MEMBER_COUNT: 'the level does not work with this number of members',
  BANDSTAND_MEMBER_DUPLICATE: 'one member is given twice, or was cloned',
  BANDSTAND_MEMBER_IN_SERVICE: 'the member is in use and has to be failed before',
  BANDSTAND_MEMBER_MISMATCH: 'the device does not fit its place in the array',
  BANDSTAND_MEMBER_NEEDED: 'the array cannot do without the member',
  BANDSTAND_MEMBER_NOT_FOUND: 'no member or spare of the stack is called so',
  BANDSTAND_MEMBER_REPLACED: 'the device was a member but another one has taken its place',
  BANDSTAND_MEMBER_STATE: 'the member is in a state in which this cannot be done with it',
  BANDSTAND_MEMBER_UNIDENTIFIED: 'which member a device is cannot be told from the device',
  BANDSTAND_METADATA_UNVERIFIED: 'metadata read back after writing differs from what was written',
  BANDSTAND_NAME_INVALID: 'the name of an array is empty, too long or not printable',
  BANDSTAND_STRIP_INVALID: 'the strip size is missing, forbidden or out of range',
  BANDSTAND_SUPERBLOCK_CHECKSUM: 'the checksum of a superblock is wrong',
  BANDSTAND_SUPERBLOCK_FORK: 'the superblock was written by an incompatible fork of SPDK',
  BANDSTAND_SUPERBLOCK_INVALID: 'a field of a superblock has an impossible value',
  BANDSTAND_SUPERBLOCK_LENGTH: 'the length of a superblock is impossible',
  BANDSTAND_SUPERBLOCK_SIGNATURE: 'the device does not begin with a superblock signature',
  BANDSTAND_SUPERBLOCK_VERSION: 'the superblock has a version that is not supported',
  // log-structured devices (FTL)
  BANDSTAND_FTL_BUFFER: 'the write buffer of a process that died cannot be taken over',
  BANDSTAND_FTL_BUFFER_LOST: 'the write buffer of a process that died is gone',
  BANDSTAND_FTL_CACHE: 'a log-structured device has an NV cache that is not there',
  BANDSTAND_FTL_INCONSISTENT: 'parts of a log-structured device contradict each other',
  BANDSTAND_FTL_MAP: 'a page of the map of a log-structured device is damaged',
  BANDSTAND_FTL_MEMORY: 'the map of a log-structured device does not fit into memory',
  BANDSTAND_FTL_NOT_FOUND: 'the device holds no log-structured device',
  BANDSTAND_FTL_READ_ONLY: 'the log-structured device cannot be changed any more',
  BANDSTAND_FTL_SUPERBLOCK: 'a superblock of a log-structured device is damaged',
  BANDSTAND_FTL_UNREADABLE: 'something that a start of a log-structured device needs is unreadable',
  // NV caches
  BANDSTAND_CACHE_HEADER: 'the header of an NV cache is damaged',
  BANDSTAND_CACHE_INCONSISTENT: 'parts of an NV cache contradict each other',
  BANDSTAND_CACHE_MIRROR: 'the array is the mirror of an NV cache, and no stack by itself',
  BANDSTAND_CACHE_MISSING: 'the NV cache of a stack is not there',
  BANDSTAND_CACHE_NOT_FOUND: 'the device holds no NV cache',
  BANDSTAND_CACHE_OWNER: 'the NV cache is that of another device, or another one of this device',
  BANDSTAND_CACHE_PRESENT: 'the stack has an NV cache already',
  BANDSTAND_CACHE_READ_ONLY: 'the NV cache cannot be written any more',
  BANDSTAND_CACHE_SHRUNK: 'the device of an NV cache is smaller than the cache',
  BANDSTAND_CACHE_STALE: 'the NV cache is an old copy of the one that was last in use',
  BANDSTAND_CACHE_UNREADABLE: 'something that a start of an NV cache needs is unreadable',
  BANDSTAND_CACHE_UNSUITABLE: 'the device cannot be used as an NV cache, or behind one',
  BANDSTAND_CACHE_VERSION: 'the NV cache has a version that is not supported',
  // ublk devices
  BANDSTAND_UBLK_BUSY: 'the ublk device is in use by something else',
  BANDSTAND_UBLK_FAILED: 'the queue of a ublk device broke',
  BANDSTAND_UBLK_ID_TAKEN: 'a ublk device with this number exists already',
  BANDSTAND_UBLK_NO_DEVICE: 'the ublk device does not exist',
  BANDSTAND_UBLK_PERMISSION: 'no permission to use ublk',
  BANDSTAND_UBLK_REFUSED: 'the ublk driver refused a command or its parameters',
  BANDSTAND_UBLK_TIMEOUT: 'the ublk driver did not answer in time',
  BANDSTAND_UBLK_UNAVAILABLE: 'this kernel has no ublk driver, or one that is too old',
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
