/**
 * The ublk driver's interface, as constants and structures.                           (both planes)
 *
 * Source of every number and offset: include/uapi/linux/ublk_cmd.h of Linux 6.12 and of the newest
 * kernel (where both differ, the comment says so), and Documentation/block/ublk.rst. Only the
 * ioctl-encoded commands are here: kernels may be built without the older numbers. All integers
 * are little-endian, all sectors are 512 bytes, also on devices with 4096-byte blocks.
 *
 * What one request costs must not depend on this file's codecs: they serve the control plane. The
 * queue reads descriptors as 32-bit words, at the positions given at the end.
 */

import { Layout } from '../../block/layout.ts';

export const SECTOR_BYTES = 512;
export const CONTROL_PATH = '/dev/ublk-control';

export function charDevicePath(id: number): string {
  return `/dev/ublkc${id}`;
}

export function blockDevicePath(id: number): string {
  return `/dev/ublkb${id}`;
}

// --- commands to /dev/ublk-control ----------------------------------------------------------
// Encoded as _IOR or _IOWR('u', number, struct ublksrv_ctrl_cmd): direction << 30 | size << 16 | …

export const CMD_GET_QUEUE_AFFINITY = 0x80207501;
export const CMD_GET_DEV_INFO = 0x80207502;
export const CMD_ADD_DEV = 0xc0207504;
/** data[0]: the pid of the server. Blocks until every tag of every queue has been fetched. */
export const CMD_START_DEV = 0xc0207506;
/** Blocks until the requests in flight have been committed. */
export const CMD_STOP_DEV = 0xc0207507;
export const CMD_SET_PARAMS = 0xc0207508;
export const CMD_GET_PARAMS = 0x80207509;
export const CMD_START_USER_RECOVERY = 0xc0207510;
/** data[0]: the pid of the new server. */
export const CMD_END_USER_RECOVERY = 0xc0207511;
/** Exactly 8 bytes of buffer. */
export const CMD_GET_FEATURES = 0x80207513;
/** Since Linux 6.9. Does not wait for those who have the block device open, as DEL_DEV does. */
export const CMD_DEL_DEV_ASYNC = 0x80207514;

/** For commands that address no queue. */
export const QUEUE_NONE = 0xffff;
/** ADD_DEV chooses a free id. */
export const ID_ANY = 0xffffffff;

/** struct ublksrv_ctrl_cmd: bytes 48 … 79 of a 128-byte submission queue entry. */
export const CONTROL_COMMAND = new Layout('ublksrv_ctrl_cmd', 32, [
  { name: 'dev_id', offset: 0, bytes: 4, type: 'u32', meaning: 'Device, or ID_ANY' },
  { name: 'queue_id', offset: 4, bytes: 2, type: 'u16', meaning: 'Queue, or QUEUE_NONE' },
  { name: 'len', offset: 6, bytes: 2, type: 'u16', meaning: 'Bytes at addr' },
  { name: 'addr', offset: 8, bytes: 8, type: 'u64', meaning: 'Buffer, in or out' },
  { name: 'data', offset: 16, bytes: 8, type: 'u64', meaning: 'Inline argument' },
  { name: 'dev_path_len', offset: 24, bytes: 2, type: 'u16', meaning: 'Unprivileged devices only' },
  { name: 'pad', offset: 26, bytes: 2, type: 'zero', meaning: 'Zero' },
  { name: 'reserved', offset: 28, bytes: 4, type: 'zero', meaning: 'Zero' },
]);

// --- device information -----------------------------------------------------------------------

/** Feature flags by bit number; which kernel knows which is asked with GET_FEATURES. */
export const FEATURE_NAMES = [
  'zero-copy',
  'complete-in-task',
  'need-get-data',
  'user-recovery',
  'user-recovery-reissue',
  'unprivileged',
  'ioctl-encoding',
  'user-copy',
  'zoned',
  'user-recovery-fail-io',
  'update-size',
  'auto-buffer-registration',
  'quiesce',
  'per-io-daemon',
  'buffer-registration-off-daemon',
  'batch-io',
  'integrity',
  'safe-stop',
  'no-auto-partition-scan',
  'shared-memory-zero-copy',
  'io-descriptor-size',
] as const;

export const F_USER_RECOVERY = 1n << 3n;
export const F_USER_RECOVERY_REISSUE = 1n << 4n;
export const F_CMD_IOCTL_ENCODE = 1n << 6n;

/** Names of the bits that are set; `bit-N` for one that this version does not know. */
export function featureNames(flags: bigint): string[] {
  const names: string[] = [];
  for (let bit = 0; bit < 64; bit += 1) {
    if (((flags >> BigInt(bit)) & 1n) === 1n) names.push(FEATURE_NAMES[bit] ?? `bit-${bit}`);
  }
  return names;
}

/** `quiesced`: its server is gone and another may take over (flag user-recovery). */
export const STATE_NAMES = ['dead', 'live', 'quiesced', 'fail-io'] as const;

const DEV_INFO = new Layout('ublksrv_ctrl_dev_info', 64, [
  { name: 'nr_hw_queues', offset: 0, bytes: 2, type: 'u16', meaning: 'Queues' },
  { name: 'queue_depth', offset: 2, bytes: 2, type: 'u16', meaning: 'Requests per queue' },
  { name: 'state', offset: 4, bytes: 2, type: 'u16', meaning: 'See STATE_NAMES' },
  { name: 'pad0', offset: 6, bytes: 2, type: 'zero', meaning: 'Zero before Linux 7.3' },
  { name: 'max_io_buf_bytes', offset: 8, bytes: 4, type: 'u32', meaning: 'Largest request' },
  { name: 'dev_id', offset: 12, bytes: 4, type: 'u32', meaning: 'N of /dev/ublkbN' },
  { name: 'ublksrv_pid', offset: 16, bytes: 4, type: 'u32', meaning: 'Signed; -1: no server' },
  { name: 'pad1', offset: 20, bytes: 4, type: 'zero', meaning: 'Zero' },
  { name: 'flags', offset: 24, bytes: 8, type: 'u64', meaning: 'See FEATURE_NAMES' },
  { name: 'ublksrv_flags', offset: 32, bytes: 8, type: 'u64', meaning: 'Ours, stored verbatim' },
  { name: 'owner_uid', offset: 40, bytes: 4, type: 'u32', meaning: 'Set by the kernel' },
  { name: 'owner_gid', offset: 44, bytes: 4, type: 'u32', meaning: 'Set by the kernel' },
  { name: 'reserved1', offset: 48, bytes: 8, type: 'zero', meaning: 'Zero' },
  { name: 'reserved2', offset: 56, bytes: 8, type: 'zero', meaning: 'Zero' },
]);

export const DEV_INFO_BYTES = DEV_INFO.bytes;
export const DEPTH_MAX = 4096;

export interface UblkDeviceInfo {
  readonly id: number;
  readonly queues: number;
  readonly depth: number;
  readonly state: (typeof STATE_NAMES)[number] | 'unknown';
  /** Bytes that one buffer must hold. */
  readonly maxIoBytes: number;
  /** -1 when no server has been started. */
  readonly serverPid: number;
  readonly flags: bigint;
  /** A word of ours that the driver keeps; see `OWNER_TAG`. */
  readonly ownerTag: bigint;
  readonly ownerUid: number;
}

/** ublksrv_flags of the devices that this program makes ("bandst" and a format number). */
export const OWNER_TAG = 0x62616e6473740001n;

export function encodeDeviceInfo(
  info: Pick<UblkDeviceInfo, 'id' | 'queues' | 'depth' | 'maxIoBytes' | 'flags' | 'ownerTag'>,
): Uint8Array {
  const bytes = new Uint8Array(DEV_INFO.bytes);
  DEV_INFO.encode(
    {
      nr_hw_queues: info.queues,
      queue_depth: info.depth,
      state: 0,
      max_io_buf_bytes: info.maxIoBytes,
      dev_id: info.id,
      ublksrv_pid: 0,
      flags: info.flags,
      ublksrv_flags: info.ownerTag,
      owner_uid: 0,
      owner_gid: 0,
    },
    bytes,
  );
  return bytes;
}

export function decodeDeviceInfo(bytes: Uint8Array): UblkDeviceInfo {
  const values = DEV_INFO.decode(bytes);
  return {
    id: values.dev_id,
    queues: values.nr_hw_queues,
    depth: values.queue_depth,
    state: STATE_NAMES[values.state] ?? 'unknown',
    maxIoBytes: values.max_io_buf_bytes,
    serverPid: values.ublksrv_pid | 0,
    flags: values.flags,
    ownerTag: values.ublksrv_flags,
    ownerUid: values.owner_uid,
  };
}

// --- parameters -------------------------------------------------------------------------------

export const PARAM_BASIC = 1;
export const PARAM_DISCARD = 2;
export const PARAM_DEVT = 4;

export const ATTR_READ_ONLY = 1;
export const ATTR_ROTATIONAL = 2;
export const ATTR_VOLATILE_CACHE = 4;
export const ATTR_FUA = 8;

/**
 * struct ublk_params as Linux 6.12 has it (112 bytes); newer kernels append blocks that are not
 * used here and accept the shorter form. Some user-space copies of the header align `zoned` to 8
 * bytes; the kernel does not.
 */
const PARAMS = new Layout('ublk_params', 112, [
  { name: 'len', offset: 0, bytes: 4, type: 'u32', meaning: 'Bytes of this structure' },
  { name: 'types', offset: 4, bytes: 4, type: 'u32', meaning: 'PARAM_* blocks that are valid' },
  { name: 'attrs', offset: 8, bytes: 4, type: 'u32', meaning: 'ATTR_*' },
  { name: 'logical_bs_shift', offset: 12, bytes: 1, type: 'u8', meaning: '9 … 12' },
  { name: 'physical_bs_shift', offset: 13, bytes: 1, type: 'u8', meaning: 'At least logical' },
  { name: 'io_opt_shift', offset: 14, bytes: 1, type: 'u8', meaning: 'Optimal size' },
  { name: 'io_min_shift', offset: 15, bytes: 1, type: 'u8', meaning: 'Preferred minimum' },
  { name: 'max_sectors', offset: 16, bytes: 4, type: 'u32', meaning: 'Largest request' },
  { name: 'chunk_sectors', offset: 20, bytes: 4, type: 'u32', meaning: 'Never crossed; 0: none' },
  { name: 'dev_sectors', offset: 24, bytes: 8, type: 'u64', meaning: 'Capacity' },
  { name: 'virt_boundary_mask', offset: 32, bytes: 8, type: 'u64', meaning: '0: none' },
  { name: 'discard_alignment', offset: 40, bytes: 4, type: 'u32', meaning: 'Bytes' },
  { name: 'discard_granularity', offset: 44, bytes: 4, type: 'u32', meaning: 'Bytes, not 0' },
  { name: 'max_discard_sectors', offset: 48, bytes: 4, type: 'u32', meaning: '0: no discard' },
  { name: 'max_write_zeroes_sectors', offset: 52, bytes: 4, type: 'u32', meaning: '0: none' },
  { name: 'max_discard_segments', offset: 56, bytes: 2, type: 'u16', meaning: 'Must be 1' },
  { name: 'reserved0', offset: 58, bytes: 2, type: 'zero', meaning: 'Zero' },
  { name: 'char_major', offset: 60, bytes: 4, type: 'u32', meaning: 'Read only' },
  { name: 'char_minor', offset: 64, bytes: 4, type: 'u32', meaning: 'Read only' },
  { name: 'disk_major', offset: 68, bytes: 4, type: 'u32', meaning: 'Read only; 0 before START' },
  { name: 'disk_minor', offset: 72, bytes: 4, type: 'u32', meaning: 'Read only' },
  { name: 'zoned', offset: 76, bytes: 32, type: 'zero', meaning: 'Not used' },
  { name: 'pad', offset: 108, bytes: 4, type: 'zero', meaning: 'Zero' },
]);

export const PARAMS_BYTES = PARAMS.bytes;

/** What the kernel is told about a disk. Sizes in the units of the names. */
export interface UblkParams {
  /** ATTR_* bits. */
  readonly attributes: number;
  readonly logicalBlockShift: number;
  readonly physicalBlockShift: number;
  readonly ioMinShift: number;
  readonly ioOptShift: number;
  readonly maxSectors: number;
  /** 0: requests may cross any boundary. */
  readonly chunkSectors: number;
  readonly devSectors: number;
  /** null: neither discard nor write-zeroes. */
  readonly discard: {
    readonly granularityBytes: number;
    /** 0: no discard. */
    readonly maxDiscardSectors: number;
    /** 0: no write-zeroes. */
    readonly maxWriteZeroesSectors: number;
  } | null;
}

export function encodeParams(params: UblkParams): Uint8Array {
  const bytes = new Uint8Array(PARAMS.bytes);
  const { discard } = params;
  PARAMS.encode(
    {
      len: PARAMS.bytes,
      types: discard === null ? PARAM_BASIC : PARAM_BASIC | PARAM_DISCARD,
      attrs: params.attributes,
      logical_bs_shift: params.logicalBlockShift,
      physical_bs_shift: params.physicalBlockShift,
      io_opt_shift: params.ioOptShift,
      io_min_shift: params.ioMinShift,
      max_sectors: params.maxSectors,
      chunk_sectors: params.chunkSectors,
      dev_sectors: params.devSectors,
      virt_boundary_mask: 0,
      discard_alignment: 0,
      discard_granularity: discard?.granularityBytes ?? 0,
      max_discard_sectors: discard?.maxDiscardSectors ?? 0,
      max_write_zeroes_sectors: discard?.maxWriteZeroesSectors ?? 0,
      max_discard_segments: discard === null ? 0 : 1,
      char_major: 0,
      char_minor: 0,
      disk_major: 0,
      disk_minor: 0,
    },
    bytes,
  );
  return bytes;
}

/** Reads what GET_PARAMS gave. A capacity beyond 2^53 is not one that we set: null. */
export function decodeParams(bytes: Uint8Array): UblkParams | null {
  const values = PARAMS.decode(bytes);
  const devSectors = Number(values.dev_sectors);
  if ((values.types & PARAM_BASIC) === 0 || !Number.isSafeInteger(devSectors)) return null;
  return {
    attributes: values.attrs,
    logicalBlockShift: values.logical_bs_shift,
    physicalBlockShift: values.physical_bs_shift,
    ioMinShift: values.io_min_shift,
    ioOptShift: values.io_opt_shift,
    maxSectors: values.max_sectors,
    chunkSectors: values.chunk_sectors,
    devSectors,
    discard:
      (values.types & PARAM_DISCARD) === 0
        ? null
        : {
            granularityBytes: values.discard_granularity,
            maxDiscardSectors: values.max_discard_sectors,
            maxWriteZeroesSectors: values.max_write_zeroes_sectors,
          },
  };
}

/** The `len` field that GET_PARAMS wants to find in its buffer. */
export function encodeParamsRequest(): Uint8Array {
  const bytes = new Uint8Array(PARAMS.bytes);
  new DataView(bytes.buffer).setUint32(0, PARAMS.bytes, true);
  return bytes;
}

// --- queues of /dev/ublkcN --------------------------------------------------------------------

/** Once per tag, before START_DEV. The sending thread owns the tag's commands from then on. */
export const IO_FETCH_REQ = 0xc0107520;
/** Answers the tag's request and waits for its next one. */
export const IO_COMMIT_AND_FETCH_REQ = 0xc0107521;

// struct ublksrv_io_cmd, 16 bytes at byte 48 of a 64-byte submission queue entry, as four words:
//   0  queue (bits 0–15) and tag (bits 16–31)
//   1  result of the request that is committed: bytes, 0 or -errno
//   2  address of the buffer for the tag's next request, low word
//   3  high word

/** Completion results of the two commands: a request is there; the tag is retired. */
export const IO_RES_OK = 0;
export const IO_RES_ABORT = -19;

// struct ublksrv_io_desc, 24 bytes per tag in a read-only mapping, as six words; valid from the
// completion of a fetch until the commit:
//   0  operation (bits 0–7) and flags (bits 8–31)
//   1  number of sectors (0 for a flush)
//   2  start sector, low word (all ones for a flush)
//   3  high word
//   4  address of the buffer, low word
//   5  high word
export const IO_DESC_WORDS = 6;
export const IO_DESC_BYTES = 24;

export const IO_OP_MASK = 0xff;
export const IO_OP_READ = 0;
export const IO_OP_WRITE = 1;
export const IO_OP_FLUSH = 2;
export const IO_OP_DISCARD = 3;
export const IO_OP_WRITE_ZEROES = 5;
export const IO_F_FUA = 1 << 13;
export const IO_F_NOUNMAP = 1 << 15;

/**
 * Where queue `queue` begins in the mapping of /dev/ublkcN: the stride is that of the largest
 * depth whatever the depth in use.
 */
export function descriptorOffset(queue: number, pageBytes: number): number {
  return queue * roundUp(DEPTH_MAX * IO_DESC_BYTES, pageBytes);
}

/** Length of one queue's mapping; the driver accepts no other. */
export function descriptorBytes(depth: number, pageBytes: number): number {
  return roundUp(depth * IO_DESC_BYTES, pageBytes);
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
