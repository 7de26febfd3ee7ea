/**
 * Numbers of the io_uring interface (linux/io_uring.h) that JavaScript handles.       (data plane)
 *
 * A submission queue entry (SQE) is 16 words of 32 bits, little endian:
 *
 *   word  0      opcode (8 bits), IOSQE_* flags (8 bits), I/O priority (16 bits)
 *         1      file descriptor, or slot of the registered file table with IOSQE_FIXED_FILE
 *         2, 3   file offset; or the command number of IORING_OP_URING_CMD and padding
 *         4, 5   address; the length of a fallocate; the first byte of a discard
 *         6      length; the mode of a fallocate
 *         7      flags of the operation (RWF_*, MSG_*, poll events, …)
 *         8, 9   user data: our token and handler number
 *        10      index of the registered buffer (16 bits)
 *        11      unused here
 *        12…15   the 16 bytes of a command; the length of a discard (12, 13)
 *
 * A completion queue entry (CQE) is 4 words: user data (token, handler), result, flags.
 */

export const SQE_WORDS = 16;
export const CQE_WORDS = 4;

export const IORING_OP_READ_FIXED = 4;
export const IORING_OP_WRITE_FIXED = 5;
export const IORING_OP_FSYNC = 3;
export const IORING_OP_POLL_ADD = 6;
export const IORING_OP_SENDMSG = 9;
export const IORING_OP_TIMEOUT = 11;
export const IORING_OP_ACCEPT = 13;
export const IORING_OP_ASYNC_CANCEL = 14;
export const IORING_OP_FALLOCATE = 17;
export const IORING_OP_READ = 22;
export const IORING_OP_WRITE = 23;
export const IORING_OP_SEND = 26;
export const IORING_OP_RECV = 27;
export const IORING_OP_SHUTDOWN = 34;
export const IORING_OP_URING_CMD = 46;

/** Flag IOSQE_FIXED_FILE, already in its place in word 0. */
export const SQE_FIXED_FILE = 1 << 8;

export const IORING_FSYNC_DATASYNC = 1;

export const IORING_SETUP_CQSIZE = 1 << 3;
export const IORING_SETUP_CLAMP = 1 << 4;
export const IORING_SETUP_SUBMIT_ALL = 1 << 7;
export const IORING_SETUP_COOP_TASKRUN = 1 << 8;
export const IORING_SETUP_TASKRUN_FLAG = 1 << 9;
export const IORING_SETUP_SINGLE_ISSUER = 1 << 12;
export const IORING_SETUP_DEFER_TASKRUN = 1 << 13;

/** BLOCK_URING_CMD_DISCARD of linux/blkdev.h, kernel 6.12. */
export const BLOCK_URING_CMD_DISCARD = 0x1200;

export const RWF_DSYNC = 2;
export const MSG_NOSIGNAL = 0x4000;
export const SOCK_CLOEXEC = 0o2000000;
