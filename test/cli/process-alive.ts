import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import test from 'ava';
import { processAlive } from '../../src/cli/process-alive.ts';

/** The first thread ends, and another one stays. */
const HEADLESS = `
import ctypes, threading, time
threading.Thread(target=lambda: time.sleep(600)).start()
print(flush=True)
ctypes.CDLL(None).pthread_exit(None)
`;

const isZombie = (pid: number): boolean =>
  /^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));

test('a process lives while one of its threads does, and a zombie does not', async (t) => {
  const child = spawn('python3', ['-c', HEADLESS], { stdio: ['ignore', 'pipe', 'inherit'] });
  const pid = child.pid!;
  const exit = once(child, 'exit');
  await once(child.stdout, 'data');
  while (!isZombie(pid)) await new Promise((resolve) => setTimeout(resolve, 5));
  t.true(processAlive(pid));
  child.kill('SIGKILL');
  await exit;
  t.false(processAlive(pid));
});

test('this process lives, and one that never was does not', (t) => {
  t.true(processAlive(process.pid));
  t.false(processAlive(-1));
});
