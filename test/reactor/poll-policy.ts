import test from 'ava';
import { PollPolicy } from '../../src/reactor/poll-policy.ts';

function worthwhileOf(policy: PollPolicy, times: number): number {
  let yes = 0;
  for (let index = 0; index < times; index += 1) if (policy.worthwhile()) yes += 1;
  return yes;
}

test('without a budget there is no spinning', (t) => {
  t.is(worthwhileOf(new PollPolicy(0), 1000), 0);
});

test('spinning goes on while it is answered', (t) => {
  const policy = new PollPolicy(20);
  for (let index = 0; index < 1000; index += 1) {
    t.true(policy.worthwhile());
    policy.learn(true);
  }
});

test('spins that are not answered end the spinning, but for a probe now and then', (t) => {
  const policy = new PollPolicy(20);
  let spins = 0;
  while (policy.worthwhile()) {
    policy.learn(false);
    spins += 1;
  }
  t.true(spins > 4 && spins < 30, `${spins}`);
  t.is(worthwhileOf(policy, 6400), 100);
});

test('answered probes bring the spinning back', (t) => {
  const policy = new PollPolicy(20);
  for (let index = 0; index < 100; index += 1) policy.learn(false);
  t.false(policy.worthwhile());
  for (let index = 0; index < 100; index += 1) policy.learn(true);
  t.true(policy.worthwhile());
});
