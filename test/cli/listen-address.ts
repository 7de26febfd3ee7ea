import path from 'node:path';
import test from 'ava';
import { formatListen, isLoopback, parseListen } from '../../src/cli/listen-address.ts';

test('addresses are understood and printed in one spelling', (t) => {
  const cases: Record<string, string> = {
    'unix:/run/x.sock': 'unix:/run/x.sock',
    'unix:x.sock': `unix:${path.resolve('x.sock')}`,
    'tcp:127.0.0.1:10809': 'tcp:127.0.0.1:10809',
    'tcp:localhost:0': 'tcp:127.0.0.1:0',
    'tcp:[::1]:10809': 'tcp:[::1]:10809',
    'tcp:0.0.0.0:10809': 'tcp:0.0.0.0:10809',
    'tcp:[::]:1': 'tcp:[::]:1',
  };
  for (const [text, printed] of Object.entries(cases)) {
    t.is(formatListen(parseListen(text)), printed);
    t.is(formatListen(parseListen(printed)), printed);
  }
});

test('what is no address is refused', (t) => {
  for (const text of [
    '',
    'unix:',
    '/run/x.sock',
    'tcp:10809',
    'tcp:127.0.0.1',
    'tcp:127.0.0.1:70000',
    'tcp:example.org:10809',
    'tcp:1270.0.0.1:1',
    `unix:/${'d'.repeat(107)}`,
  ]) {
    t.throws(() => parseListen(text), { message: /^cannot listen at / }, text);
  }
});

test('addresses of this machine alone are known', (t) => {
  for (const host of ['127.0.0.1', '127.1.2.3', '::1']) t.true(isLoopback(host), host);
  for (const host of ['0.0.0.0', '::', '192.0.2.1', 'fe80::1']) t.false(isLoopback(host), host);
});
