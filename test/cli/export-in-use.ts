/** A block device that somebody uses is not taken away. Mounted ones: test/vm/raid1-ublk.sh. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import test from 'ava';
import { BandstandError } from '../../src/block/errors.ts';
import { refuseInUse } from '../../src/cli/export-in-use.ts';
import { CliWorld } from '../_helpers/run-cli.ts';

test('a device that a process has open is in use, unless that is its server', async (t) => {
  // A regular file is asked for in the same way.
  const address = new CliWorld(t).file('device', 4096);
  const refuse = (serverPid?: number): void =>
    refuseInUse('stop', 'tank', [{ kind: 'ublk', address }], serverPid);
  t.notThrows(refuse);
  // It opens the file itself: a descriptor of this process would be, for a moment, one of each
  // process that other tests start.
  const words = ['-c', 'exec 3<"$0"; echo open; read -r line', address];
  const user = spawn('sh', words, { stdio: ['pipe', 'pipe', 'ignore'] });
  t.teardown(() => user.kill());
  await once(user.stdout!, 'data');
  const error = t.throws(refuse, { instanceOf: BandstandError })!;
  t.is(error.code, 'BANDSTAND_STACK_IN_USE');
  t.is(error.message, `cannot stop tank: ${address} is open by sh (${user.pid})`);
  t.regex(error.hint!, /^end that use first; --stop-in-use/);
  t.like(error.details, { name: 'tank', device: address });
  t.notThrows(() => refuse(user.pid));
  t.notThrows(() => refuseInUse('stop', 'tank', [{ kind: 'nbd', address }], undefined));
  user.stdin!.end('\n');
  await once(user, 'close');
  t.notThrows(refuse);
});
