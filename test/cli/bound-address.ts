/** Where a Node server listens: sockets of others are left alone, leftovers are replaced. */

import { once } from 'node:events';
import { existsSync, mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { type BoundAddress, bindAddress } from '../../src/cli/bound-address.ts';
import { formatListen, parseListen } from '../../src/cli/listen-address.ts';
import { loadAddon } from '../../src/native/load.ts';
import { dial, received } from '../_helpers/raw-http.ts';
import { CliWorld } from '../_helpers/run-cli.ts';

/** A server that says its name. */
async function bind(t: ExecutionContext, text: string, name = 'own'): Promise<BoundAddress> {
  const server = createServer((socket) => {
    // Who only looks whether anybody is there has gone by now.
    socket.on('error', () => {});
    socket.end(name);
  });
  const bound = await bindAddress(server, parseListen(text));
  t.teardown(() => bound.close());
  return bound;
}

const nameAt = (text: string): Promise<string> => received(dial(parseListen(text)));

test('a Unix socket is for everyone, and goes with its server', async (t) => {
  const path = new CliWorld(t).path('a.sock');
  const { address, close } = await bind(t, `unix:${path}`);
  t.deepEqual(address, { kind: 'unix', path });
  t.is(statSync(path).mode & 0o666, 0o666);
  t.is(await nameAt(`unix:${path}`), 'own');
  close();
  t.false(existsSync(path));
  close();
});

test('a port that the kernel has chosen is told', async (t) => {
  for (const host of ['127.0.0.1', '127.1.2.3', 'localhost']) {
    const { address } = await bind(t, `tcp:${host}:0`);
    t.true(address.kind === 'tcp' && address.port > 0);
    t.is(await nameAt(formatListen(address)), 'own');
  }
});

test('a socket that a dead server left behind is replaced', async (t) => {
  const path = new CliWorld(t).path('a.sock');
  const native = loadAddon();
  native.fileClose(native.socketListenUnix(path, 0o600, 1));
  t.true(existsSync(path));
  await bind(t, `unix:${path}`);
  t.is(await nameAt(`unix:${path}`), 'own');
});

test('an address of a living server is refused, and the server left alone', async (t) => {
  const path = new CliWorld(t).path('a.sock');
  await bind(t, `unix:${path}`, 'first');
  const { address } = await bind(t, 'tcp:127.0.0.1:0', 'first');
  for (const text of [`unix:${path}`, formatListen(address)]) {
    await t.throwsAsync(bind(t, text, 'second'), {
      code: 'BANDSTAND_EXPORT_ADDRESS_BUSY',
      message: `cannot listen at ${text}: another server is listening there (EADDRINUSE)`,
    });
    t.is(await nameAt(text), 'first');
  }
});

test('what is no socket is never removed', async (t) => {
  const world = new CliWorld(t);
  writeFileSync(world.path('precious'), 'data');
  mkdirSync(world.path('folder'));
  symlinkSync('nothing', world.path('link'));
  for (const name of ['precious', 'folder', 'link']) {
    const text = `unix:${world.path(name)}`;
    await t.throwsAsync(bind(t, text), {
      code: 'BANDSTAND_EXPORT_ADDRESS_BUSY',
      message: `cannot listen at ${text}: the path exists and is not a socket`,
    });
  }
  t.true(existsSync(world.path('precious')));
  t.true(existsSync(world.path('folder')));
});

test('a folder that is not there is refused with the reason', async (t) => {
  const text = `unix:${new CliWorld(t).path('nowhere/a.sock')}`;
  await t.throwsAsync(bind(t, text), {
    code: 'BANDSTAND_EXPORT_ADDRESS_INVALID',
    message: `cannot listen at ${text}: no such file or directory (ENOENT)`,
  });
});

test('a socket that another server has made since stays where it is', async (t) => {
  const path = new CliWorld(t).path('a.sock');
  const { close } = await bind(t, `unix:${path}`);
  rmSync(path);
  const other = createServer((socket) => socket.end('other')).listen(path);
  await once(other, 'listening');
  close();
  t.is(await nameAt(`unix:${path}`), 'other');
  other.close();
});
