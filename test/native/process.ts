import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { addonPath, loadAddon } from '../../src/native/load.ts';
import { ROOT } from '../_helpers/repository.ts';
import { requires } from '../_helpers/requires.ts';

const addon = loadAddon();
const CHILD = path.join(ROOT, 'test/_fixtures/addon-child.js');

/** Runs one action of addon-child.js in a process of its own. */
async function inChild(args: readonly string[], environment: NodeJS.ProcessEnv = {}) {
  const { stdout } = await promisify(execFile)(process.execPath, [CHILD, addonPath(), ...args], {
    env: { ...process.env, ...environment },
    timeout: 30_000,
  });
  return JSON.parse(stdout) as unknown;
}

// The I/O flusher state needs CAP_SYS_RESOURCE: test/vm/boot.sh.

requires('root')('memory can be locked without V8 stumbling over it', async (t) => {
  const [result, lockedKiB, mappedKiB, leftKiB] = (await inChild(['lockMemory'])) as number[];
  t.is(result, 0);
  t.true(lockedKiB! >= 4096);
  // What is mapped later is locked too, and given back with its mapping.
  t.is(mappedKiB, 16384);
  t.true(Math.abs(leftKiB!) < 4096);
});

requires('root', '/dev/shm')('a file placed in locked memory is locked', async (t) => {
  const folder = mkdtempSync('/dev/shm/bandstand-placed-');
  t.teardown(() => rmSync(folder, { recursive: true }));
  const outcome = await inChild(['lockPlacedFile', path.join(folder, 'file')]);
  const [result, differenceKiB, givenBackKiB] = outcome as number[];
  t.is(result, 0);
  t.is(differenceKiB, 0);
  t.is(givenBackKiB, 4096);
});

requires('root')('private mounts are a namespace of their own that shares nothing', async (t) => {
  t.deepEqual(await inChild(['privateMounts']), [0, true, false]);
});

test('a parent death signal can be set and cleared', async (t) => {
  t.deepEqual(await inChild(['parentDeathSignal']), [0, 0]);
  t.throws(() => addon.setParentDeathSignal(65), { instanceOf: RangeError });
});

test('the process name is cut to what the kernel keeps', async (t) => {
  t.is(await inChild(['processName']), 'bandstand-tank-');
});

/** Prints the datagrams that arrive at a Unix socket, one JSON string per line. */
const RECEIVER = `
import json, socket, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.settimeout(30)
receiver.bind(sys.argv[1].replace('@', '\\0', 1) if sys.argv[1][0] == '@' else sys.argv[1])
print('ready', flush=True)
for _ in range(int(sys.argv[2])):
    print(json.dumps(receiver.recv(65536).decode()), flush=True)
`;

for (const kind of ['path', 'abstract'] as const) {
  requires('python3')(`sdNotify reaches systemd's socket with an ${kind} address`, async (t) => {
    const folder = mkdtempSync(path.join(tmpdir(), 'bandstand-notify-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const address = `${kind === 'abstract' ? '@' : ''}${folder}/notify`;
    const receiver = spawn('python3', ['-c', RECEIVER, address, '2'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.teardown(() => receiver.kill());
    const closed = once(receiver, 'close');
    let output = '';
    receiver.stdout.on('data', (data) => {
      output += data;
    });
    await once(receiver.stdout, 'data');
    const states = ['READY=1\nSTATUS=serving', 'STOPPING=1'];
    const sent = await inChild(['notify', ...states], { NOTIFY_SOCKET: address });
    t.deepEqual(sent, [0, 0]);
    await closed;
    const received = output.trim().split('\n').slice(1);
    t.deepEqual(
      received.map((line) => JSON.parse(line)),
      states,
    );
  });
}

test('sdNotify says when there is nobody to notify', async (t) => {
  t.deepEqual(await inChild(['notify', 'READY=1'], { NOTIFY_SOCKET: '' }), [1]);
  const gone = path.join(tmpdir(), 'bandstand-no-such-socket');
  t.deepEqual(await inChild(['notify', 'READY=1'], { NOTIFY_SOCKET: gone }), [-2]);
  t.deepEqual(await inChild(['notify', 'READY=1'], { NOTIFY_SOCKET: 'vsock:2:1' }), [-97]);
});

test('CPU time of the thread grows with work', (t) => {
  const before = addon.threadCpuUs();
  let sum = 0;
  while (addon.threadCpuUs() - before < 2000) for (let i = 0; i < 1000; i += 1) sum += i;
  t.true(sum > 0);
});

test('errno values have names, whatever their sign', (t) => {
  t.is(addon.errnoName(2), 'ENOENT');
  t.is(addon.errnoName(-38), 'ENOSYS');
  t.is(addon.errnoName(4000), 'E4000');
});
