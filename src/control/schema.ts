/**
 * The methods of the control protocol, exports and the status document.             (control plane)
 *
 * Two sockets per stack: `control` (mode 0600) takes every method, `status` (for everyone) only
 * those that change nothing. Decoders check everything before use and say in words what is wrong;
 * they never throw. How requests and answers are written is in schema-message.ts, requests about
 * members are in schema-members.ts, events in schema-events.ts. What may be null may be left out of
 * a request, and what may be left out may be null.
 *
 * The status document is the one that `status --json` prints. Keys are snake_case with units,
 * unknown is null, and adding keys is compatible.
 */

/** `ping` tells it: another one when something that was documented is gone, or means otherwise. */
export const PROTOCOL_VERSION = 1;

/**
 * `read` changes nothing, and may be asked on the status socket; `change` needs the control socket;
 * `internal` is between a server and the command that replaces it, and for nobody else.
 */
type MethodKind = 'read' | 'change' | 'internal';

interface MethodSpec {
  readonly kind: MethodKind;
  /** Everything that its decoder knows. */
  readonly params: readonly string[];
}

const CHANGE_OF_MEMBER = ['member', 'member_path', 'member_key', 'dry_run'] as const;

/** Documented in man/bandstand-control.7; test/control/manual.ts compares. */
export const METHODS = {
  ping: { kind: 'read', params: [] },
  status: { kind: 'read', params: [] },
  events: { kind: 'read', params: ['since', 'limit', 'wait_ms'] },
  export: {
    kind: 'change',
    params: ['via', 'ublk_id', 'queues', 'depth', 'nbd', 'read_only', 'insecure', 'tls'],
  },
  unexport: { kind: 'change', params: ['address'] },
  'member-add': { kind: 'change', params: ['device', 'spare_only', 'of_cache', 'dry_run'] },
  'member-fail': { kind: 'change', params: CHANGE_OF_MEMBER },
  'member-remove': { kind: 'change', params: CHANGE_OF_MEMBER },
  'member-replace': { kind: 'change', params: [...CHANGE_OF_MEMBER, 'device'] },
  rebuild: { kind: 'change', params: ['action', 'of_cache', 'rate_bytes_per_second'] },
  check: { kind: 'change', params: ['action', 'repair', 'dry_run'] },
  cache: { kind: 'change', params: ['action', 'devices', 'dry_run'] },
  stop: { kind: 'change', params: [] },
  'hand-over': { kind: 'internal', params: [] },
} as const satisfies Readonly<Record<string, MethodSpec>>;
export type Method = keyof typeof METHODS;

export function isMethod(word: string): word is Method {
  return Object.hasOwn(METHODS, word);
}

export function kindOfMethod(method: Method): MethodKind {
  return METHODS[method].kind;
}

/**
 * A param that the method does not have, or null. What asks for nothing (null, false) does no harm:
 * a command of a later version may send it.
 */
export function unknownParam(
  method: Method,
  params: Readonly<Record<string, unknown>>,
): string | null {
  const known: readonly string[] = METHODS[method].params;
  const asks = ([, value]: [string, unknown]): boolean => value !== null && value !== false;
  const found = Object.entries(params).find((one) => asks(one) && !known.includes(one[0]));
  return found?.[0] ?? null;
}

/** A BandstandError on its way to another process. */
export interface WireError {
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
  readonly details: Readonly<Record<string, unknown>>;
}

export type Decoded<T> = { readonly value: T } | { readonly why: string };

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

// --- export requests ----------------------------------------------------------------------------

/** How a stack is to be exported; what `export` sends and the server process is started with. */
export interface ExportRequest {
  readonly via: 'auto' | 'ublk' | 'nbd';
  /** Wanted number N of /dev/ublkbN, or null for the first free one. */
  readonly ublk_id: number | null;
  readonly queues: number | null;
  readonly depth: number | null;
  /** `unix:PATH` or `tcp:HOST:PORT`, or null for the default socket. */
  readonly nbd: string | null;
  readonly read_only: boolean;
  /** NBD over TCP may be reached from other machines without TLS. */
  readonly insecure: boolean;
  /** NBD clients have to use TLS; null: there is none. */
  readonly tls: TlsFiles | null;
}

/** Absolute paths: the server reads them itself, so that no secret goes over a socket. */
export type TlsFiles =
  | {
      readonly kind: 'certificate';
      readonly certificate: string;
      readonly key: string;
      /** Clients need a certificate of this authority; null: everyone is let in. */
      readonly client_authority: string | null;
    }
  | { readonly kind: 'psk'; readonly keys: string };

export interface ExportReply {
  readonly kind: 'ublk' | 'nbd';
  readonly address: string;
  readonly read_only: boolean;
  /** False when it was exported already. */
  readonly started: boolean;
  /** Things the user should know, one sentence each. */
  readonly notes: readonly string[];
}

/** From least to most. */
export const EXPORT_LIMITS = {
  ublk_id: [0, 2 ** 20],
  queues: [1, 64],
  depth: [1, 1024],
} as const;

export function decodeExportRequest(value: unknown): Decoded<ExportRequest> {
  if (!isRecord(value)) return { why: 'the export request is not an object' };
  const { via, read_only, ublk_id = null, queues = null, depth = null, nbd = null } = value;
  // An older server that hands over knows neither.
  const insecure = value['insecure'] ?? false;
  const files = value['tls'] ?? null;
  if (via !== 'auto' && via !== 'ublk' && via !== 'nbd') return { why: 'via is unknown' };
  const numbers = { ublk_id, queues, depth };
  for (const key of ['ublk_id', 'queues', 'depth'] as const) {
    const [least, most] = EXPORT_LIMITS[key];
    const number = numbers[key];
    if (number === null || (isCount(number) && number >= least && number <= most)) continue;
    return { why: `${key} is not between ${least} and ${most}` };
  }
  if (nbd !== null && typeof nbd !== 'string') return { why: 'nbd is not text' };
  if (typeof read_only !== 'boolean') return { why: 'read_only is not true or false' };
  if (typeof insecure !== 'boolean') return { why: 'insecure is not true or false' };
  const tls = decodeTlsFiles(files);
  if (tls === undefined) return { why: 'tls names no files by absolute paths' };
  return {
    value: { via, ublk_id, queues, depth, nbd, read_only, insecure, tls } as ExportRequest,
  };
}

/** Undefined for garbage. */
function decodeTlsFiles(value: unknown): TlsFiles | null | undefined {
  if (value === null) return null;
  if (!isRecord(value)) return undefined;
  const { kind, certificate, key, client_authority = null, keys } = value;
  if (kind === 'psk') return isAbsolutePath(keys) ? { kind, keys } : undefined;
  if (kind !== 'certificate') return undefined;
  if (!isAbsolutePath(certificate) || !isAbsolutePath(key)) return undefined;
  if (client_authority !== null && !isAbsolutePath(client_authority)) return undefined;
  return { kind, certificate, key, client_authority };
}

function isAbsolutePath(value: unknown): value is string {
  return typeof value === 'string' && value.startsWith('/');
}

export function decodeExportReply(value: unknown): Decoded<ExportReply> {
  if (!isRecord(value)) return { why: 'the export reply is not an object' };
  const { kind, address, read_only, started, notes } = value;
  if (kind !== 'ublk' && kind !== 'nbd') return { why: 'the kind of export is unknown' };
  if (typeof address !== 'string') return { why: 'the address is missing' };
  if (typeof read_only !== 'boolean' || typeof started !== 'boolean') {
    return { why: 'read_only or started is missing' };
  }
  const texts = Array.isArray(notes) ? notes.filter((note) => typeof note === 'string') : [];
  return { value: { kind, address, read_only, started, notes: texts } };
}

export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

// --- status: bandstand.status/1 -----------------------------------------------------------------

export type Health = 'healthy' | 'degraded' | 'failed' | 'stopped';
export type ActivityKind =
  | 'idle'
  | 'recovery'
  | 'rebuild'
  | 'resync'
  | 'check'
  | 'relocation'
  | 'drain';

/** `estimating`: too early for an ETA. `stalled`: nothing was done for 10 s. */
export type Pace = 'running' | 'estimating' | 'stalled' | 'paused';

export interface ActivityStatus {
  readonly kind: ActivityKind;
  /** `copy` when a rebuild replaces a member in use, `repair` when a check repairs. */
  readonly step: string | null;
  readonly pace: Pace | null;
  readonly done_bytes: number | null;
  readonly total_bytes: number | null;
  /** Over the last minute. */
  readonly rate_bytes_per_second: number | null;
  readonly eta_seconds: number | null;
  /** What `rebuild --rate` set; null = automatic. */
  readonly limit_bytes_per_second: number | null;
  readonly member_slot: number | null;
  /** Of this activity so far: blocks that disagreed, that were repaired, that are lost. */
  readonly mismatched_blocks: number | null;
  readonly repaired_blocks: number | null;
  readonly lost_blocks: number | null;
}

export interface ExportStatus {
  readonly kind: 'ublk' | 'nbd';
  readonly address: string;
  readonly read_only: boolean;
  /** Of the stack when it was exported: an export does not grow with it. */
  readonly size_bytes: number;
}

export interface MemberStatusDocument {
  /** Null for a spare; for one that is filled to replace a member, the slot of that member. */
  readonly slot: number | null;
  readonly device: string | null;
  readonly uuid: string | null;
  readonly health: 'ok' | 'rebuilding' | 'failed' | 'missing' | 'spare';
  readonly read_errors: number | null;
  readonly write_errors: number | null;
  readonly repaired_blocks: number | null;
}

export interface ArrayStatus {
  readonly level: string;
  readonly strip_size_bytes: number | null;
  readonly superblock_seq: number | null;
  /** In slot order. */
  readonly members: readonly MemberStatusDocument[];
  /** Devices of the stack without a slot. */
  readonly spares: readonly MemberStatusDocument[];
}

/** Blocks are of 4096 bytes; those written are counted since the start. */
export interface FtlStatusDocument {
  readonly op_percent: number;
  readonly bands: {
    readonly total: number;
    readonly free: number;
    readonly open: number;
    readonly closed: number;
    readonly size_bytes: number;
    /**
     * All bands in at most 512 cells of neighbours: `!` one is damaged, `G` relocating, `O` open;
     * else `0` to `9`, the tenths of them that are valid; `.` all free, `M` all of the map.
     */
    readonly map: { readonly bands_per_cell: number; readonly cells: string };
  };
  /** Blocks that hold data. */
  readonly valid_blocks: number;
  readonly user_blocks_written: number;
  readonly relocated_blocks_written: number;
  readonly metadata_blocks_written: number;
  /** What was written to the bands for each block that was written by users; null: none yet. */
  readonly write_amplification: number | null;
  /** Since the start: what was found wrong by its checksum, and how much of it was mended. */
  readonly wrong_checksums: number;
  readonly repaired_checksums: number;
  /** Since the start: blocks that relocation could not move, because they are right nowhere. */
  readonly unreadable_blocks: number;
}

/**
 * `degraded`: a mirror that lacks a member; `failing`: it is being emptied for good; `detached`: it
 * is empty, and not in use any more; `failed`: it could not be emptied, or that could not be put on
 * record, and nothing is changed any more.
 */
export type CacheHealth = 'ok' | 'degraded' | 'failing' | 'detached' | 'failed';

/** Blocks are of 4096 bytes; those written, drained, dropped and read are of this start. */
export interface CacheStatusDocument {
  /** The device; of a mirror the name of its array. */
  readonly device: string;
  /** Null before the header was read. */
  readonly uuid: string | null;
  readonly health: CacheHealth;
  readonly reason: string | null;
  /** What to do about a mirror. */
  readonly action: string | null;
  /** Of a mirror, else null: its rebuild or resync. */
  readonly activity: ActivityStatus | null;
  /** Of a mirror, else null: its members. */
  readonly array: ArrayStatus | null;
  /**
   * `header`, `scan`, `recover`, `scrub`: a start goes on; also `recover` afterwards, until what it
   * has found is drained. `draining`: somebody waits until all is drained.
   */
  readonly state: CacheState;
  /** These four are null while a start goes on. */
  readonly used_bytes: number | null;
  /** Of them: not with the FTL yet. */
  readonly undrained_bytes: number | null;
  /** Lap of the ring: 1, 2, 3, 1 … */
  readonly phase: number | null;
  /** Starts so far. */
  readonly epoch: number | null;
  /** Where in the ring it is; null while a start goes on. */
  readonly ring: CacheRingDocument | null;
  /** Null before the header was read. */
  readonly size_bytes: number | null;
  readonly user_blocks_written: number;
  readonly drained_blocks: number;
  /** Never sent to the FTL, because they were overwritten or trimmed before. */
  readonly dropped_blocks: number;
  readonly read_blocks: number;
  /** Blocks of the device whose newest copy nobody has any more. */
  readonly lost_blocks: number;
  /** The first ones. */
  readonly lost_ranges: readonly { readonly block: number; readonly block_count: number }[];
  /** Of the newest start: null once it is online, if there was a clean stop before it. */
  readonly recovery: CacheRecoveryDocument | null;
}

/**
 * Numbers of ring blocks, which begin at `first_block`. In use is from the tail to the head, round
 * the end if need be; from `drained_block` on nobody else has it yet. Where tail and head are the
 * same, `used_bytes` tells whether that is all or nothing.
 */
export interface CacheRingDocument {
  readonly first_block: number;
  readonly block_count: number;
  readonly tail_block: number;
  readonly drained_block: number;
  readonly head_block: number;
}

export type CacheState =
  | 'header'
  | 'scan'
  | 'recover'
  | 'scrub'
  | 'ready'
  | 'draining'
  | 'detached';

/** Ring blocks are of 4096 bytes. */
export interface CacheRecoveryDocument {
  /** In the words of the log. */
  readonly step: string;
  /** Everything that was found is drained. */
  readonly over: boolean;
  /** There was a clean stop before the start. */
  readonly clean: boolean;
  /** Of the step. */
  readonly blocks_done: number;
  readonly blocks_total: number;
  readonly rate_bytes_per_second: number | null;
  readonly eta_seconds: number | null;
  readonly scanned_blocks: number;
  readonly unreadable_blocks: number;
  /** Blocks of the stack that this start has found to be lost. */
  readonly lost_blocks: number;
  readonly trims: number;
  /** What was found, by phase. */
  readonly ranges: readonly CacheRangeDocument[];
}

export interface CacheRangeDocument {
  readonly phase: number;
  /** Ring blocks: where its first record begins, and the last one ends. */
  readonly first: number;
  readonly last: number;
  /** Those that count, those of an earlier lap, and those that a crash has torn. */
  readonly records_valid: number;
  readonly records_old: number;
  readonly records_torn: number;
  /** In use, and drained since; 0 before the start is over. */
  readonly blocks: number;
  readonly recovered: number;
}

export interface IoStatus {
  readonly ios: number;
  readonly bytes: number;
  readonly p50_us: number | null;
  readonly p99_us: number | null;
  readonly p999_us: number | null;
  /**
   * How many took how long: the longest time of a bucket in microseconds and its operations, the
   * shortest first, without empty ones. Of two documents, the differences are of the time between.
   */
  readonly latency_buckets: readonly (readonly [us: number, ios: number])[];
}

export interface ServerStatus {
  readonly pid: number;
  readonly version: string;
  readonly started_at: string;
}

export interface StatusDocument {
  readonly name: string;
  readonly uuid: string | null;
  readonly server: ServerStatus | null;
  readonly health: Health;
  readonly reason: string | null;
  readonly action: string | null;
  readonly size_bytes: number | null;
  readonly block_size: number | null;
  readonly activity: ActivityStatus;
  readonly exports: readonly ExportStatus[];
  readonly array: ArrayStatus | null;
  /** Null in a stack without one, and while it is stopped. */
  readonly ftl: FtlStatusDocument | null;
  /** Null in a stack without one, and while it is stopped. */
  readonly cache: CacheStatusDocument | null;
  readonly io: {
    readonly read: IoStatus;
    readonly write: IoStatus;
    readonly flush: IoStatus;
    readonly trim: IoStatus;
  } | null;
}

export const IDLE: ActivityStatus = {
  kind: 'idle',
  step: null,
  pace: null,
  done_bytes: null,
  total_bytes: null,
  rate_bytes_per_second: null,
  eta_seconds: null,
  limit_bytes_per_second: null,
  member_slot: null,
  mismatched_blocks: null,
  repaired_blocks: null,
  lost_blocks: null,
};

const HEALTHS: readonly string[] = ['healthy', 'degraded', 'failed', 'stopped'];

/** Checks as much of a status document as its readers rely on. */
export function decodeStatus(value: unknown): Decoded<StatusDocument> {
  if (!isRecord(value)) return { why: 'the status is not an object' };
  const { name, health, activity, exports, array, server } = value;
  if (typeof name !== 'string') return { why: 'the name is missing' };
  if (!HEALTHS.includes(health as string)) return { why: 'the health is unknown' };
  if (!isRecord(activity) || typeof activity['kind'] !== 'string') {
    return { why: 'the activity is missing' };
  }
  if (!isListOfRecords(exports)) return { why: 'exports is not a list' };
  if (array !== null) {
    if (!isRecord(array) || typeof array['level'] !== 'string') return { why: 'the array is bad' };
    if (!isListOfRecords(array['members'])) return { why: 'the members are not a list' };
    if (!isListOfRecords(array['spares'])) return { why: 'the spares are not a list' };
  }
  if (server !== null && (!isRecord(server) || !isCount(server['pid']))) {
    return { why: 'the server has no pid' };
  }
  return { value: value as unknown as StatusDocument };
}

function isListOfRecords(value: unknown): boolean {
  return Array.isArray(value) && value.every(isRecord);
}
