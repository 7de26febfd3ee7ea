/**
 * The data-path thread and its handle: assembly, status, errors, and the end of both. The compiled
 * program is tested (built before by `npm run build:ts`), because threads do not load TypeScript.
 */

import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { BandstandError } from '../../src/block/errors.ts';
import { loadAddon } from '../../src/native/load.ts';
import type * as StackHostModule from '../../src/stack/stack-host.ts';
import { StateStore } from '../../src/stack/state-store.ts';
import type { StackEvent, StackPlan } from '../../src/stack/worker-messages.ts';
import { ROOT } from '../_helpers/repository.ts';
import { CliWorld } from '../_helpers/run-cli.ts';

const MIB = 2 ** 20;
const COMPILED = path.join(ROOT, 'dist/src/stack/stack-host.js');
const { StackHost } = (await import(COMPILED)) as typeof StackHostModule;

async function world(t: ExecutionContext): Promise<{ plan: StackPlan; disks: string[] }> {
  const cli = new CliWorld(t);
  const disks = cli.files(2, 16 * MIB);
  const made = await cli.run('create', 'tank', '--raid', 'raid1', ...disks);
  t.is(made.status, 0, made.stderr);
  const remembered = new StateStore(cli.path('state')).load('tank')!;
  const { uuid } = remembered;
  const plan = { name: 'tank', uuid, devices: [], remembered, degraded: false, readOnly: false };
  return { plan, disks };
}

function start(plan: StackPlan, events: StackEvent[] = [], arenaBytes = 16 * MIB) {
  return StackHost.start(
    loadAddon(),
    { plan, arenaBytes, pollUs: 0, buffer: null, leavesMounts: false },
    {
      stackEvent: (event) => events.push(event),
      stackFailed: (error) => {
        throw error;
      },
    },
  );
}

test('a stack is opened in named steps and closed again', async (t) => {
  const { plan, disks } = await world(t);
  const events: StackEvent[] = [];
  const host = await start(plan, events);
  const opened = await host.call('open', null);
  t.is(opened.level, 'raid1');
  t.is(opened.health, 'healthy');
  t.deepEqual(opened.notes, []);
  const geometry = await host.call('geometry', null);
  t.is(geometry.blockCount * geometry.blockBytes, 15 * MIB);
  t.deepEqual(
    opened.remembered?.members.map(({ path }) => path),
    disks,
  );
  t.deepEqual(
    events.flatMap((event) => (event.event === 'step-started' ? [event.step] : [])),
    ['Find the members', 'Open the members', 'Read the superblocks', 'Start the array'],
  );
  const status = await host.call('status', null);
  t.is(status.health, 'healthy');
  t.deepEqual(status.exports, []);
  await host.close();
});

test('an error of the worker is the error of the call, and the thread goes on', async (t) => {
  const { plan } = await world(t);
  const elsewhere = {
    ...plan.remembered!,
    members: [{ slot: 0, uuid: null, path: '/nowhere', health: 'ok' as const }],
  };
  const host = await start({ ...plan, remembered: elsewhere });
  const error = (await t.throwsAsync(host.call('open', null))) as unknown as BandstandError;
  t.is(error.code, 'BANDSTAND_ARRAY_NOT_FOUND');
  await host.close();
});

test('a reactor that cannot be made is an error of the start', async (t) => {
  const { plan } = await world(t);
  await t.throwsAsync(start(plan, [], 2 ** 45));
});
