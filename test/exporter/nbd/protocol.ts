import test from 'ava';
import {
  EACCES,
  EBUSY,
  ECANCELED,
  EILSEQ,
  EINVAL,
  EIO,
  ENODATA,
  ENODEV,
  ENOMEM,
  ENOSPC,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
  EROFS,
  ESHUTDOWN,
  ETIMEDOUT,
  OK,
} from '../../../src/block/status.ts';
import { allowedCommandFlags, nbdError } from '../../../src/exporter/nbd/protocol.ts';

test('every errno becomes an error value that the protocol defines', (t) => {
  const table = [
    [OK, 0],
    [EPERM, 1],
    [EACCES, 1],
    [EROFS, 1],
    [EIO, 5],
    [ENOMEM, 12],
    [EINVAL, 22],
    [ENOSPC, 28],
    [EOVERFLOW, 75],
    [EOPNOTSUPP, 95],
    [ESHUTDOWN, 108],
    [ENODEV, 5],
    [EBUSY, 5],
    [ENODATA, 5],
    [EILSEQ, 5],
    [ETIMEDOUT, 5],
    [ECANCELED, 5],
  ] as const;
  for (const [errno, value] of table) t.is(nbdError(errno), value, `errno ${errno}`);
});

test('no failure is ever reported as success', (t) => {
  const defined = new Set([1, 5, 12, 22, 28, 75, 95, 108]);
  for (let errno = 1; errno < 256; errno += 1) t.true(defined.has(nbdError(errno)));
});

test('each command allows the flags that the protocol documents for it', (t) => {
  // read, write, disconnect, flush, trim, cache, write zeroes, block status, unknown
  const flags = [0, 1, 2, 3, 4, 5, 6, 7, 8].map((type) => allowedCommandFlags(type));
  t.deepEqual(flags, [1 | 4, 1, 1, 1, 1, 1, 1 | 2 | 16, 1 | 8, 1]);
});
