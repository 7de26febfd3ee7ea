import test from 'ava';
import { readUringFacts, type UringFacts, uringError } from '../../src/reactor/uring-error.ts';

const FACTS: UringFacts = { disabled: '0', seccomp: '0', memlock: '8388608', kernel: '6.12.1' };

function text(errno: number, facts: Partial<UringFacts> = {}): [message: string, hint: string] {
  const error = uringError(errno, undefined, { ...FACTS, ...facts });
  return [error.message.replace('cannot set up io_uring on this machine: ', ''), error.hint!];
}

test('a sysctl that forbids io_uring is named with its value', (t) => {
  t.deepEqual(text(1, { disabled: '2' }), [
    'the sysctl kernel.io_uring_disabled is 2, which forbids it to everybody',
    'run `sysctl -w kernel.io_uring_disabled=1` as root (1 still forbids it to ordinary users)',
  ]);
  t.deepEqual(text(1, { disabled: '1', seccomp: '2' }), [
    'the sysctl kernel.io_uring_disabled is 1, which forbids it to ordinary users',
    'run it as root, or join the group of the sysctl kernel.io_uring_group',
  ]);
});

test('a seccomp filter is told from a security policy', (t) => {
  const allow =
    'allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile of the container';
  t.deepEqual(text(1, { seccomp: '2' }), [
    'a seccomp filter forbids it (EPERM), as containers do by default',
    allow,
  ]);
  t.deepEqual(text(13, { disabled: null }), [
    'a security policy forbids it (EACCES)',
    'look for a denial in the log of SELinux or AppArmor (`journalctl -k`)',
  ]);
  t.is(text(38, { seccomp: '2' })[1], allow);
});

test('an old kernel, a memory limit and a file limit have their own remedies', (t) => {
  t.deepEqual(text(38, { kernel: '5.4.0' }), [
    'Linux 5.4.0 has none, or one older than 5.11 (ENOSYS)',
    'use a kernel of 5.15 or later that is built with CONFIG_IO_URING',
  ]);
  t.deepEqual(text(12), [
    'the kernel has no memory for it (ENOMEM; the limit of locked memory is 8388608)',
    'raise the limit (LimitMEMLOCK= in systemd, `ulimit -l`), or use a smaller --depth',
  ]);
  t.is(text(24)[0], 'too many files are open (EMFILE)');
  t.is(text(22)[0], 'Linux 6.12.1 answers EINVAL');
});

test('the error carries its code, its cause and the facts', (t) => {
  const cause = new Error('io_uring_setup: Operation not permitted (EPERM)');
  const error = uringError(1, cause, FACTS);
  t.is(error.code, 'BANDSTAND_URING_UNAVAILABLE');
  t.is(error.cause, cause);
  t.deepEqual(error.details, {
    errno: 1,
    io_uring_disabled: '0',
    seccomp: '0',
    memlock: '8388608',
    kernel: '6.12.1',
  });
});

test('the facts of this machine can be read', (t) => {
  const facts = readUringFacts();
  t.regex(facts.kernel, /^\d+\.\d+/);
  t.regex(facts.seccomp ?? '0', /^[012]$/);
  t.regex(facts.memlock ?? 'unlimited', /^(\d+|unlimited)$/);
});
