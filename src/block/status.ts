/**
 * Completion statuses: 0, or a positive Linux errno.                                  (both planes)
 *
 * A status travels unchanged from the device that produced it to the exporter, which negates it
 * for ublk or maps it to an NBD error value. Values are those of Linux's asm-generic/errno.h, so
 * no table stands between a completion queue entry and a BlockIo.
 */

export const OK = 0;
export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const EIO = 5;
export const ENXIO = 6;
export const EBADF = 9;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const EINVAL = 22;
export const ENOSPC = 28;
export const EROFS = 30;
export const EPIPE = 32;
export const ENOSYS = 38;
export const ENODATA = 61;
export const ETIME = 62;
export const EOVERFLOW = 75;
export const EILSEQ = 84;
export const EOPNOTSUPP = 95;
export const ENOBUFS = 105;
export const EADDRINUSE = 98;
export const ECONNRESET = 104;
export const ESHUTDOWN = 108;
export const ETIMEDOUT = 110;
export const ECANCELED = 125;

const NAMES: Readonly<Record<number, readonly [name: string, text: string]>> = {
  [OK]: ['OK', 'success'],
  [EPERM]: ['EPERM', 'operation not permitted'],
  [ENOENT]: ['ENOENT', 'no such file or directory'],
  [EINTR]: ['EINTR', 'interrupted'],
  [EIO]: ['EIO', 'input/output error'],
  [ENXIO]: ['ENXIO', 'no such device or address'],
  [EBADF]: ['EBADF', 'bad file descriptor'],
  [EAGAIN]: ['EAGAIN', 'resource temporarily unavailable'],
  [ENOMEM]: ['ENOMEM', 'out of memory'],
  [EACCES]: ['EACCES', 'permission denied'],
  [EBUSY]: ['EBUSY', 'device or resource busy'],
  [EEXIST]: ['EEXIST', 'already exists'],
  [ENODEV]: ['ENODEV', 'device is gone'],
  [EINVAL]: ['EINVAL', 'invalid argument'],
  [ENOSPC]: ['ENOSPC', 'no space left'],
  [EROFS]: ['EROFS', 'read-only'],
  [EPIPE]: ['EPIPE', 'connection closed by the peer'],
  [ENOSYS]: ['ENOSYS', 'not implemented by this kernel'],
  [ENODATA]: ['ENODATA', 'critical medium error'],
  [ETIME]: ['ETIME', 'timer expired'],
  [EOVERFLOW]: ['EOVERFLOW', 'value too large'],
  [EILSEQ]: ['EILSEQ', 'checksum mismatch'],
  [EOPNOTSUPP]: ['EOPNOTSUPP', 'operation not supported'],
  [EADDRINUSE]: ['EADDRINUSE', 'address in use'],
  [ENOBUFS]: ['ENOBUFS', 'no buffer space available'],
  [ECONNRESET]: ['ECONNRESET', 'connection reset by the peer'],
  [ESHUTDOWN]: ['ESHUTDOWN', 'shutting down'],
  [ETIMEDOUT]: ['ETIMEDOUT', 'timed out'],
  [ECANCELED]: ['ECANCELED', 'canceled'],
};

/** `EIO` for 5, `E133` for a number without a name here. Accepts the sign either way. */
export function statusName(status: number): string {
  const errno = Math.abs(status);
  return NAMES[errno]?.[0] ?? `E${errno}`;
}

/** A few words for people, for example `device or resource busy`. */
export function statusText(status: number): string {
  const errno = Math.abs(status);
  return NAMES[errno]?.[1] ?? `error ${errno}`;
}
