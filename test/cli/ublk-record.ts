import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { readUblkRecord, removeUblkRecord, writeUblkRecord } from '../../src/cli/ublk-record.ts';

test('the note of a ublk device is kept, replaced and removed', (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'bs-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  t.is(readUblkRecord(folder, 'tank'), null);
  writeUblkRecord(folder, 'tank', { id: 3, serverPids: [10, 11] });
  t.deepEqual(readUblkRecord(folder, 'tank'), { id: 3, serverPids: [10, 11] });
  writeUblkRecord(folder, 'tank', { id: 3, serverPids: [11] });
  t.deepEqual(readUblkRecord(folder, 'tank'), { id: 3, serverPids: [11] });
  t.deepEqual(readdirSync(folder), ['tank.ublk']);
  for (const damage of [
    '',
    '[]',
    '{"id":"3","server_pids":[1]}',
    '{"id":3}',
    '{"id":3.5,"server_pids":[]}',
  ]) {
    writeFileSync(path.join(folder, 'tank.ublk'), damage);
    t.is(readUblkRecord(folder, 'tank'), null, damage);
  }
  removeUblkRecord(folder, 'tank');
  t.deepEqual(readdirSync(folder), []);
  removeUblkRecord(folder, 'tank');
});
