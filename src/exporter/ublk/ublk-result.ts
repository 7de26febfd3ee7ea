/**
 * Statuses as the results that ublk understands.                                       (data plane)
 *
 * The kernel turns the errno of a commit into a block status and gives applications that status's
 * errno. It knows the ones below (checked on Linux 6.12); anything else becomes EIO, with a message
 * in the kernel log that misleads. Left out on purpose: EAGAIN and EBUSY, which would fail an
 * operation that merely has to wait (a device queues instead, law 8).
 */

import {
  EILSEQ,
  EINVAL,
  EIO,
  ENODATA,
  ENOMEM,
  ENOSPC,
  EOPNOTSUPP,
  ETIMEDOUT,
} from '../../block/status.ts';

/** errno.h: the target, or the link to it, is to blame. */
const ENOLINK = 67;
const EREMOTEIO = 121;

const STATUS_MAX = 255;
const RESULTS = new Int32Array(STATUS_MAX + 1).fill(-EIO);
for (const status of [
  EIO,
  ENOMEM,
  EINVAL,
  ENOSPC,
  /** A sector that cannot be read: "critical medium error". */
  ENODATA,
  ENOLINK,
  /** A checksum that does not match: "protection error". */
  EILSEQ,
  EOPNOTSUPP,
  ETIMEDOUT,
  EREMOTEIO,
]) {
  RESULTS[status] = -status;
}

/** The negative result for a status that is not OK; -EIO when in doubt, never 0. */
export function resultOfStatus(status: number): number {
  return status > 0 && status <= STATUS_MAX ? RESULTS[status]! : -EIO;
}
