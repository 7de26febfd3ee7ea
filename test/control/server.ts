/** The control sockets against their client, and against garbage. */

import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { BandstandError } from '../../src/block/errors.ts';
import { call } from '../../src/control/client.ts';
import { ControlServer, type MethodHandler } from '../../src/control/server.ts';

async function serve(t: ExecutionContext, handler: MethodHandler, idleMs?: number) {
  const folder = mkdtempSync(path.join(tmpdir(), 'bs-'));
  const paths = { control: path.join(folder, 'c.sock'), status: path.join(folder, 's.sock') };
  const server = new ControlServer(paths, handler, idleMs);
  await server.start();
  t.teardown(async () => {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  return { ...paths, server };
}

const echo: MethodHandler = (method, params) => Promise.resolve({ method, params });

/** Sends bytes as they are; resolves with everything that comes back until the end. */
function send(socketPath: string, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath, () => socket.write(text));
    let answer = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk));
    socket.on('error', reject);
    socket.on('close', () => resolve(answer));
  });
}

test('a call brings back what the handler returns', async (t) => {
  const { control } = await serve(t, echo);
  t.deepEqual(await call(control, 'status', { a: 1 }, { name: 'tank' }), {
    result: { method: 'status', params: { a: 1 } },
  });
});

test('who waits for an answer is not idle, and who says nothing is', async (t) => {
  const slow = () => new Promise((resolve) => setTimeout(resolve, 2500, 'done'));
  const { control } = await serve(t, slow, 1000);
  t.deepEqual(await call(control, 'stop', {}, { name: 'tank' }), { result: 'done' });
  t.is(await send(control, '{'), '', 'the connection is closed');
});

test('an error keeps code, message, hint and details on its way', async (t) => {
  const { control } = await serve(t, () =>
    Promise.reject(
      new BandstandError('BANDSTAND_STACK_IN_USE', {
        message: 'cannot stop tank: it is mounted',
        hint: 'unmount it',
        details: { device: '/dev/ublkb0' },
      }),
    ),
  );
  const error = (await t.throwsAsync(
    call(control, 'stop', {}, { name: 'tank' }),
  )) as unknown as BandstandError;
  t.is(error.code, 'BANDSTAND_STACK_IN_USE');
  t.is(error.message, 'cannot stop tank: it is mounted');
  t.is(error.hint, 'unmount it');
  t.deepEqual(error.details, { device: '/dev/ublkb0' });
});

test('a defect of the server is an error, not its end', async (t) => {
  const { control } = await serve(t, () => Promise.reject(new TypeError('x is undefined')));
  await t.throwsAsync(call(control, 'ping', {}, { name: 'tank' }), {
    message: 'stopped by a defect of its own: x is undefined',
  });
  await t.throwsAsync(call(control, 'ping', {}, { name: 'tank' }));
});

test('the status socket takes reading methods only, and everybody may use it', async (t) => {
  const { control, status } = await serve(t, echo);
  t.is(statSync(control).mode & 0o777, 0o600);
  t.is(statSync(status).mode & 0o777, 0o666);
  t.not(await call(status, 'status', {}, { name: 'tank' }), null);
  for (const method of ['stop', 'export', 'unexport'] as const) {
    await t.throwsAsync(call(status, method, {}, { name: 'tank' }), {
      message: new RegExp(`: the status socket does not take the method ${method}$`),
    });
  }
});

const GARBAGE: readonly (readonly [line: string, why: string])[] = [
  ['hello\n', 'the line is not JSON'],
  ['\n', 'the line is not JSON'],
  ['[]\n', 'the line is not an object'],
  ['{}\n', 'the protocol version is not 1'],
  ['{"v":2,"id":1,"method":"ping"}\n', 'the protocol version is not 1'],
  ['{"v":1,"method":"ping"}\n', 'the id is not a number'],
  ['{"v":1,"id":-1,"method":"ping"}\n', 'the id is not a number'],
  ['{"v":1,"id":1,"method":"format"}\n', 'the method is unknown'],
  ['{"v":1,"id":1,"method":"constructor"}\n', 'the method is unknown'],
  ['{"v":1,"id":1,"method":"ping","params":[]}\n', 'params is not an object'],
  ['x'.repeat(70_000), 'the line is too long'],
  ['\0\xff\xfe\n', 'the line is not JSON'],
];

for (const [line, why] of GARBAGE) {
  test(`${JSON.stringify(line.slice(0, 40))} gets one error and the end: ${why}`, async (t) => {
    const { control } = await serve(t, echo);
    const answer = await send(control, line);
    const { v, error } = JSON.parse(answer);
    t.is(v, 1);
    t.is(error.code, 'BANDSTAND_CONTROL_PROTOCOL');
    t.is(error.message, `cannot understand the request: ${why}`);
    t.not(await call(control, 'ping', {}, { name: 'tank' }), null, 'the server lives on');
  });
}

test('requests of one connection are answered in order', async (t) => {
  const { control } = await serve(t, echo);
  const lines = [1, 2, 3].map((id) => `{"v":1,"id":${id},"method":"ping","params":{}}\n`);
  const answer = await send(control, `${lines.join('')}bye\n`);
  const ids = answer
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).id);
  t.deepEqual(ids, [1, 2, 3, 0]);
});

test('no socket, and a socket without a server, are "not running"', async (t) => {
  const { control, server } = await serve(t, echo);
  await server.stop();
  t.is(await call(control, 'ping', {}, { name: 'tank' }), null);
});

/** A server that answers every connection with `text`, or not at all. */
async function impostor(t: ExecutionContext, text: string | null): Promise<string> {
  const folder = mkdtempSync(path.join(tmpdir(), 'bs-'));
  const socketPath = path.join(folder, 'x.sock');
  const server = createServer((socket) => {
    socket.on('error', () => {});
    if (text !== null) socket.end(text);
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  t.teardown(() => {
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return socketPath;
}

test('a server that does not answer is given up after the time limit', async (t) => {
  const socketPath = await impostor(t, null);
  await t.throwsAsync(call(socketPath, 'ping', {}, { name: 'tank', timeoutMs: 50 }), {
    message: 'cannot reach tank: its server did not answer within 50 ms',
  });
});

const NONSENSE: readonly (readonly [text: string, why: string])[] = [
  ['', 'it closed the connection without an answer'],
  ['what?\n', 'the line is not JSON'],
  ['{"v":9,"id":1}\n', 'the protocol version is not 1'],
  ['{"v":1,"id":7,"result":{}}\n', 'the answer is to another request'],
  ['{"v":1,"id":1,"error":{}}\n', 'the error has no code and message'],
];

for (const [text, why] of NONSENSE) {
  test(`an answer of ${JSON.stringify(text)} is refused: ${why}`, async (t) => {
    const socketPath = await impostor(t, text);
    await t.throwsAsync(call(socketPath, 'ping', {}, { name: 'tank' }), {
      message: `cannot understand the server of tank: ${why}`,
    });
  });
}

test('sockets that a killed server has left are left again by a start that fails', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'bs-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const [control, status] = ['c.sock', 's.sock'].map((name) => path.join(folder, name));
  const paths = { control: control!, status: status! };
  writeFileSync(paths.status, '');
  for (const leaves of [true, true, false]) {
    const server = new ControlServer(paths, echo);
    await server.start();
    t.not(await call(paths.status, 'status', {}, { name: 'tank' }), null);
    await server.stop(leaves);
    t.is(existsSync(paths.status), leaves);
    t.is(await call(paths.status, 'status', {}, { name: 'tank' }), null);
    t.false(existsSync(paths.control), 'of this one there was none before');
  }
});
