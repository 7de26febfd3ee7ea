import test from 'ava';
import { plainLine } from '../../src/cli/server-log.ts';

test('a terminal gets time, level, stack, message and fields', (t) => {
  const line = JSON.stringify({
    level: 'warn',
    time: '2026-11-20T09:14:02.123Z',
    pid: 7,
    stack: 'tank',
    slot: 2,
    errno: 'EIO',
    device: null,
    msg: 'member-error',
  });
  t.is(plainLine(line), '09:14:02 W tank: member-error slot=2 errno=EIO\n');
});
