/**
 * `bandstand stop NAME`: flushes, removes the export, marks clean, ends the server. (control plane)
 *
 * Refuses while the block device is mounted, held or open, and names by whom; `--stop-in-use` goes
 * on. After a server was killed it removes what was left: the ublk device, sockets and notes.
 * Stopping a stopped stack says so and succeeds.
 */

import { existsSync } from 'node:fs';
import { BandstandError } from '../../block/errors.ts';
import { call } from '../../control/client.ts';
import { type ExportStatus, isRecord } from '../../control/schema.ts';
import { stackPaths } from '../../stack/directories.ts';
import { checkStackName } from '../../stack/stack-name.ts';
import { StateStore } from '../../stack/state-store.ts';
import type { Command } from '../command.ts';
import { refuseInUse } from '../export-in-use.ts';
import { notFound, runningStatus } from '../known-stacks.ts';
import { cleanUp } from '../leftovers.ts';
import { processAlive } from '../process-alive.ts';
import { cleanUpWork, stopWork, whileWaiting } from '../server-progress.ts';
import { readUblkRecord } from '../ublk-record.ts';

const TIMEOUT_MS_DEFAULT = 60_000;

export const stop: Command = {
  name: 'stop',
  summary: 'Flushes, removes the export and ends the server; cleans up after a crash.',
  positionals: [{ name: 'NAME', required: true, many: false }],
  options: [
    {
      name: 'stop-in-use',
      kind: 'flag',
      summary: 'stop although it is mounted or open: pending and later I/O fails',
    },
  ],
  examples: [
    ['stop tank', 'stops the stack tank'],
    ['stop tank --timeout 5m', 'waits longer for a slow flush'],
  ],
  async run(context, args) {
    const name = args.positional('NAME');
    checkStackName(name);
    const { runDir, stateDir } = context.directories;
    const timeoutMs = context.timeoutMs ?? TIMEOUT_MS_DEFAULT;
    const paths = stackPaths(runDir, name);
    const pid = await serverPid(paths.controlSocket, name);
    if (pid === null) {
      const sockets = existsSync(paths.statusSocket) || existsSync(paths.controlSocket);
      const left = sockets || readUblkRecord(runDir, name) !== null;
      if (!left && new StateStore(stateDir).load(name) === null) {
        throw notFound(context.directories, name);
      }
      const inUse = args.flag('stop-in-use');
      const cleaning = cleanUp(runDir, name, { verb: 'stop', inUse, timeoutMs });
      const removed = await whileWaiting(context, name, cleanUpWork(name), cleaning);
      const was = removed.length > 0 ? 'crashed' : 'stopped';
      return done(name, was, removed);
    }
    if (!args.flag('stop-in-use')) refuseInUse('stop', name, await exportsOf(runDir, name), pid);
    const end = async (): Promise<void> => {
      await askToStop(paths.controlSocket, name, pid, timeoutMs);
      await waitForEnd(paths.controlSocket, name, pid, timeoutMs);
    };
    await whileWaiting(context, name, stopWork(name), end());
    return done(name, 'running', []);
  },
};

/** Asked without the data path, so that a server whose data path hangs can be stopped, too. */
export async function serverPid(socket: string, name: string): Promise<number | null> {
  const answer = await call(socket, 'ping', {}, { name });
  if (answer === null) return null;
  const { result } = answer;
  return isRecord(result) && typeof result['pid'] === 'number' ? result['pid'] : 0;
}

/** Also where the data path does not answer. */
export async function exportsOf(
  runDir: string,
  name: string,
): Promise<readonly Pick<ExportStatus, 'kind' | 'address'>[]> {
  try {
    return (await runningStatus(runDir, name))?.exports ?? [];
  } catch {
    const record = readUblkRecord(runDir, name);
    return record === null ? [] : [{ kind: 'ublk', address: `/dev/ublkb${record.id}` }];
  }
}

async function askToStop(
  socket: string,
  name: string,
  pid: number,
  timeoutMs: number,
): Promise<void> {
  try {
    await call(socket, 'stop', {}, { name, timeoutMs });
  } catch (error) {
    if (!(error instanceof BandstandError) || error.code !== 'BANDSTAND_SERVER_TIMEOUT')
      throw error;
    throw new BandstandError(error.code, {
      message: error.message,
      hint: `wait longer with --timeout, or give up on it: kill -9 ${pid}; bandstand stop ${name}`,
      details: { ...error.details, pid },
    });
  }
}

function done(name: string, was: 'running' | 'crashed' | 'stopped', removed: readonly string[]) {
  return {
    schema: 'bandstand.stop/1',
    data: { name, was, removed },
    text: () => {
      if (was === 'running') return `stopped ${name}`;
      if (was === 'stopped') return `${name} was stopped already`;
      return `cleaned up after the crashed server of ${name}: ${removed.join(', ')}`;
    },
    plain: () => [[name, was]],
  };
}

/** The server answers before it ends; the next command should find it gone. */
async function waitForEnd(
  socket: string,
  name: string,
  pid: number,
  timeoutMs: number,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (existsSync(socket) || processAlive(pid)) {
    if (Date.now() > deadline) {
      throw new BandstandError('BANDSTAND_SERVER_TIMEOUT', {
        message: `cannot stop ${name}: pid ${pid} was asked to stop and has not ended within ${timeoutMs / 1000} s`,
        hint: `look at its log and at the kernel log (dmesg); give up on it: kill -9 ${pid}; bandstand stop ${name}`,
        details: { name, pid, timeout_ms: timeoutMs },
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
