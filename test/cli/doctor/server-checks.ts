/** What doctor says of a running server. */

import type { ExecutionContext } from 'ava';
import test from 'ava';
import type { Check } from '../../../src/cli/doctor/check.ts';
import {
  type ProcessFacts,
  type ServerFacts,
  serverChecks,
} from '../../../src/cli/doctor/server-checks.ts';
import { inState, named, PROCESS, placeAt, SERVED, SERVER } from '../../_helpers/doctor-facts.ts';

type Verdict = readonly [state: Check['state'], found: string, action: string | null];

function verdictOf({ action, found, state }: Check): Verdict {
  return [state, found, action];
}

function says(t: ExecutionContext, name: string, facts: ServerFacts, verdict: Verdict): void {
  t.deepEqual(verdictOf(named(serverChecks(facts), name)), verdict, name);
}

const AGAIN = 'bandstand stop tank, then bandstand export tank';
const NBD = { ...SERVED, exports: [{ ...SERVED.exports[0]!, kind: 'nbd' as const }] };

/** The server of a block device, and what /proc says of it. */
const run = (change: Partial<ProcessFacts>): ServerFacts => ({
  ...SERVER,
  process: { ...PROCESS, ...change },
});
/** The same, over NBD. */
const overNbd = (change: Partial<ProcessFacts>): ServerFacts => ({ ...run(change), status: NBD });

test('a server that is as it should be is in order', (t) => {
  const checks = serverChecks(SERVER);
  t.deepEqual(
    inState(checks, 'ok'),
    checks.map(({ name }) => name),
  );
  t.true(checks.every(({ area, stack }) => area === 'server' && stack === 'tank'));
});

test('a server that does not answer is a problem, and no more is said than is known', (t) => {
  const silence = { why: 'it did not answer within 10000 ms', hint: 'look at the log' };
  const checks = serverChecks({ ...SERVER, status: null, silence, process: null });
  t.deepEqual(verdictOf(named(checks, 'answer')), [
    'problem',
    'it did not answer within 10000 ms',
    'look at the log; to give up on it: kill -9 4711, then bandstand export tank',
  ]);
  t.deepEqual(
    checks.map(({ name }) => name),
    ['answer', 'log', 'write-buffer'],
  );
  t.is(named(checks, 'write-buffer').state, 'not-applicable');
});

test('health is a problem where somebody has to do something', (t) => {
  const [reason, action] = ['slot 1 is out of service', 'bandstand member add tank DEVICE'];
  const degraded = { ...SERVED, health: 'degraded' as const, reason, action };
  const found = 'degraded: slot 1 is out of service';
  says(t, 'health', { ...SERVER, status: degraded }, ['problem', found, action]);
  const rebuild = { ...SERVED.activity, kind: 'rebuild' as const, pace: 'running' as const };
  const mending = { ...degraded, activity: rebuild };
  says(t, 'health', { ...SERVER, status: mending }, ['warning', found, action]);
  const paused = { ...degraded, activity: { ...rebuild, pace: 'paused' as const } };
  says(t, 'health', { ...SERVER, status: paused }, ['problem', found, action]);
  const failed = { ...SERVED, health: 'failed' as const, reason: 'two are out' };
  says(t, 'health', { ...SERVER, status: failed }, [
    'problem',
    'failed: two are out',
    'bandstand status tank',
  ]);
  const starting = { ...SERVED, health: 'stopped' as const, reason: 'it is being started: Scan' };
  says(t, 'health', { ...SERVER, status: starting }, [
    'warning',
    'it is being started: Scan',
    null,
  ]);
  const grown = { ...SERVED, reason: 'it has grown', action: 'export it again' };
  says(t, 'health', { ...SERVER, status: grown }, [
    'warning',
    'healthy: it has grown',
    'export it again',
  ]);
});

test('a server of another version is a warning', (t) => {
  says(t, 'version', { ...SERVER, version: '2.0.0' }, [
    'warning',
    '1.2.3, this program is 2.0.0',
    'bandstand upgrade tank',
  ]);
});

test('memory that is not locked is a problem of a block device', (t) => {
  const action = `raise the limit (LimitMEMLOCK=infinity, or ulimit -l unlimited), then ${AGAIN}`;
  says(t, 'locked-memory', run({ lockedBytes: 0 }), ['problem', 'nothing is locked', action]);
  says(t, 'locked-memory', overNbd({ lockedBytes: 0 }), ['warning', 'nothing is locked', action]);
  says(t, 'locked-memory', overNbd({ lockedBytes: 0, uid: 1000 }), [
    'not-applicable',
    'nothing is locked; it serves NBD without root, where nothing is promised',
    null,
  ]);
  says(t, 'locked-memory', SERVER, ['ok', '100 MiB locked', null]);
  const part = 'no more than 8 MiB locked';
  says(t, 'locked-memory', run({ lockedBytes: 8 * 2 ** 20 }), ['problem', part, action]);
});

test('what has been swapped out is a warning', (t) => {
  says(t, 'swap', run({ swappedBytes: 4096 }), [
    'warning',
    '4 KiB in swap',
    'give it a cgroup without swap: MemorySwapMax=0 in its unit',
  ]);
});

test('a thread that is no I/O flusher is a problem of a block device', (t) => {
  const action = `give it CAP_SYS_RESOURCE, then ${AGAIN}`;
  const none = { isFlusher: false, isDataPathFlusher: false };
  const both = 'the main thread and the data path are not marked';
  says(t, 'io-flusher', run(none), ['problem', both, action]);
  says(t, 'io-flusher', overNbd(none), ['warning', both, action]);
  says(t, 'io-flusher', run({ isDataPathFlusher: false }), [
    'problem',
    'the data path is not marked',
    action,
  ]);
  says(t, 'io-flusher', run({ isFlusher: false, isDataPathFlusher: null }), [
    'problem',
    'the main thread is not marked',
    action,
  ]);
  says(t, 'io-flusher', run({ isDataPathFlusher: null }), [
    'not-applicable',
    'the main thread is marked; which one the data path is cannot be told',
    null,
  ]);
});

test('a server that may be killed for its memory is a problem of a block device', (t) => {
  const action = `give it CAP_SYS_RESOURCE, then ${AGAIN}`;
  says(t, 'oom-score', run({ oomScoreAdj: 0 }), ['problem', 'oom_score_adj 0', action]);
});

test('the common mount namespace is a matter of block devices', (t) => {
  const shared = { hasOwnMounts: false };
  says(t, 'mount-namespace', run(shared), [
    'problem',
    'the common one',
    `give it CAP_SYS_ADMIN, then ${AGAIN}`,
  ]);
  says(t, 'mount-namespace', run({ ...shared, stuckMount: '/srv' }), [
    'warning',
    'the common one, because the mount /srv is not shared',
    `unmount what is on its device before you stop it; or make mounts shared: mount --make-rshared /, then ${AGAIN}`,
  ]);
  says(t, 'mount-namespace', run({ hasOwnMounts: null }), [
    'not-applicable',
    'only root can see it',
    null,
  ]);
  says(t, 'mount-namespace', overNbd(shared), [
    'not-applicable',
    'it serves no block device of this machine',
    null,
  ]);
});

test('members that are open through the page cache are a warning', (t) => {
  const members = [
    { path: '/dev/sdb', direct: true },
    { path: '/srv/disk.img', direct: false },
  ];
  says(t, 'direct-io', run({ members }), [
    'warning',
    '/srv/disk.img: through the page cache',
    'move them to a file system that takes O_DIRECT, or use disks',
  ]);
  says(t, 'direct-io', SERVER, ['ok', 'all of 1 devices are open past the page cache', null]);
  says(t, 'direct-io', run({ members: null }), ['not-applicable', 'only root can see them', null]);
  says(t, 'direct-io', run({ members: [] }), [
    'not-applicable',
    'no member is a file or a disk',
    null,
  ]);
});

test('a service without a watchdog is a warning', (t) => {
  says(t, 'watchdog', SERVER, ['ok', 'fed for a limit of 30 s', null]);
  says(t, 'watchdog', run({ service: { notifies: true, watchdogUs: 0 } }), [
    'warning',
    'a service without a watchdog',
    'add WatchdogSec=30 to its unit',
  ]);
  says(t, 'watchdog', run({ service: { notifies: false, watchdogUs: 0 } }), [
    'not-applicable',
    'no service manager has started it',
    null,
  ]);
  says(t, 'watchdog', run({ service: null }), ['not-applicable', 'only root can see it', null]);
});

test('a log on the export of a stack is a problem', (t) => {
  const path = '/srv/run/tank.log';
  const onExport = { stack: 'tank', address: '/dev/ublkb0', isCertain: true };
  says(t, 'log', { ...SERVER, log: placeAt(path, { onExport }) }, [
    'problem',
    '/srv/run/tank.log is on /dev/ublkb0, which the stack tank exports',
    'move it: bandstand stop tank, and export again with another --run-dir',
  ]);
  says(t, 'log', { ...SERVER, log: placeAt(path, { kind: null }) }, [
    'not-applicable',
    '/srv/run/tank.log is not there: it logs elsewhere',
    null,
  ]);
});

test('a write buffer that is gone while its server lives is a problem', (t) => {
  const gone = { ...SERVER, buffer: placeAt('/run/tank.buffer', { kind: null }) };
  says(t, 'write-buffer', gone, [
    'problem',
    '/run/tank.buffer is not there: somebody has removed it',
    `have all of it written while the server lives: ${AGAIN}`,
  ]);
  says(t, 'write-buffer', { ...SERVER, buffer: null }, [
    'warning',
    'neither its run directory nor /dev/shm is in memory: each write waits for the members',
    'mount a tmpfs at /dev/shm',
  ]);
  const cache = {} as NonNullable<typeof SERVED.cache>;
  says(t, 'write-buffer', { ...gone, status: { ...SERVED, cache } }, [
    'not-applicable',
    'the NV cache takes its place',
    null,
  ]);
  says(t, 'write-buffer', { ...gone, status: { ...SERVED, ftl: null } }, [
    'not-applicable',
    'the stack has no FTL',
    null,
  ]);
});
