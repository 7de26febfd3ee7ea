/**
 * The write buffer of a killed server is removed before the next one starts: what it had answered
 * is lost, and nobody gets to know by accident.
 */

import { existsSync, rmSync } from 'node:fs';
import test from 'ava';
import { processAlive } from '../../src/cli/process-alive.ts';
import { bufferFile } from '../../src/stack/buffer-file.ts';
import { eventually, noise, StackWorld } from '../_helpers/running-stack.ts';
import { sameBytes } from '../_helpers/same-bytes.ts';

const MIB = 2 ** 20;
const BLOCK_BYTES = 4096;

test.serial('a stack whose write buffer was removed starts only without it', async (t) => {
  const world = new StackWorld(t);
  const disks = world.files(2, 64 * MIB);
  const flushed = noise(BLOCK_BYTES, 1);
  await world.ok('create', 'tank', '--raid', 'raid1', '--ftl', ...disks);
  await world.export('tank');
  await world.ok('wait', 'tank', '--for', 'idle', '--timeout', '60s');
  await world.write('tank', flushed);
  const client = await world.connect('tank');
  await client.write(0, noise(BLOCK_BYTES, 2));
  process.kill(await world.serverPid('tank'), 'SIGKILL');
  const pid = await world.serverPid('tank');
  await eventually('the server is gone', () => !processAlive(pid));
  const buffer = bufferFile({ name: 'tank', remembered: null }, world.path('run'))!;
  t.true(existsSync(buffer.path));
  rmSync(buffer.path);

  for (const readOnly of [[], ['--read-only']]) {
    const refused = await world.spawn('export', 'tank', '--via', 'nbd', ...readOnly);
    t.is(refused.status, 1);
    t.regex(refused.stderr, /tank: the write buffer that its killed server has left is gone, so/);
    t.regex(refused.stderr, /bandstand export tank --discard-buffer/);
    t.false(existsSync(buffer.path), 'a start that is refused leaves none');
  }
  const checked = await world.ok('check', 'tank');
  t.regex(checked.stderr, /note: the write buffer that a killed server has left is gone/);
  const rebuilt = await world.spawn('check', 'tank', '--rebuild-map', '--yes');
  t.is(rebuilt.status, 1);
  t.regex(rebuilt.stderr, /bandstand check tank --rebuild-map --discard-buffer/);

  const { stderr } = await world.ok('export', 'tank', '--via', 'nbd', '--discard-buffer');
  t.regex(
    stderr,
    /tank: the write buffer of the server that was killed was given up: writes since/,
  );
  sameBytes(t, await world.read('tank', BLOCK_BYTES), flushed);
  const { stdout } = await world.ok('events', 'tank');
  t.regex(stdout, / W the write buffer of the server that was killed was given up/);
  await world.ok('stop', 'tank');
  await world.export('tank');
  await world.ok('stop', 'tank');
});
