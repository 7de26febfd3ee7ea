/**
 * `bandstand metrics [NAME...]`: numbers for Prometheus.                            (control plane)
 *
 * For its node exporter, which reads files that a timer writes, for anything that scrapes the
 * output of a command, and with --listen for Prometheus itself. Stopped stacks are there, too: that
 * one is down is a number.
 *
 * Served are the addresses of this machine only: there is neither TLS nor a password, and programs
 * that have both, and know whom to let in, are at hand everywhere.
 */

import { checkStackName } from '../../stack/stack-name.ts';
import { type Arguments, usageError } from '../arguments.ts';
import type { Command, CommandResult } from '../command.ts';
import type { CommandContext } from '../command-context.ts';
import { notFound, readStatus, stackNames } from '../known-stacks.ts';
import { formatListen, isLoopback, type ListenAddress, parseListen } from '../listen-address.ts';
import { metricsText, samplesOf } from '../metrics-text.ts';
import { render } from '../render.ts';
import { allStatuses, statusesOf } from './list.ts';

/** Less than the ten seconds that Prometheus waits, so that one stack does not cost it all. */
const LOOK_TIMEOUT_MS = 5000;

export const metrics: Command = {
  name: 'metrics',
  summary: 'Prints or serves the numbers of stacks in the text format of Prometheus.',
  positionals: [{ name: 'NAME', required: false, many: true }],
  options: [
    {
      name: 'listen',
      kind: 'text',
      value: 'ADDRESS',
      summary: 'serve them over HTTP at tcp:127.0.0.1:PORT or unix:PATH',
    },
  ],
  examples: [
    ['metrics', 'the numbers of all stacks'],
    ['metrics --listen tcp:127.0.0.1:9750', 'serves them until it is interrupted'],
  ],
  async run(context, args) {
    const names = [...new Set(args.many('NAME'))];
    for (const name of names) checkStackName(name);
    const listen = args.text('listen');
    return listen === null
      ? await printOnce(context, names)
      : await serve(context, args, names, ownAddress(listen));
  },
};

/** A stack that was asked for by its name has to answer. */
async function printOnce(
  context: CommandContext,
  names: readonly string[],
): Promise<CommandResult> {
  const { directories, timeoutMs } = context;
  const stacks =
    names.length === 0
      ? await allStatuses(context)
      : await Promise.all(
          names.map((name) => readStatus(directories, name, timeoutMs ?? undefined)),
        );
  const samples = samplesOf(stacks);
  return {
    schema: 'bandstand.metrics/1',
    data: { samples },
    text: () => metricsText(samples),
    plain: () =>
      samples.map(({ name: what, labels, value }) => [what, JSON.stringify(labels), value]),
  };
}

/** Throws BANDSTAND_USAGE for one that other machines reach. */
function ownAddress(text: string): ListenAddress {
  const address = parseListen(text);
  if (address.kind === 'unix' || isLoopback(address.host)) return address;
  throw usageError(
    `cannot listen at ${address.host}: everyone who can reach it could read the metrics, and nothing asks who it is`,
    `listen at tcp:127.0.0.1:${address.port}, and let a reverse proxy with TLS, or ssh -L, lead there`,
  );
}

/** Serves until it is interrupted; a second signal ends it at once. */
async function serve(
  context: CommandContext,
  args: Arguments,
  names: readonly string[],
  address: ListenAddress,
): Promise<CommandResult> {
  const { directories } = context;
  const known = stackNames(directories);
  // A slip shows at once. Later a stack may go and come back.
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) throw notFound(directories, unknown);
  const { MetricsServer, metricsLimits } = await import('../metrics-server.ts');
  const lookMs = context.timeoutMs ?? LOOK_TIMEOUT_MS;
  const controller = new AbortController();
  const { signal } = controller;
  const look = async (): Promise<string> => {
    const asked = names.length === 0 ? stackNames(directories) : names;
    const text = metricsText(samplesOf(await statusesOf(directories, asked, lookMs, signal)));
    return text === '' ? '' : `${text}\n`;
  };
  let end = (): void => {};
  let fail = (_error: unknown): void => {};
  const ended = new Promise<void>((resolve, reject) => {
    end = resolve;
    fail = reject;
  });
  // It is looked at further down only.
  ended.catch(() => {});
  process.once('SIGINT', end);
  process.once('SIGTERM', end);
  const server = new MetricsServer(look, fail, metricsLimits(lookMs));
  try {
    const ready = readyResult(await server.start(address));
    context.streams.stdout.write(render(ready, args));
    await notifyManager('READY=1');
    await ended;
    await notifyManager('STOPPING=1');
    return { ...ready, silent: true };
  } finally {
    server.stop();
    controller.abort();
    process.removeListener('SIGINT', end);
    process.removeListener('SIGTERM', end);
  }
}

function readyResult(address: ListenAddress): CommandResult {
  const listen = formatListen(address);
  const url = address.kind === 'unix' ? null : `${listen.replace('tcp:', 'http://')}/metrics`;
  return {
    schema: 'bandstand.metrics-listener/1',
    data: { listen, url },
    text: () => url ?? listen,
    plain: () => [[listen, url]],
  };
}

/** Only a service has a manager; nobody else needs the addon here. */
async function notifyManager(state: string): Promise<void> {
  if ((process.env['NOTIFY_SOCKET'] ?? '') === '') return;
  const { loadAddon } = await import('../../native/load.ts');
  loadAddon().sdNotify(state);
}
