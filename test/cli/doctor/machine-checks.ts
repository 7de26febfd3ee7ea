/** What doctor says of a machine. */

import type { ExecutionContext } from 'ava';
import test from 'ava';
import { type MachineFacts, machineChecks } from '../../../src/cli/doctor/machine-checks.ts';
import { chosenOf, memlockOf } from '../../../src/cli/doctor/read-machine.ts';
import { inState, MACHINE, named } from '../../_helpers/doctor-facts.ts';

const { features, ublk } = MACHINE;
const ring = features.io_uring;

/** A change of the facts, and what becomes of the check. */
const says = test.macro({
  exec(
    t: ExecutionContext,
    change: Partial<MachineFacts>,
    name: string,
    state: string,
    found: string,
    action: string | null,
  ) {
    const check = named(machineChecks({ ...MACHINE, ...change }), name);
    t.deepEqual({ state: check.state, found: check.found, action: check.action }, {
      state,
      found,
      action,
    } as never);
  },
  title: (title) => title!,
});

test('a machine that has everything is in order', (t) => {
  const checks = machineChecks(MACHINE);
  t.deepEqual(
    inState(checks, 'ok'),
    checks.map(({ name }) => name),
  );
  t.is(named(checks, 'io-uring').found, 'usable (DEFER_TASKRUN)');
  t.is(named(checks, 'memlock').found, 'a limit of 8 MiB, which does not hold for root');
});

const USE = 'use Linux 6.1 or later, for ublk 6.12 or later';

test(
  'an old kernel is a problem',
  says,
  { kernel: '5.10.0-9' },
  'kernel',
  'problem',
  'Linux 5.10.0-9',
  USE,
);
test(
  'a slow kernel is a warning',
  says,
  { kernel: '5.15.0' },
  'kernel',
  'warning',
  'Linux 5.15.0',
  USE,
);
test('5.2 is older than 5.15', says, { kernel: '5.2.0' }, 'kernel', 'problem', 'Linux 5.2.0', USE);
test(
  'a kernel without a number is not judged',
  says,
  { kernel: 'x' },
  'kernel',
  'not-applicable',
  'Linux x, of which nothing is known',
  null,
);

const NO_ADDON = 'cannot load the native addon';
const NO_RING = { ...ring, available: false, reason: NO_ADDON };

test(
  'a missing addon is a problem',
  says,
  { features: { kernels: null, io_uring: NO_RING } },
  'addon',
  'problem',
  NO_ADDON,
  'build it: npm run build:native',
);
test(
  'portable byte kernels are a warning',
  says,
  { features: { kernels: 'portable', io_uring: ring } },
  'addon',
  'warning',
  'byte kernels portable: this processor has none that are faster',
  null,
);

const FORBIDDEN = { ...NO_RING, reason: 'the sysctl forbids it', hint: 'run sysctl' };

test(
  'a forbidden io_uring is a problem, and says by whom',
  says,
  { features: { ...features, io_uring: FORBIDDEN } },
  'io-uring',
  'problem',
  'the sysctl forbids it',
  'run sysctl',
);
test(
  'buffers that cannot be registered are a warning',
  says,
  { features: { ...features, io_uring: { ...ring, fixed_buffers: false } } },
  'io-uring',
  'warning',
  'usable, but buffers cannot be registered',
  'raise the limit of locked memory (ulimit -l)',
);

const NO_DRIVER = {
  ...ublk,
  available: false,
  features: [],
  reason: 'no driver',
  code: 'BANDSTAND_UBLK_UNAVAILABLE',
  hint: 'a hint',
};
const DENIED = { ...NO_DRIVER, code: 'BANDSTAND_UBLK_PERMISSION', reason: 'denied' };
const MODPROBE = 'modprobe ublk_drv; where the kernel has none, export with --via nbd';

test(
  'a missing ublk driver is a warning',
  says,
  { ublk: NO_DRIVER },
  'ublk',
  'warning',
  'no driver',
  MODPROBE,
);
test(
  'a ublk driver that denies root is a warning',
  says,
  { ublk: DENIED },
  'ublk',
  'warning',
  'denied',
  'a hint',
);
test(
  'a ublk driver without recovery is a warning',
  says,
  { ublk: { ...ublk, features: ['user-recovery'] } },
  'ublk',
  'warning',
  'available, without user-recovery-reissue: I/O fails when a server dies',
  'use Linux 6.12 or later',
);
test(
  'ublk is not for users',
  says,
  { ublk: DENIED, isRoot: false },
  'ublk',
  'not-applicable',
  'only root can ask the driver',
  null,
);
test(
  'a missing ublk driver is no matter to users',
  says,
  { ublk: NO_DRIVER, isRoot: false },
  'ublk',
  'not-applicable',
  'no driver',
  null,
);

const GIVE = 'give them to the container or the service (--cap-add, AmbientCapabilities=)';

test(
  'root without capabilities is a warning',
  says,
  { capabilities: 1n << 21n },
  'capabilities',
  'warning',
  'root without CAP_IPC_LOCK, CAP_SYS_RESOURCE',
  GIVE,
);
test(
  'users need no capabilities',
  says,
  { capabilities: 0n, isRoot: false },
  'capabilities',
  'not-applicable',
  'not root: files and NBD need none',
  null,
);
test(
  'unknown capabilities are not judged',
  says,
  { capabilities: null },
  'capabilities',
  'not-applicable',
  'the kernel does not tell',
  null,
);

test(
  'a limit of locked memory holds without its capability',
  says,
  { capabilities: 0n },
  'memlock',
  'warning',
  'a limit of 8 MiB',
  'raise it: LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited',
);
test(
  'no limit of locked memory is in order',
  says,
  { memlockBytes: Infinity },
  'memlock',
  'ok',
  'no limit',
  null,
);
test(
  'users are promised no locked memory',
  says,
  { isRoot: false },
  'memlock',
  'not-applicable',
  'a limit of 8 MiB; not root: nothing is promised',
  null,
);
test(
  'an unknown limit is not judged',
  says,
  { memlockBytes: null },
  'memlock',
  'not-applicable',
  'the kernel does not tell',
  null,
);

const ENABLE = 'echo madvise > /sys/kernel/mm/transparent_hugepage/enabled';

test(
  'huge pages that are switched off are a warning',
  says,
  { transparentHugePages: 'never' },
  'huge-pages',
  'warning',
  'transparent ones are never, others none',
  ENABLE,
);
test(
  'huge pages that are not built in cannot be switched on',
  says,
  { transparentHugePages: null },
  'huge-pages',
  'warning',
  'transparent ones are not built in, others none',
  null,
);
test(
  'reserved huge pages do',
  says,
  { transparentHugePages: 'never', freeHugePages: 64 },
  'huge-pages',
  'ok',
  '64 free',
  null,
);

test('limits and choices of the kernel are understood', (t) => {
  const limits =
    'Limit  Soft Limit  Hard Limit  Units\nMax locked memory  8388608  8388608  bytes\n';
  t.is(memlockOf(limits), 8388608);
  t.is(memlockOf('Max locked memory    unlimited  unlimited  bytes\n'), Infinity);
  t.is(memlockOf('nothing'), null);
  t.is(chosenOf('always [madvise] never\n'), 'madvise');
  t.is(chosenOf(null), null);
});
