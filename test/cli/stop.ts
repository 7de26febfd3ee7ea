import test from 'ava';
import { FakeStack } from '../_helpers/fake-stack.ts';

test('a server that says it has stopped, and goes on, is not told as stopped', async (t) => {
  const { world } = await FakeStack.start(t, 'tank', () => Promise.resolve({ stopped: true }));
  const outcome = await world.run('stop', 'tank', '--stop-in-use', '--timeout', '1s');
  t.is(outcome.status, 1);
  t.is(outcome.stdout, '');
  t.is(
    outcome.stderr,
    `bandstand: cannot stop tank: pid ${process.pid} was asked to stop and has not ended within 1 s\n` +
      '  look at its log and at the kernel log (dmesg); give up on it: ' +
      `kill -9 ${process.pid}; bandstand stop tank\n`,
  );
});
