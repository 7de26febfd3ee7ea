/**
 * The thread that speaks TLS, and its handle. The compiled program is tested (built before by
 * `npm run build:ts`), because threads do not load TypeScript.
 */

import { once } from 'node:events';
import { Socket } from 'node:net';
import path from 'node:path';
import test from 'ava';
import type { TlsSettings } from '../../../src/exporter/nbd/tls-settings.ts';
import type * as TlsThreadModule from '../../../src/exporter/nbd/tls-thread.ts';
import type { TlsThread as Thread } from '../../../src/exporter/nbd/tls-thread.ts';
import { loadAddon } from '../../../src/native/load.ts';
import { ROOT } from '../../_helpers/repository.ts';
import { eventually } from '../../_helpers/running-stack.ts';

const COMPILED = path.join(ROOT, 'dist/src/exporter/nbd/tls-thread.js');
const { handoverThrough, TlsThread } = (await import(COMPILED)) as typeof TlsThreadModule;

const PSK: TlsSettings = { kind: 'psk', keys: new Map([['alice', Buffer.alloc(32, 1)]]) };

interface Heard {
  readonly refusals: string[];
  readonly failures: string[];
}

async function start(settings: TlsSettings): Promise<{
  thread: Thread;
  heard: Heard;
}> {
  const heard: Heard = { refusals: [], failures: [] };
  const thread = await TlsThread.start(settings, {
    clientRefused: (reason) => heard.refusals.push(reason),
    threadFailed: (reason) => heard.failures.push(reason),
  });
  return { thread, heard };
}

test('it ends when its last client is gone, and closes what it was given', async (t) => {
  const native = loadAddon();
  const { thread, heard } = await start(PSK);
  const handover = handoverThrough(thread.port);
  const [ours, client] = native.socketPair();
  const [dataPath, plain] = native.socketPair();
  const number = handover.secure(client, plain);
  const stranger = new Socket({ fd: ours });
  stranger.end('no TLS at all');
  const closed = once(stranger.resume(), 'close');
  await eventually('the refusal arrives', () => heard.refusals.length === 1);
  t.regex(heard.refusals[0]!, /^TLS with a client failed: /);
  native.fileClose(dataPath);
  handover.left(number);
  handover.end();
  await thread.ended();
  t.deepEqual(heard.failures, []);
  await closed;
});

test('a thread that ends by itself is told, once', async (t) => {
  const { thread, heard } = await start(PSK);
  // No descriptor: what the data path never gives away.
  handoverThrough(thread.port).secure(-1, -1);
  await eventually('the failure arrives', () => heard.failures.length > 0);
  t.is(heard.failures.length, 1);
  await thread.ended();
});

test('it is ended at once when the export does not come up', async (t) => {
  const { thread, heard } = await start(PSK);
  await thread.terminate();
  t.deepEqual(heard, { refusals: [], failures: [] });
});
