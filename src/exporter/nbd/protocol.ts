/**
 * NBD protocol: numbers, layouts and the one error table.                             (both planes)
 *
 * Source: the NBD protocol description (NetworkBlockDevice/nbd, doc/proto.md). Every field on the
 * wire is big-endian. Only what this server sends or understands is named here.
 *
 * Layouts (byte positions):
 *
 *   greeting            0 'NBDMAGIC'  8 'IHAVEOPT'  16 handshake flags (u16)               18 bytes
 *   client flags        0 flags (u32)                                                       4 bytes
 *   option              0 'IHAVEOPT'  8 option (u32)  12 length (u32)  16 data             16 + n
 *   option reply        0 magic (u64)  8 option (u32)  12 type (u32)  16 length (u32)      20 + n
 *   request             0 magic (u32)  4 flags (u16)  6 type (u16)  8 cookie (u64)
 *                       16 offset (u64)  24 length (u32)                                   28 bytes
 *   simple reply        0 magic (u32)  4 error (u32)  8 cookie (u64)                       16 bytes
 *   structured chunk    0 magic (u32)  4 flags (u16)  6 type (u16)  8 cookie (u64)
 *                       16 length (u32)  20 data                                           20 + n
 */

import {
  EACCES,
  EINVAL,
  ENOMEM,
  ENOSPC,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
  EROFS,
  ESHUTDOWN,
  OK,
} from '../../block/status.ts';

// --- handshake -----------------------------------------------------------------------------------

/** 'NBDMAGIC' and 'IHAVEOPT' as pairs of words. */
export const GREETING_MAGIC_HIGH = 0x4e42444d;
export const GREETING_MAGIC_LOW = 0x41474943;
export const OPTION_MAGIC_HIGH = 0x49484156;
export const OPTION_MAGIC_LOW = 0x454f5054;
export const OPTION_REPLY_MAGIC_HIGH = 0x0003e889;
export const OPTION_REPLY_MAGIC_LOW = 0x045565a9;

export const GREETING_BYTES = 18;
export const CLIENT_FLAGS_BYTES = 4;
export const OPTION_HEADER_BYTES = 16;
export const OPTION_REPLY_HEADER_BYTES = 20;

/** Handshake flags of the server; the client's flags have the same bits. */
export const FLAG_FIXED_NEWSTYLE = 1;
export const FLAG_NO_ZEROES = 2;

export const OPT_EXPORT_NAME = 1;
export const OPT_ABORT = 2;
export const OPT_LIST = 3;
export const OPT_STARTTLS = 5;
export const OPT_INFO = 6;
export const OPT_GO = 7;
export const OPT_STRUCTURED_REPLY = 8;
export const OPT_LIST_META_CONTEXT = 9;
export const OPT_SET_META_CONTEXT = 10;

export const REP_ACK = 1;
export const REP_SERVER = 2;
export const REP_INFO = 3;
export const REP_META_CONTEXT = 4;
export const REP_ERR_UNSUP = 0x80000001;
export const REP_ERR_POLICY = 0x80000002;
export const REP_ERR_INVALID = 0x80000003;
export const REP_ERR_TLS_REQD = 0x80000005;
export const REP_ERR_UNKNOWN = 0x80000006;
export const REP_ERR_TOO_BIG = 0x80000009;

export const INFO_EXPORT = 0;
export const INFO_NAME = 1;
export const INFO_DESCRIPTION = 2;
export const INFO_BLOCK_SIZE = 3;

/** The limit of the protocol for names, descriptions, queries and messages, in bytes. */
export const STRING_BYTES_MAX = 4096;

// --- transmission flags --------------------------------------------------------------------------

export const TRANSMIT_HAS_FLAGS = 1;
export const TRANSMIT_READ_ONLY = 2;
export const TRANSMIT_FLUSH = 4;
export const TRANSMIT_FUA = 8;
export const TRANSMIT_ROTATIONAL = 16;
export const TRANSMIT_TRIM = 32;
export const TRANSMIT_WRITE_ZEROES = 64;
export const TRANSMIT_DF = 128;
export const TRANSMIT_MULTI_CONN = 256;
export const TRANSMIT_CACHE = 1024;
export const TRANSMIT_FAST_ZERO = 2048;

// --- transmission --------------------------------------------------------------------------------

export const REQUEST_MAGIC = 0x25609513;
export const SIMPLE_REPLY_MAGIC = 0x67446698;
export const STRUCTURED_REPLY_MAGIC = 0x668e33ef;

export const REQUEST_BYTES = 28;
export const SIMPLE_REPLY_BYTES = 16;
export const CHUNK_HEADER_BYTES = 20;

export const CMD_READ = 0;
export const CMD_WRITE = 1;
export const CMD_DISC = 2;
export const CMD_FLUSH = 3;
export const CMD_TRIM = 4;
export const CMD_CACHE = 5;
export const CMD_WRITE_ZEROES = 6;
export const CMD_BLOCK_STATUS = 7;

export const CMD_FLAG_FUA = 1;
export const CMD_FLAG_NO_HOLE = 2;
export const CMD_FLAG_DF = 4;
export const CMD_FLAG_REQ_ONE = 8;
export const CMD_FLAG_FAST_ZERO = 16;

export const CHUNK_FLAG_DONE = 1;
export const CHUNK_NONE = 0;
export const CHUNK_OFFSET_DATA = 1;
export const CHUNK_BLOCK_STATUS = 5;
export const CHUNK_ERROR = 0x8001;

/** The context id under which `base:allocation` is selected. */
export const ALLOCATION_CONTEXT_ID = 1;
export const ALLOCATION_CONTEXT_NAME = 'base:allocation';
/** Flags of its extents; 0: there is data. */
export const STATE_HOLE = 1;
export const STATE_ZERO = 2;

/** What a client may assume when no block sizes were negotiated, and what this server accepts. */
export const REQUEST_BYTES_MAX = 32 * 2 ** 20;

// --- errors --------------------------------------------------------------------------------------

export const NBD_EPERM = 1;
export const NBD_EIO = 5;
export const NBD_ENOMEM = 12;
export const NBD_EINVAL = 22;
export const NBD_ENOSPC = 28;
export const NBD_EOVERFLOW = 75;
export const NBD_ENOTSUP = 95;
export const NBD_ESHUTDOWN = 108;

/**
 * The error value that tells a client about `status`: 0 only for OK, and EIO for every errno that
 * the protocol has no value for.
 */
export function nbdError(status: number): number {
  switch (status) {
    case OK:
      return 0;
    case EPERM:
    case EACCES:
    case EROFS:
      return NBD_EPERM;
    case ENOMEM:
      return NBD_ENOMEM;
    case EINVAL:
      return NBD_EINVAL;
    case ENOSPC:
      return NBD_ENOSPC;
    case EOVERFLOW:
      return NBD_EOVERFLOW;
    case EOPNOTSUPP:
      return NBD_ENOTSUP;
    case ESHUTDOWN:
      return NBD_ESHUTDOWN;
    default:
      return NBD_EIO;
  }
}

/** The command flags that are documented for each command, by command number. */
export function allowedCommandFlags(type: number): number {
  switch (type) {
    case CMD_READ:
      return CMD_FLAG_FUA | CMD_FLAG_DF;
    case CMD_WRITE_ZEROES:
      return CMD_FLAG_FUA | CMD_FLAG_NO_HOLE | CMD_FLAG_FAST_ZERO;
    case CMD_BLOCK_STATUS:
      return CMD_FLAG_FUA | CMD_FLAG_REQ_ONE;
    default:
      return CMD_FLAG_FUA;
  }
}
