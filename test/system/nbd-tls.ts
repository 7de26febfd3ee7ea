/**
 * TLS of a real server: its own thread, the files, the refusals, and what a client sees of a server
 * that was killed.
 */

import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { promisify } from 'node:util';
import test from 'ava';
import { makeCertificates, makeKeys } from '../_helpers/certificates.ts';
import { requires } from '../_helpers/requires.ts';
import { DISK_BYTES, eventually, noise, StackWorld } from '../_helpers/running-stack.ts';

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function run(program: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(program, args, { timeout: 60_000 });
  return stdout;
}

function withKeys(uri: string, name: string, file: string): string {
  return `${uri.replace('nbds://', `nbds://${name}@`)}?tls-psk-file=${file}`;
}

requires('nbdinfo', 'nbdcopy')('clients with keys see the same export again', async (t) => {
  const world = new StackWorld(t);
  await world.ok('create', 'tank', '--raid', 'raid1', ...world.files(2, DISK_BYTES));
  const keys = makeKeys(world.path('keys'), { alice: noise(32, 1) });
  const strange = makeKeys(world.path('strange'), { alice: noise(32, 2) });
  const at = ['--nbd', `tcp:127.0.0.1:${await freePort()}`, '--tls-psk', keys];
  const uri = await world.export('tank', ...at);
  t.regex(uri, /^nbds:\/\/127\.0\.0\.1:\d+\/tank$/);

  const content = noise(8 * 2 ** 20, 3);
  writeFileSync(world.path('content'), content);
  await run('nbdcopy', '--flush', world.path('content'), withKeys(uri, 'alice', keys));
  await t.throwsAsync(run('nbdinfo', withKeys(uri, 'alice', strange)));
  await t.throwsAsync(run('nbdinfo', uri.replace('nbds:', 'nbd:')));
  const log = (): string => readFileSync(world.path('run/tank.log'), 'utf8');
  await eventually('the log says why', () => /TLS with a client failed: binder/.test(log()));

  t.is((await world.ok('export', 'tank', '--via', 'nbd', '--tls-psk', keys)).stdout, `${uri}\n`);
  t.is((await world.ok('status', 'tank', '--json')).stdout.includes(uri), true);

  const info = await run('nbdinfo', '--json', withKeys(uri, 'alice', keys));
  process.kill(await world.serverPid('tank'), 'SIGKILL');
  t.is(await world.export('tank', ...at), uri);
  t.deepEqual(JSON.parse(await run('nbdinfo', '--json', withKeys(uri, 'alice', keys))), {
    ...JSON.parse(info),
  });
  await run('nbdcopy', withKeys(uri, 'alice', keys), world.path('copy'));
  const copy = readFileSync(world.path('copy'));
  t.true(copy.subarray(0, content.length).equals(content));

  const upgraded = await world.ok('upgrade', 'tank');
  t.true(upgraded.stdout.includes(` at ${uri}\n`), upgraded.stdout);
  t.regex(await run('nbdinfo', withKeys(uri, 'alice', keys)), /with TLS/);

  await world.ok('unexport', 'tank');
  await world.export('tank');
  const other = await world.spawn('export', 'tank', '--via', 'nbd', '--tls-psk', keys);
  t.is(other.status, 1);
  t.regex(other.stderr, /cannot export tank in another way: it is exported as nbd\+unix:/);
  await world.ok('stop', 'tank');
});

requires('openssl', 'nbdinfo')('certificates, and what is wrong with them', async (t) => {
  const world = new StackWorld(t);
  await world.ok('create', 'tank', '--raid', 'raid1', ...world.files(2, DISK_BYTES));
  const made = makeCertificates(world.path('.'));
  const files = (key: string) => ['--tls-cert', made.server, '--tls-key', key];
  const wrong = await world.spawn('export', 'tank', '--via', 'nbd', ...files(made.server));
  t.is(wrong.status, 1);
  t.regex(wrong.stderr, /^bandstand: cannot use the key .*: it holds no private key\n {2}name a/);
  t.is((await world.ok('list')).stdout.includes('running'), false);

  const socket = world.path('s');
  const at = ['--nbd', `unix:${socket}`, ...files(made.serverKey), '--tls-ca', made.authority];
  const uri = await world.export('tank', ...at);
  t.is(uri, `nbds+unix:///tank?socket=${socket}`);
  const from = (folder: string) =>
    `${uri.replace('///', '//localhost/')}&tls-certificates=${folder}&tls-verify-peer=false`;
  t.regex(await run('nbdinfo', from(made.client)), /^protocol: newstyle-fixed with TLS/);
  await t.throwsAsync(run('nbdinfo', from(made.stranger)));
  await world.ok('stop', 'tank');
});

test('other machines are let in without TLS only on request', async (t) => {
  const world = new StackWorld(t);
  await world.ok('create', 'tank', '--raid', 'raid1', ...world.files(2, DISK_BYTES));
  const at = ['--nbd', `tcp:0.0.0.0:${await freePort()}`];
  const refused = await world.spawn('export', 'tank', ...at);
  t.is(refused.status, 2);
  t.regex(refused.stderr, /cannot listen at 0\.0\.0\.0: everyone who can reach it could/);
  t.regex(refused.stderr, /--insecure\n/);
  t.regex(await world.export('tank', ...at, '--insecure'), /^nbd:\/\/0\.0\.0\.0:\d+\/tank$/);
  await world.ok('stop', 'tank');
});
