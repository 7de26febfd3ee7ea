/**
 * `npm run test:vm` on a machine that cannot run a guest: each test is named, none is passed.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import test from 'ava';
import { ROOT } from './_helpers/repository.ts';

const FOLDER = path.join(ROOT, 'test/vm');

function scenarioCount(): number {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith('.sh') && !name.startsWith('_'))
    .map((name) => readFileSync(path.join(FOLDER, name), 'utf8'))
    .reduce((count, script) => count + script.split(/^ *(?:scenario|foundation) '/m).length - 1, 0);
}

async function runWithoutQemu(environment: Record<string, string>) {
  const child = spawn(process.execPath, [path.join(ROOT, 'scripts/test-vm.js')], {
    env: { PATH: '/nonexistent', ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [output, [status]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  return { lines: output.trimEnd().split('\n'), status: status as number };
}

test('without QEMU every guest test is counted as skipped, and why', async (t) => {
  const { lines, status } = await runWithoutQemu({});
  t.is(lines.at(-1), `0 passed, 0 failed, ${scenarioCount()} skipped`);
  t.regex(lines[0]!, /^ok 1 - [a-z-]+: .* # SKIP qemu-system-x86_64 is not installed \(package /);
  t.is(status, 0);
});

test('in CI a guest test that cannot run is a failure', async (t) => {
  const { lines, status } = await runWithoutQemu({ CI: 'true' });
  t.is(lines.at(-1), `0 passed, ${scenarioCount()} failed, 0 skipped`);
  t.is(status, 1);
});
