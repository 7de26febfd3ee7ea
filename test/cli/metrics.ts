/** `metrics`: of which stacks, and where it may listen. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { CliWorld, printedError } from '../_helpers/run-cli.ts';

async function worldOfStacks(t: ExecutionContext): Promise<CliWorld> {
  const world = new CliWorld(t);
  const [a, b, c, d] = world.files(4, 16 * 2 ** 20) as [string, string, string, string];
  t.is((await world.run('create', 'tank', '--raid', 'raid1', a, b)).status, 0);
  t.is((await world.run('create', 'pond', '--raid', 'raid1', c, d)).status, 0);
  return world;
}

const upOf = (text: string): string[] =>
  text.split('\n').filter((line) => line.startsWith('bandstand_stack_up{'));

test('all stacks, one or several, each once', async (t) => {
  const world = await worldOfStacks(t);
  const tank = 'bandstand_stack_up{stack="tank"} 0';
  const pond = 'bandstand_stack_up{stack="pond"} 0';
  for (const [names, expected] of [
    [[], [pond, tank]],
    [['tank'], [tank]],
    [
      ['tank', 'pond', 'tank'],
      [tank, pond],
    ],
  ]) {
    const { status, stdout, stderr } = await world.run('metrics', ...names!);
    t.is(status, 0, stderr);
    t.deepEqual(upOf(stdout), expected!);
  }
});

test('a stack that does not answer is down among others, and an error by its name', async (t) => {
  const world = await worldOfStacks(t);
  mkdirSync(world.path('run'), { recursive: true });
  const silent = createServer(() => {}).listen(world.path('run/tank.status.sock'));
  t.teardown(() => silent.close());
  const all = await world.run('metrics', '--timeout', '0.1s');
  t.is(all.status, 0);
  const ofTank = all.stdout.split('\n').filter((line) => line.includes('stack="tank"'));
  t.deepEqual(ofTank, [
    'bandstand_stack_up{stack="tank"} 0',
    'bandstand_stack_health{stack="tank",state="healthy"} 0',
    'bandstand_stack_health{stack="tank",state="degraded"} 0',
    'bandstand_stack_health{stack="tank",state="failed"} 1',
    'bandstand_stack_health{stack="tank",state="stopped"} 0',
  ]);
  t.true(all.stdout.includes('bandstand_stack_size_bytes{stack="pond"}'));
  const one = await world.run('metrics', 'pond', 'tank', '--timeout', '0.1s', '--json');
  t.is(one.status, 1);
  t.is(printedError(one).code, 'BANDSTAND_SERVER_TIMEOUT');
});

test('other machines are refused, with the way to let them in', async (t) => {
  const world = new CliWorld(t);
  for (const host of ['0.0.0.0', '192.0.2.7', '[::]', '[fe80::1]', '[::ffff:127.0.0.1]']) {
    const { status, stdout, stderr } = await world.run('metrics', '--listen', `tcp:${host}:9750`);
    t.is(status, 2);
    t.is(stdout, '');
    t.is(
      stderr,
      `bandstand: cannot listen at ${host.replaceAll(/[[\]]/g, '')}: everyone who can reach it ` +
        'could read the metrics, and nothing asks who it is\n' +
        '  listen at tcp:127.0.0.1:9750, and let a reverse proxy with TLS, or ssh -L, lead there\n',
    );
  }
  for (const text of ['9750', '127.0.0.1:9750', 'tcp:example.org:9750', 'http://127.0.0.1:9750']) {
    const { status, stderr } = await world.run('metrics', '--listen', text);
    t.is(status, 2);
    t.regex(stderr, /^bandstand: cannot listen at .*\n {2}write unix:PATH or tcp:ADDRESS:PORT\n$/);
  }
});

test('a name that nobody knows, or that is none, is refused before anything listens', async (t) => {
  const world = await worldOfStacks(t);
  const listen = ['--listen', 'tcp:127.0.0.1:0'];
  const unknown = await world.run('metrics', 'tank', 'tonk', ...listen, '--json');
  t.is(unknown.status, 1);
  t.is(printedError(unknown).code, 'BANDSTAND_STACK_NOT_FOUND');
  t.regex(printedError(unknown).hint!, /^did you mean tank\?/);
  const wrong = await world.run('metrics', '../tank', ...listen);
  t.is(wrong.status, 2);
  t.regex(wrong.stderr, /\.\.\/tank/);
});

test('an address that cannot be listened at ends it with the reason', async (t) => {
  const world = new CliWorld(t);
  writeFileSync(world.path('precious'), 'data');
  const busy = await world.run('metrics', '--listen', `unix:${world.path('precious')}`, '--json');
  t.is(busy.status, 1);
  t.is(printedError(busy).code, 'BANDSTAND_EXPORT_ADDRESS_BUSY');
  const nowhere = await world.run('metrics', '--listen', `unix:${world.path('no/a')}`, '--json');
  t.is(nowhere.status, 1);
  t.is(printedError(nowhere).code, 'BANDSTAND_EXPORT_ADDRESS_INVALID');
});
