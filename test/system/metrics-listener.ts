/**
 * `metrics --listen` as Prometheus meets it: a process of its own in front of real stacks, which
 * stop, die and hang, with clients that mean no good.
 */

import { execFile } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { parseListen } from '../../src/cli/listen-address.ts';
import { pageBlocks } from '../_helpers/documented-blocks.ts';
import { MetricsListener } from '../_helpers/metrics-listener.ts';
import { ask, dial, exchange, parseReply } from '../_helpers/raw-http.ts';
import { PROGRAM, ROOT } from '../_helpers/repository.ts';
import { requires } from '../_helpers/requires.ts';
import { printedError } from '../_helpers/run-cli.ts';
import { DISK_BYTES, noise, StackWorld } from '../_helpers/running-stack.ts';
import { ServiceManager } from '../_helpers/service-manager.ts';

const CONTENT = noise(2 ** 20, 35);
const ANYWHERE = ['--listen', 'tcp:127.0.0.1:0'];

/** tank and pond, mirrors that run. */
async function twoStacks(t: ExecutionContext): Promise<StackWorld> {
  const world = new StackWorld(t);
  for (const name of ['tank', 'pond']) {
    const disks = ['a', 'b'].map((letter) => world.file(`${name}-${letter}.img`, DISK_BYTES));
    await world.ok('create', name, '--raid', 'raid1', ...disks);
    await world.export(name);
  }
  return world;
}

const SAMPLE = /^(bandstand_[a-z_]+)\{stack="[^"]+"(?:,[a-z]+="[^"]*")*\} (-?[\d.]+(?:e[+-]\d+)?)$/;

/** One scrape, as a client that believes nothing reads it: `name{labels}` to value. */
async function scrape(
  t: ExecutionContext,
  listener: MetricsListener,
): Promise<Map<string, number>> {
  const { status, headers, body } = await ask(listener.address);
  t.is(status, 200);
  t.is(headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  t.is(headers.get('content-length'), String(body.length));
  t.true(body.endsWith('\n'));
  const samples = new Map<string, number>();
  const families: string[] = [];
  for (const line of body.trimEnd().split('\n')) {
    const [, family] = /^# TYPE (\S+) (?:gauge|counter)$/.exec(line) ?? [];
    if (family !== undefined) families.push(family);
    if (line.startsWith('# ')) continue;
    const [, name, value] = SAMPLE.exec(line) ?? [];
    t.is(families.at(-1), name, line);
    const key = line.slice(0, line.lastIndexOf(' '));
    t.false(samples.has(key), `${key} is there once`);
    samples.set(key, Number(value));
  }
  t.is(new Set(families).size, families.length);
  return samples;
}

const up = (samples: Map<string, number>): Record<string, number | undefined> => ({
  tank: samples.get('bandstand_stack_up{stack="tank"}'),
  pond: samples.get('bandstand_stack_up{stack="pond"}'),
});

const WRITTEN = 'bandstand_io_bytes_total{stack="tank",op="write"}';

test.serial('each scrape looks anew: at what runs, is new, has stopped, or died', async (t) => {
  const world = new StackWorld(t);
  const listener = await MetricsListener.start(t, world, ...ANYWHERE);
  t.regex(listener.stdout, /^http:\/\/127\.0\.0\.1:\d+\/metrics\n$/);
  const nothing = await ask(listener.address);
  t.is(nothing.status, 200);
  t.is(nothing.body, '', 'there are no stacks');
  await world.ok('create', 'tank', '--raid', 'raid1', ...world.files(2, DISK_BYTES));
  t.deepEqual(up(await scrape(t, listener)), { tank: 0, pond: undefined });
  await world.export('tank');
  const before = await scrape(t, listener);
  t.is(up(before)['tank'], 1);
  await world.write('tank', CONTENT);
  const after = await scrape(t, listener);
  t.is(after.get(WRITTEN)! - before.get(WRITTEN)!, CONTENT.length);
  const printed = (await world.ok('metrics', 'tank')).stdout;
  const names = [...printed.matchAll(/^(bandstand_.*\}) /gm)].map(([, name]) => name!);
  t.deepEqual([...after.keys()], names, 'the verb has the same');
  await world.ok('stop', 'tank');
  t.is(up(await scrape(t, listener))['tank'], 0);
  await world.export('tank');
  t.is(up(await scrape(t, listener))['tank'], 1);
  process.kill(await world.serverPid('tank'), 'SIGKILL');
  for (;;) if (up(await scrape(t, listener))['tank'] === 0) break;
  t.is(await listener.end('SIGTERM'), 0);
  t.is(listener.stderr, '');
});

test.serial('a stack whose server hangs is down, and the others are there', async (t) => {
  const world = await twoStacks(t);
  const words = ['tank', 'pond', ...ANYWHERE, '--timeout', '4s'];
  const listener = await MetricsListener.start(t, world, ...words);
  t.deepEqual(up(await scrape(t, listener)), { tank: 1, pond: 1 });
  const pid = await world.serverPid('tank');
  process.kill(pid, 'SIGSTOP');
  const samples = await scrape(t, listener);
  t.deepEqual(up(samples), { tank: 0, pond: 1 });
  t.is(samples.get('bandstand_stack_health{stack="tank",state="failed"}'), 1);
  t.is(samples.get('bandstand_stack_health{stack="pond",state="healthy"}'), 1);
  t.false(samples.has('bandstand_exports{stack="tank"}'), 'nobody knows');
  process.kill(pid, 'SIGCONT');
  for (;;) if (up(await scrape(t, listener))['tank'] === 1) break;
  t.is(await listener.end('SIGINT'), 0);
  t.is(listener.stderr, '');
});

test.serial('hostile clients of a Unix socket take nothing from others', async (t) => {
  const world = new StackWorld(t);
  await world.ok('create', 'tank', '--raid', 'raid1', ...world.files(2, DISK_BYTES));
  await world.export('tank');
  const socket = world.path('metrics.sock');
  const listener = await MetricsListener.start(t, world, '--listen', 'unix:metrics.sock');
  t.is(listener.stdout, `unix:${socket}\n`, 'a relative path is one of the current folder');
  const { address } = listener;
  const head = 'GET /metrics HTTP/1.1\r\nHost: a\r\n';
  t.is(parseReply(await exchange(address, noise(4000, 36))).status, 400);
  t.is(parseReply(await exchange(address, `${head}X: ${'x'.repeat(9000)}\r\n\r\n`)).status, 431);
  // Much more than it reads is cut off, and the answer with it perhaps.
  await exchange(address, noise(1_000_000, 37));
  t.is((await ask(address, '/metrics', 'DELETE')).status, 405);
  t.is((await ask(address, '/../../etc/passwd')).status, 404);
  // More than it takes, and all of them stay.
  const silent = Array.from({ length: 100 }, () => dial(address).on('error', () => {}));
  const slow = dial(address).on('error', () => {});
  slow.write(head);
  const drip = setInterval(() => slow.write('X: y\r\n'), 50);
  t.teardown(() => clearInterval(drip));
  let status = Number.NaN;
  while (status !== 200) ({ status } = await ask(address));
  for (const one of [...silent, slow]) one.destroy();
  t.is(up(await scrape(t, listener))['tank'], 1);
  t.is(await listener.end(), 0);
  t.false(existsSync(socket));
  t.is(listener.stderr, '');
});

test.serial(
  'an address in use is refused; what a killed listener has left is replaced',
  async (t) => {
    const world = new StackWorld(t);
    const socket = world.path('metrics.sock');
    const listen = ['--listen', `unix:${socket}`];
    const first = await MetricsListener.start(t, world, ...listen);
    const tcp = await MetricsListener.start(t, world, ...ANYWHERE, '--plain');
    const [place, url] = tcp.stdout.trim().split('\t') as [string, string];
    t.is(url, `${place.replace('tcp:', 'http://')}/metrics`);
    for (const text of [`unix:${socket}`, place]) {
      const refused = await world.spawn('metrics', '--listen', text, '--json');
      t.is(refused.status, 1);
      t.like(printedError(refused), {
        code: 'BANDSTAND_EXPORT_ADDRESS_BUSY',
        message: `cannot listen at ${text}: another server is listening there (EADDRINUSE)`,
        hint: 'choose another address, or stop the other server',
      });
      t.is((await ask(parseListen(text))).status, 200);
    }
    await first.end('SIGKILL');
    t.true(existsSync(socket));
    const second = await MetricsListener.start(t, world, ...listen, '--json');
    t.deepEqual(JSON.parse(second.stdout).data, { listen: `unix:${socket}`, url: null });
    t.is((await ask(parseListen(`unix:${socket}`), '/')).status, 200);
    t.is(await second.end(), 0);
    t.is(await tcp.end(), 0);
  },
);

requires('python3')('a service manager hears when it is ready, and that it stops', async (t) => {
  const world = new StackWorld(t);
  const socket = world.path('metrics.sock');
  const words = ['metrics', '--listen', `unix:${socket}`, ...world.directories];
  const command = [process.execPath, PROGRAM, ...words];
  const manager = new ServiceManager(t, { socket: world.path('notify'), watchdogMs: 0, command });
  await manager.heard('READY=1');
  t.is((await ask(parseListen(`unix:${socket}`))).status, 200);
  process.kill(await manager.pid(), 'SIGTERM');
  t.is(await manager.ended(), 0);
  t.deepEqual(manager.states, ['READY=1', 'STOPPING=1']);
});

const page = readFileSync(path.join(ROOT, 'man/bandstand-metrics.8'), 'utf8');

requires('curl')('the example of the manual works as it is written', async (t) => {
  const world = new StackWorld(t);
  await world.ok('create', 'tank', '--raid', 'raid1', ...world.files(2, DISK_BYTES));
  await world.export('tank');
  const [listens, asks] = pageBlocks()
    .filter(({ name }) => /^metrics\.8 [34]$/.test(name))
    .flatMap(({ commands }) => commands);
  const [program, verb, ...words] = listens!.line.split(' ');
  t.deepEqual([program, verb], ['bandstand', 'metrics']);
  const documented = words.at(-1)!.replace('tcp:', '');
  const shown = words.map((word) => (word === words.at(-1) ? ANYWHERE[1]! : word));
  const listener = await MetricsListener.start(t, world, ...shown);
  const [, here] = /^http:\/\/(.*)\/metrics\n$/.exec(listener.stdout)!;
  t.deepEqual([listener.stdout.trim().replace(here!, documented)], listens!.output);
  const line = asks!.line.replace(documented, here!);
  const { stdout } = await promisify(execFile)('sh', ['-c', line]);
  t.deepEqual(stdout.trim().split('\n'), asks!.output);
  t.is(await listener.end(), 0);
});

requires('systemd-analyze')(
  'systemd finds nothing wrong with the unit of the manual',
  async (t) => {
    const world = new StackWorld(t);
    const [unit] = /^\[Unit\]\n[\s\S]*?\n(?=\.Ed)/m.exec(page)!;
    t.regex(unit, /^ExecStart=bandstand metrics --listen tcp:127\.0\.0\.1:\d+$/m);
    const file = world.path('bandstand-metrics.service');
    writeFileSync(file, unit.replace('ExecStart=bandstand ', `ExecStart=${process.execPath} `));
    const { stdout, stderr } = await promisify(execFile)(
      'systemd-analyze',
      ['verify', '--man=no', '--recursive-errors=no', file],
      { env: { ...process.env, SYSTEMD_UNIT_PATH: `${world.folder}:` } },
    ).catch((error: { stdout: string; stderr: string }) => error);
    const own = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('bandstand'));
    t.deepEqual(own, []);
  },
);
