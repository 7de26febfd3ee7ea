/** Metrics over HTTP, to clients that mean well and to others. */

import test, { type ExecutionContext } from 'ava';
import type { ListenAddress } from '../../src/cli/listen-address.ts';
import { type MetricsLimits, MetricsServer, metricsLimits } from '../../src/cli/metrics-server.ts';
import { ask, dial, exchange, parseReply, received } from '../_helpers/raw-http.ts';

const TEXT = '# TYPE bandstand_stack_up gauge\nbandstand_stack_up{stack="täñk"} 1\n';
const GET = 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n';
const ANYWHERE = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;

/** So that a busy machine is no slow client. */
const PATIENT = { requestMs: 600_000, connectionMs: 600_000 };

interface Served {
  readonly address: ListenAddress;
  readonly server: MetricsServer;
  readonly failures: unknown[];
}

async function serve(
  t: ExecutionContext,
  read: () => Promise<string> = async () => TEXT,
  limits: Partial<MetricsLimits> = {},
): Promise<Served> {
  const failures: unknown[] = [];
  const all = { ...metricsLimits(5000), ...PATIENT, ...limits };
  const server = new MetricsServer(read, (error) => failures.push(error), all);
  const address = await server.start(ANYWHERE);
  t.teardown(() => server.stop());
  return { address, server, failures };
}

/** Looks that end when the test says so. */
class HeldLooks {
  readonly ends: ((text: string) => void)[] = [];
  #begun = (): void => {};

  readonly read = (): Promise<string> =>
    new Promise((resolve) => {
      this.ends.push(resolve);
      this.#begun();
    });

  /** Waits for the look of this number, from 1. */
  async begun(count = 1): Promise<void> {
    while (this.ends.length < count) {
      await new Promise<void>((resolve) => {
        this.#begun = resolve;
      });
    }
  }
}

test('GET has the text with its type and length, HEAD the same without it', async (t) => {
  const { address } = await serve(t);
  for (const target of ['/metrics', '/metrics?name=x', 'http://proxy.example:80/metrics']) {
    const { status, headers, body } = await ask(address, target);
    t.is(status, 200, target);
    t.is(headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
    t.is(headers.get('content-length'), String(Buffer.byteLength(TEXT)));
    t.is(headers.get('connection'), 'close');
    t.is(Buffer.from(body, 'latin1').toString('utf8'), TEXT);
  }
  const head = await ask(address, '/metrics', 'HEAD');
  t.is(head.status, 200);
  t.is(head.headers.get('content-length'), String(Buffer.byteLength(TEXT)));
  t.is(head.body, '');
});

test('the root says where the metrics are, and there is nothing else', async (t) => {
  const { address } = await serve(t);
  const root = await ask(address, '/');
  t.is(root.status, 200);
  t.is(root.body, 'metrics of bandstand: /metrics\n');
  for (const target of ['/metrics/', '/metric', '//metrics', '/../metrics', '*']) {
    const { status, body } = await ask(address, target);
    t.is(status, 404, target);
    t.is(body, 'there is no such page; the metrics are at /metrics\n');
  }
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE']) {
    const { status, headers, body } = await ask(address, '/metrics', method);
    t.is(status, 405, method);
    t.is(headers.get('allow'), 'GET, HEAD');
    t.is(body, 'this page can only be read, with GET or HEAD\n');
  }
});

test('requests at the same time share one look, and the next one looks anew', async (t) => {
  const looks = new HeldLooks();
  const { address } = await serve(t, looks.read);
  const first = ask(address);
  await looks.begun();
  const others = [ask(address), ask(address, '/metrics', 'HEAD'), ask(address)];
  // The answer to another page shows that the requests before it have come.
  for (let round = 0; round < others.length; round += 1) await ask(address, '/');
  t.is(looks.ends.length, 1);
  looks.ends[0]!('one\n');
  t.is((await first).body, 'one\n');
  for (const other of others) t.is((await other).status, 200);
  t.is(looks.ends.length, 1);
  const next = ask(address);
  await looks.begun(2);
  looks.ends[1]!('two\n');
  t.is((await next).body, 'two\n');
});

test('a look that fails is told to client and program, and the next is tried', async (t) => {
  const defect = new Error('broken');
  let looks = 0;
  const { address, failures } = await serve(t, async () => {
    looks += 1;
    if (looks === 1) throw defect;
    return TEXT;
  });
  const { status, body } = await ask(address);
  t.is(status, 500);
  t.is(body, 'the stacks cannot be looked at\n');
  t.deepEqual(failures, [defect]);
  t.is((await ask(address)).status, 200);
});

test('what is no HTTP, or too much of it, is refused and closed', async (t) => {
  let looks = 0;
  const read = async (): Promise<string> => {
    looks += 1;
    return TEXT;
  };
  const { address } = await serve(t, read);
  const long = 'x'.repeat(9000);
  for (const [bytes, status] of [
    ['\r\n\0\x01\xff garbage\r\n\r\n', 400],
    [Buffer.alloc(4096, 0x16), 400],
    ['GET /metrics HTTP/1.1\r\n\r\n', 400],
    ['GET /metrics HTTP/9.9\r\nHost: a\r\n\r\n', 400],
    [`${GET}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
    [`${GET}X-Long: ${long}\r\n\r\n`, 431],
    [`GET /${long} HTTP/1.1\r\nHost: a\r\n\r\n`, 431],
    [`${GET}${'Name: value\r\n'.repeat(2000)}\r\n`, 431],
  ] as const) {
    t.is(parseReply(await exchange(address, bytes)).status, status, String(bytes).slice(0, 60));
  }
  t.is(looks, 0, 'no stack was looked at');
  t.is((await ask(address)).status, 200);
});

test('a body is not waited for, nor asked for', async (t) => {
  const { address } = await serve(t);
  const huge = 'Content-Length: 1000000000000\r\n';
  const get = parseReply(await exchange(address, `${GET}${huge}\r\nbegin`));
  t.is(get.status, 200);
  const expecting = await exchange(address, `${GET}${huge}Expect: 100-continue\r\n\r\n`);
  t.is(parseReply(expecting).status, 200, 'there is no 100 before it');
  const post = GET.replace('GET', 'POST');
  t.is(parseReply(await exchange(address, `${post}${huge}\r\n`)).status, 405);
  const chunked = `${post}Transfer-Encoding: chunked\r\n\r\nffffff\r\n`;
  t.is(parseReply(await exchange(address, chunked)).status, 405);
});

test('a connection has one answer, however many requests are on it', async (t) => {
  let looks = 0;
  const { address } = await serve(t, async () => {
    looks += 1;
    return TEXT;
  });
  const text = await exchange(address, `${GET}\r\n`.repeat(500));
  t.is(text.match(/HTTP\/1\.1 /g)!.length, 1);
  t.is(parseReply(text).status, 200);
  t.is(looks, 1);
});

test('clients that say nothing, or too slowly, are closed', async (t) => {
  const { address } = await serve(t, undefined, { requestMs: 100 });
  const silent = dial(address);
  const slow = dial(address);
  const slowly = received(slow);
  slow.write('GET /metrics HTTP/1.1\r\n');
  const drip = setInterval(() => slow.write('X: y\r\n'), 20);
  t.is(parseReply(await received(silent)).status, 408);
  // What it goes on sending may cost it the answer.
  t.regex(await slowly, /^(?:HTTP\/1\.1 408 .*)?$/s);
  clearInterval(drip);
  let status = Number.NaN;
  while (status !== 200) ({ status } = await ask(address));
  t.is(status, 200, 'others are served');
});

test('who does not read the answer is closed, and makes room for others', async (t) => {
  const large = 'x'.repeat(64 * 2 ** 20);
  const limits = { connections: 1, connectionMs: 300 };
  const { address } = await serve(t, async () => large, limits);
  const deaf = dial(address);
  deaf.on('error', () => {});
  deaf.pause();
  deaf.write(`${GET}\r\n`);
  await new Promise((resolve) => deaf.once('connect', resolve));
  t.teardown(() => deaf.destroy());
  let status = Number.NaN;
  while (status !== 200) ({ status } = await ask(address, '/'));
  // What it has not read is lost to it.
  const text = await received(deaf.resume());
  t.true(text.length < large.length);
});

test('connections beyond the limit are closed at once, until others have gone', async (t) => {
  const { address } = await serve(t, undefined, { connections: 3 });
  const held = [dial(address), dial(address), dial(address)];
  for (const socket of held) {
    await new Promise((resolve) => socket.once('connect', resolve));
  }
  const further = await Promise.all(
    Array.from({ length: 50 }, () => exchange(address, `${GET}\r\n`)),
  );
  t.deepEqual(new Set(further), new Set(['']));
  for (const socket of held) socket.destroy();
  let status = Number.NaN;
  while (status !== 200) ({ status } = await ask(address));
  t.pass();
});

test('a client that goes while its stacks are looked at harms nobody', async (t) => {
  const looks = new HeldLooks();
  const { address, failures } = await serve(t, looks.read);
  const gone = dial(address);
  gone.write(`${GET}\r\n`);
  await looks.begun();
  const other = ask(address);
  await ask(address, '/');
  gone.destroy();
  await ask(address, '/');
  looks.ends[0]!(TEXT);
  t.is((await other).status, 200);
  t.deepEqual(failures, []);
});

test('stop ends those who wait, and takes no more', async (t) => {
  const looks = new HeldLooks();
  const { address, server } = await serve(t, looks.read);
  const waiting = exchange(address, `${GET}\r\n`);
  await looks.begun();
  server.stop();
  t.is(await waiting, '');
  t.is(await exchange(address, `${GET}\r\n`), '');
});
