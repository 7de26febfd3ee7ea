/** The control sockets against their client, and against garbage. */

import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { BandstandError } from '../../src/block/errors.ts';
import { call } from '../../src/control/client.ts';
import { encodeRequest } from '../../src/control/schema-message.ts';
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
function send(socketPath: string, text: string, then: 'wait' | 'end' = 'wait'): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: socketPath, allowHalfOpen: true }, () => {
      if (then === 'end') socket.end(text);
      else socket.write(text);
    });
    socket.on('end', () => socket.end());
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
    code: 'BANDSTAND_DEFECT',
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

const TOO_LONG_ID = 'x'.repeat(129);

const GARBAGE: readonly (readonly [line: string, code: number, id: unknown, why: string])[] = [
  ['hello\n', -32700, null, 'the line is not JSON'],
  ['\n', -32700, null, 'the line is not JSON'],
  ['\0\xff\xfe\n', -32700, null, 'the line is not JSON'],
  ['[]\n', -32600, null, 'the line is not an object'],
  ['[{"jsonrpc":"2.0","id":1,"method":"ping"}]\n', -32600, null, 'the line is not an object'],
  ['{}\n', -32600, null, 'it is not JSON-RPC 2.0'],
  ['{"v":1,"id":1,"method":"ping"}\n', -32600, null, 'it is not JSON-RPC 2.0'],
  ['{"jsonrpc":"1.0","id":1,"method":"ping"}\n', -32600, null, 'it is not JSON-RPC 2.0'],
  ['{"jsonrpc":"2.0","method":"ping"}\n', -32600, null, 'the id is not a number or text'],
  ['{"jsonrpc":"2.0","id":null,"method":"ping"}\n', -32600, null, 'the id is not a number or text'],
  ['{"jsonrpc":"2.0","id":0.5,"method":"ping"}\n', -32600, null, 'the id is not a number or text'],
  [
    `{"jsonrpc":"2.0","id":"${TOO_LONG_ID}","method":"ping"}\n`,
    -32600,
    null,
    'the id is not a number or text',
  ],
  ['{"jsonrpc":"2.0","id":-1}\n', -32600, -1, 'the method is missing'],
  ['{"jsonrpc":"2.0","id":"a","method":"format"}\n', -32601, 'a', 'the method is unknown'],
  ['{"jsonrpc":"2.0","id":1,"method":"constructor"}\n', -32601, 1, 'the method is unknown'],
  ['{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}\n', -32602, 1, 'params is not an object'],
  ['x'.repeat(70_000), -32600, null, 'the line is too long'],
];

for (const [line, code, id, why] of GARBAGE) {
  const title = JSON.stringify(line.slice(0, 60));
  test(`${title} gets one error (${code}) and the end: ${why}`, async (t) => {
    const { control } = await serve(t, echo);
    const answer = JSON.parse(await send(control, line));
    t.deepEqual(answer, {
      jsonrpc: '2.0',
      id,
      error: {
        code,
        message: `cannot understand the request: ${why}`,
        data: {
          code: 'BANDSTAND_CONTROL_PROTOCOL',
          hint: 'see bandstand-control(7)',
          details: {},
        },
      },
    });
    t.not(await call(control, 'ping', {}, { name: 'tank' }), null, 'the server lives on');
  });
}

const ping = (id: number | string): string =>
  `${JSON.stringify({ jsonrpc: '2.0', id, method: 'ping' })}\n`;

function answersOf(text: string): { id: unknown; result?: unknown; error?: { code: number } }[] {
  const lines = text.split('\n');
  return lines.slice(0, -1).map((line) => JSON.parse(line));
}

test('requests of one connection are answered in order, each with its id', async (t) => {
  const { control } = await serve(t, echo);
  const answers = answersOf(await send(control, `${ping(1)}${ping('two')}${ping(-3)}bye\n`));
  t.deepEqual(
    answers.map(({ id }) => id),
    [1, 'two', -3, null],
  );
});

test('after a line that is refused nothing is carried out', async (t) => {
  const asked: unknown[] = [];
  const { control, status } = await serve(t, async (method) => void asked.push(method));
  const stop = `${JSON.stringify({ jsonrpc: '2.0', id: 2, method: 'stop' })}\n`;
  t.is(answersOf(await send(control, `bye\n${stop}`)).length, 1);
  t.is(answersOf(await send(status, `${stop}${ping(3)}`)).length, 1);
  t.deepEqual(asked, []);
});

test('who closes its side after its requests still hears the answers', async (t) => {
  const slow: MethodHandler = () => new Promise((resolve) => setTimeout(resolve, 50, 'late'));
  const { control } = await serve(t, slow);
  const answers = answersOf(await send(control, `${ping(1)}${ping(2)}{"jsonrpc"`, 'end'));
  t.deepEqual(answers, [
    { jsonrpc: '2.0', id: 1, result: 'late' },
    { jsonrpc: '2.0', id: 2, result: 'late' },
  ] as never);
});

test('nothing is read ahead of what is answered', async (t) => {
  let open = (): void => {};
  const gate = new Promise<void>((resolve) => (open = resolve));
  const { control } = await serve(t, () => gate);
  const text = ping('x'.repeat(100)).repeat(20_000);
  const socket = connect({ path: control, allowHalfOpen: true });
  await once(socket, 'connect');
  socket.end(text);
  await new Promise((resolve) => setTimeout(resolve, 200));
  t.true(socket.writableLength > text.length / 2, 'most of it waits at the client');
  open();
  let answers = 0;
  for await (const chunk of socket.setEncoding('utf8')) answers += chunk.split('\n').length - 1;
  t.is(answers, 20_000);
});

test('who takes no answers gets no more of them, and all of them when it does', async (t) => {
  let asked = 0;
  const { control } = await serve(t, async () => {
    asked += 1;
    return 'x'.repeat(100_000);
  });
  const socket = connect({ path: control, allowHalfOpen: true });
  await once(socket, 'connect');
  socket.end(ping(1).repeat(500));
  await new Promise((resolve) => setTimeout(resolve, 200));
  t.true(asked < 50, `${asked} answers are on their way`);
  let bytes = 0;
  for await (const chunk of socket) bytes += chunk.length;
  t.true(bytes > 500 * 100_000);
  t.is(asked, 500);
});

const FAILURES = [
  ['BANDSTAND_STACK_IN_USE', -32000],
  ['BANDSTAND_CONTROL_PROTOCOL', -32602],
  ['BANDSTAND_DEFECT', -32603],
] as const;

for (const [code, number] of FAILURES) {
  test(`a request that ends with ${code} is answered with ${number}`, async (t) => {
    const details = { device: '/dev/sdb' };
    const error = new BandstandError(code, { message: 'cannot do it', hint: 'wait', details });
    const { control } = await serve(t, () => Promise.reject(error));
    t.deepEqual(answersOf(await send(control, ping('x'), 'end')), [
      {
        jsonrpc: '2.0',
        id: 'x',
        error: { code: number, message: 'cannot do it', data: { code, hint: 'wait', details } },
      },
    ] as never);
  });
}

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
    code: 'BANDSTAND_SERVER_TIMEOUT',
    message: 'cannot reach tank: its server did not answer within 50 ms',
  });
});

const NONSENSE: readonly (readonly [text: string, why: string])[] = [
  ['', 'it closed the connection without an answer'],
  ['what?\n', 'the line is not JSON'],
  ['{"v":9,"id":1,"result":{}}\n', 'it is not JSON-RPC 2.0'],
  ['{"jsonrpc":"2.0","id":7,"result":{}}\n', 'the answer is to another request'],
  ['{"jsonrpc":"2.0","id":null,"result":{}}\n', 'the id is not a number or text'],
  ['{"jsonrpc":"2.0","id":1,"error":{}}\n', 'the error has no code and message'],
  [
    '{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"x"}}\n',
    'the error has no code and message',
  ],
];

for (const [text, why] of NONSENSE) {
  test(`an answer of ${JSON.stringify(text)} is refused: ${why}`, async (t) => {
    const socketPath = await impostor(t, text);
    await t.throwsAsync(call(socketPath, 'ping', {}, { name: 'tank' }), {
      message: `cannot understand the server of tank: ${why}`,
    });
  });
}

test('a server of a build before JSON-RPC is understood, so that it can be replaced', async (t) => {
  const result = { requests: [], stack_read_only: false, failed: null };
  const ok = await impostor(t, `${JSON.stringify({ v: 1, id: 1, result })}\n`);
  t.deepEqual(await call(ok, 'hand-over', {}, { name: 'tank' }), { result });
  const error = { code: 'BANDSTAND_STACK_IN_USE', message: 'no', hint: 'wait', details: { a: 1 } };
  const failing = await impostor(t, `${JSON.stringify({ v: 1, id: 1, error })}\n`);
  const thrown = (await t.throwsAsync(call(failing, 'stop', {}, { name: 'tank' }))) as unknown;
  const { code, message, hint, details } = thrown as BandstandError;
  t.deepEqual({ code, message, hint, details }, error as never);
  // And it understands what it is asked: its decoder wanted a version and a number.
  const asked = JSON.parse(encodeRequest({ id: 1, method: 'hand-over', params: {} }));
  t.like(asked, { jsonrpc: '2.0', v: 1, id: 1, method: 'hand-over', params: {} });
});

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
