/**
 * `bandstand upgrade NAME`: another server takes over, and I/O goes on.             (control plane)
 *
 * The new server, of the version that this command is of, is loaded first, and it is looked
 * whether it would start. Then the old one answers what is in flight, closes the stack cleanly and
 * ends; the new one opens it and serves the same export. A ublk device stays, with all that is open
 * or mounted on it: its driver keeps requests for so long. An NBD server is at the same address
 * again; clients connect anew.
 *
 *   load the new server · look · old: hold, finish, close, end · new: open, serve
 *
 * Until the old server has let go nothing has changed, and a failure leaves it serving. After that
 * the clients of a ublk device wait, for this command or for `export`.
 */

import { BandstandError } from '../../block/errors.ts';
import { parseUuid } from '../../block/uuid.ts';
import type { ExportReply } from '../../control/schema.ts';
import { decodeHandOverReply, type HandOverReply } from '../../control/schema-hand-over.ts';
import { checkStackName } from '../../stack/stack-name.ts';
import { type RememberedStack, StateStore } from '../../stack/state-store.ts';
import { askServer, notRunning } from '../ask-server.ts';
import { type Command, DRY_RUN } from '../command.ts';
import type { CommandContext } from '../command-context.ts';
import { notFound, readStatus } from '../known-stacks.ts';
import { refuseUnstartable } from '../next-start.ts';
import { processAlive } from '../process-alive.ts';
import type { ServeOptions } from '../serve.ts';
import { startWork, stopWork, whileWaiting } from '../server-progress.ts';
import { StartingServer } from '../start-server.ts';
import { version } from '../version.ts';

const TIMEOUT_MS_DEFAULT = 60_000;
const LOOK_MS = 5;

interface Server {
  readonly pid: number;
  readonly version: string;
}

export const upgrade: Command = {
  name: 'upgrade',
  summary: 'Replaces the server of a stack by one of this version while its exports are in use.',
  positionals: [{ name: 'NAME', required: true, many: false }],
  options: [{ ...DRY_RUN, summary: 'show which server would be replaced, replace nothing' }],
  examples: [
    ['upgrade tank', 'I/O on its block device waits for a moment, and goes on'],
    ['upgrade tank --dry-run', 'shows the version that runs, and the one that would'],
  ],
  async run(context, args) {
    const name = args.positional('NAME');
    checkStackName(name);
    const timeoutMs = context.timeoutMs ?? TIMEOUT_MS_DEFAULT;
    const status = await readStatus(context.directories, name, timeoutMs);
    const old = status.server;
    if (old === null) throw notRunning(name, 'upgrade');
    if (args.flag('dry-run')) return planned(name, old);
    const ublk = status.exports.some(({ kind }) => kind === 'ublk');
    const next = StartingServer.spawn(name, context.directories.runDir, { attached: false, ublk });
    try {
      const newVersion = await next.loaded(timeoutMs);
      await refuseUnstartable(rememberedStack(context, name));
      const begin = performance.now();
      const decode = decodeHandOverReply;
      const close = async (): Promise<HandOverReply> => {
        const asked = askServer(context, name, 'upgrade', 'hand-over', {}, decode, timeoutMs);
        const handed = await asked;
        await waitForEnd(name, old.pid, timeoutMs);
        return handed;
      };
      const handed = await whileWaiting(context, name, stopWork(name), close());
      const opened = takeOver(context, name, next, handed, timeoutMs);
      const reply = await whileWaiting(context, name, startWork(name), opened);
      const ms = Math.round(performance.now() - begin);
      for (const note of reply.notes) context.note(`${name}: ${note}`);
      return upgraded(name, { old, newVersion, reply, handed, ms });
    } finally {
      next.dismiss();
    }
  },
};

async function takeOver(
  context: CommandContext,
  name: string,
  next: StartingServer,
  handed: HandOverReply,
  timeoutMs: number,
): Promise<ExportReply> {
  try {
    return await next.start(serveOptions(context, name, handed), timeoutMs);
  } catch (error) {
    if (!(error instanceof BandstandError)) throw error;
    // Its users wait, and need to know what for.
    throw new BandstandError(error.code, {
      message: error.message,
      hint: `the old server has ended, and the clients of its export wait: ${error.hint ?? 'mend what keeps it from starting'}, then bandstand export ${name}`,
      details: error.details,
      cause: error,
    });
  }
}

function rememberedStack({ directories }: CommandContext, name: string): RememberedStack {
  const remembered = new StateStore(directories.stateDir).load(name);
  if (remembered === null) throw notFound(directories, name);
  return remembered;
}

/** As the old server was started, but for what it has seen to itself. */
function serveOptions(
  context: CommandContext,
  name: string,
  { requests, stack_read_only: readOnly }: HandOverReply,
): ServeOptions {
  const { runDir, stateDir } = context.directories;
  // It may have been written while the old server ran.
  const remembered = rememberedStack(context, name);
  return {
    plan: {
      name,
      uuid: parseUuid(remembered.uuid),
      devices: [],
      remembered,
      degraded: false,
      cacheDevices: [],
      discardCache: false,
      discardBuffer: false,
      readOnly,
    },
    requests,
    runDir,
    stateDir,
    foreground: false,
    logsToFile: false,
    exitWithParent: false,
  };
}

/** The lock of the stack, and its device, are free then. */
async function waitForEnd(name: string, pid: number, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (processAlive(pid)) {
    if (Date.now() > deadline) {
      throw new BandstandError('BANDSTAND_SERVER_TIMEOUT', {
        message: `cannot replace the server of ${name}: pid ${pid} has closed the stack and does not end`,
        hint: `end it, and go on with another: kill -9 ${pid}; bandstand export ${name}`,
        details: { name, pid, timeout_ms: timeoutMs },
      });
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

function planned(name: string, old: Server) {
  const next = version();
  return {
    schema: 'bandstand.upgrade/1',
    data: { name, old_pid: old.pid, old_version: old.version, new_version: next, dry_run: true },
    text: () =>
      `${name} is served by version ${old.version} (pid ${old.pid}), and would be by ${next}`,
    plain: () => [[name, old.version, next]],
  };
}

function upgraded(
  name: string,
  done: {
    readonly old: Server;
    readonly newVersion: string;
    readonly reply: ExportReply;
    readonly handed: HandOverReply;
    readonly ms: number;
  },
) {
  const { old, newVersion, reply, handed, ms } = done;
  const { kind, address } = reply;
  const lines = [`${name} is served by version ${newVersion} (was ${old.version}) at ${address}`];
  lines.push(`  no I/O was answered for ${ms} ms`);
  if (handed.failed !== null)
    lines.push(`  the old server did not close it cleanly: ${handed.failed}`);
  return {
    schema: 'bandstand.upgrade/1',
    data: {
      name,
      kind,
      address,
      old_pid: old.pid,
      old_version: old.version,
      new_version: newVersion,
      pause_ms: ms,
      closed_cleanly: handed.failed === null,
      dry_run: false,
    },
    text: () => lines.join('\n'),
    plain: () => [[name, old.version, newVersion, ms]],
  };
}
