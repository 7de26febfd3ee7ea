/**
 * Every method of the control protocol, called by `rpc` on a real stack: what comes back is what
 * schemas/rpc-1.schema.json says (CliWorld looks), and params that are wrong change nothing.
 */

import { connect } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { PUBLIC_METHODS } from '../../src/cli/commands/rpc.ts';
import { METHODS } from '../../src/control/schema.ts';
import { documentedMessages } from '../_helpers/control-page.ts';
import { noise, StackWorld } from '../_helpers/running-stack.ts';

const MIB = 2 ** 20;
const DISK_BYTES = 32 * MIB;
const CACHE_BYTES = 8 * MIB;

/** A line to a socket, and the line that comes back. */
async function exchange(socketPath: string, request: object): Promise<string> {
  const socket = connect(socketPath).setEncoding('utf8');
  socket.end(`${JSON.stringify(request)}\n`);
  let text = '';
  for await (const chunk of socket) text += chunk;
  return text.trimEnd();
}

class CallingWorld extends StackWorld {
  readonly seen = new Set<string>();
  readonly #t: ExecutionContext;

  constructor(t: ExecutionContext) {
    super(t);
    this.#t = t;
  }

  async calls(method: string, params: object = {}): Promise<Record<string, unknown>> {
    const words = [method, JSON.stringify(params), '--json'];
    const { status, stdout, stderr } = await this.run('rpc', 'tank', ...words);
    this.#t.is(status, 0, `${method}: ${stderr}`);
    this.seen.add(method);
    return JSON.parse(stdout).data.result;
  }
}

test.serial('every method has its result', async (t) => {
  const world = new CallingWorld(t);
  const [one, two, three] = world.files(3, DISK_BYTES) as [string, string, string];
  const ssd = world.file('ssd.img', CACHE_BYTES);
  await world.ok('create', 'tank', '--raid', 'raid1', '--ftl', one, two);
  await world.export('tank');
  await world.write('tank', noise(MIB, 1));
  await world.ok('wait', 'tank', '--for', 'resync');

  const pid = await world.serverPid('tank');
  const { version } = (await world.calls('status'))['server'] as { version: string };
  t.deepEqual(await world.calls('ping'), { pid, version, protocol: 1 });
  const { last, missed } = await world.calls('events');
  t.true((last as number) > 0);
  t.is(missed, 0);
  t.deepEqual(await world.calls('events', { since: last }), { events: [], last, missed: 0 });

  const second = { via: 'nbd', nbd: `unix:${world.path('second.nbd')}`, read_only: true };
  const exported = await world.calls('export', second);
  t.deepEqual([exported['kind'], exported['read_only'], exported['started']], ['nbd', true, true]);
  t.is((await world.calls('export', second))['started'], false);
  const { address } = exported;
  t.deepEqual(await world.calls('unexport', { address }), { removed: true, addresses: [address] });
  t.deepEqual(await world.calls('unexport', { address }), { removed: false, addresses: [] });

  const start = { action: 'start', repair: false, dry_run: false };
  t.is((await world.calls('check', start))['changed'], true);
  await world.ok('wait', 'tank', '--for', 'check');
  const rate = { action: 'rate', of_cache: false, rate_bytes_per_second: 100 * MIB };
  t.is((await world.calls('rebuild', rate))['limit_before'], null);
  const automatic = { ...rate, rate_bytes_per_second: null };
  t.is((await world.calls('rebuild', automatic))['limit_before'], 100 * MIB);

  const attach = { action: 'attach', devices: [ssd], dry_run: false };
  t.is((await world.calls('cache', { ...attach, dry_run: true }))['size_bytes'], CACHE_BYTES);
  await world.calls('cache', attach);
  await world.calls('cache', { action: 'detach', devices: [], dry_run: false });

  const replace = { member: '1', device: three, dry_run: true };
  t.is((await world.calls('member-replace', replace))['slot'], 1);
  t.is((await world.calls('member-fail', { member: '1', dry_run: false }))['was'], 'ok');
  await world.calls('member-remove', { member: '1', dry_run: false });
  const add = { device: three, spare_only: false, of_cache: false, dry_run: false };
  t.is((await world.calls('member-add', add))['role'], 'rebuild');
  await world.ok('wait', 'tank', '--for', 'rebuild');
  t.is((await world.calls('status'))['health'], 'healthy');
  t.deepEqual(await world.read('tank', MIB), noise(MIB, 1));

  t.deepEqual(await world.calls('stop'), { stopped: true });
  t.deepEqual([...world.seen].sort(), [...PUBLIC_METHODS].sort());
});

test.serial('params that are wrong are refused by the server, and change nothing', async (t) => {
  const world = new StackWorld(t);
  await world.ok('create', 'tank', '--raid', 'raid1', ...world.files(2, DISK_BYTES));
  await world.export('tank');
  await world.ok('wait', 'tank', '--for', 'resync');
  const before = await world.status('tank');
  const change = { member: '1', dry_run: false };
  const cases: readonly (readonly [method: string, params: object, why: string])[] = [
    ['unexport', { address: 1 }, 'cannot unexport tank: address is not text'],
    ['export', { via: 'nbd' }, 'cannot export tank: read_only is not true or false'],
    ['events', { limit: 0 }, 'cannot show the events of tank: limit is not between 1 and 1000'],
    [
      'member-fail',
      { member: '1' },
      'cannot do member-fail with tank: dry_run is not true or false',
    ],
    ['check', { action: 'begin' }, 'cannot do check with tank: the action is unknown'],
    // A slip must not make a request for one thing one for all, or a dry run a real one.
    ['unexport', { adress: 'x' }, "cannot do unexport with tank: there is no param 'adress'"],
    ['stop', { dry_run: true }, "cannot do stop with tank: there is no param 'dry_run'"],
    [
      'member-fail',
      { ...change, dryrun: true },
      "cannot do member-fail with tank: there is no param 'dryrun'",
    ],
  ];
  // Past the command, which would refuse some of it.
  const ask = async (method: string, params: object) => {
    const request = { jsonrpc: '2.0', id: 2, method, params };
    return await exchange(world.path('run/tank.control.sock'), request);
  };
  for (const [method, params, why] of cases) {
    const { code, message, data } = JSON.parse(await ask(method, params)).error;
    t.deepEqual([code, message, data.code], [-32602, why, 'BANDSTAND_CONTROL_PROTOCOL']);
  }
  for (const method of PUBLIC_METHODS) {
    const { error } = JSON.parse(await ask(method, { no_such_param: METHODS[method].params }));
    t.is(error.message, `cannot do ${method} with tank: there is no param 'no_such_param'`);
  }
  const answer = await ask('check', { action: 'pause', repair: false, dry_run: false });
  t.is(answer, documentedMessages()[2]!, 'it is the error that bandstand-control(7) shows');
  const { io: _, ...same } = before;
  const { io: __, ...after } = await world.status('tank');
  t.deepEqual(after, same);
  await world.ok('stop', 'tank');
});
