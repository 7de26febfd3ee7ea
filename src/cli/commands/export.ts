/**
 * `bandstand export NAME`: assembles, starts a server, prints the path or URI.      (control plane)
 *
 * stdout gets the address and nothing else, so that `dev=$(bandstand export tank)` works; what a
 * person should know besides goes to stderr. Exporting an exported stack prints the same address,
 * unless another way or address is named: then it is exported in that way, too.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { BandstandError } from '../../block/errors.ts';
import { parseUuid } from '../../block/uuid.ts';
import { call, protocolError } from '../../control/client.ts';
import {
  decodeExportReply,
  EXPORT_LIMITS,
  type ExportReply,
  type ExportRequest,
} from '../../control/schema.ts';
import { absolutePaths, formatDeviceSpec, parseDeviceSpec } from '../../stack/device-spec.ts';
import { stackPaths } from '../../stack/directories.ts';
import { checkStackName } from '../../stack/stack-name.ts';
import { StateStore } from '../../stack/state-store.ts';
import { type Arguments, usageError } from '../arguments.ts';
import { cacheDevices } from '../cache-devices.ts';
import { type Command, type CommandResult, DRY_RUN } from '../command.ts';
import type { CommandContext } from '../command-context.ts';
import type * as DiscardCache from '../discard-cache.ts';
import { checkMonitor, ForegroundMonitor } from '../foreground-monitor.ts';
import { notFound } from '../known-stacks.ts';
import { cleanUp } from '../leftovers.ts';
import { formatListen, parseListen } from '../listen-address.ts';
import type { ServeOptions } from '../serve.ts';
import { cleanUpWork, startWork, whileWaiting } from '../server-progress.ts';
import { startServer } from '../start-server.ts';
import { nbdAccess, TLS_OPTIONS } from '../tls-options.ts';

const TIMEOUT_MS_DEFAULT = 60_000;
const VIA = ['auto', 'ublk', 'nbd'] as const;
const JOIN_RETRY_MS = 100;
/** Of all queues together: the driver's requests share one completion queue. */
const REQUESTS_MAX = 2048;
const DEPTH_DEFAULT = 128;

export const exportCommand: Command = {
  name: 'export',
  summary: 'Assembles a stack, starts its server and prints the block device or NBD address.',
  positionals: [{ name: 'NAME', required: true, many: false }],
  options: [
    { name: 'device', kind: 'list', value: 'PATH', summary: 'look for members only here' },
    { name: 'via', kind: 'text', value: 'HOW', words: VIA, summary: 'auto (default), ublk or nbd' },
    { name: 'id', kind: 'text', value: 'N', summary: 'ublk: N of /dev/ublkbN' },
    { name: 'queues', kind: 'text', value: 'N', joined: true, summary: 'queues (1)' },
    { name: 'depth', kind: 'text', value: 'N', joined: true, summary: 'requests per queue (128)' },
    {
      name: 'nbd',
      kind: 'text',
      value: 'ADDRESS',
      summary: 'listen at unix:PATH or tcp:HOST:PORT',
    },
    ...TLS_OPTIONS,
    { name: 'read-only', kind: 'flag', summary: 'refuse writes, write no metadata' },
    { name: 'degraded', kind: 'flag', summary: 'start although members are missing' },
    {
      name: 'discard-buffer',
      kind: 'flag',
      summary: 'start without the write buffer of a killed server',
    },
    { name: 'cache', kind: 'list', value: 'DEV[,DEV]', summary: 'the NV cache, if it has moved' },
    { name: 'discard-cache', kind: 'flag', summary: 'give up what only the NV cache has' },
    { ...DRY_RUN, summary: 'show what would be assembled, or lost; start nothing' },
    { name: 'yes', kind: 'flag', joined: true, summary: 'do not ask' },
    { name: 'foreground', kind: 'flag', summary: 'be the server: for systemd and containers' },
    { name: 'monitor', kind: 'flag', joined: true, summary: 'and show it here' },
    { name: 'exit-with-parent', kind: 'flag', summary: 'end the server with the calling process' },
  ],
  examples: [
    ['export tank', 'prints /dev/ublkb0, or an NBD URI'],
    ['export tank --nbd tcp:127.0.0.1:10809', 'serves it to NBD clients of this machine, too'],
  ],
  async run(context, args) {
    const name = args.positional('NAME');
    checkStackName(name);
    if (args.list('cache').length > 0 && args.flag('discard-cache')) {
      throw usageError('cannot use --cache with --discard-cache', 'choose one of them');
    }
    refuseUnused(args);
    checkMonitor(context, args, name);
    const request = exportRequest(args);
    const devices = checkDevices(args.list('device'));
    const running = await askRunning(context, name, request);
    if (running !== null) {
      if (args.flag('discard-cache') && args.flag('dry-run')) throw keepsCache(name);
      if (args.flag('foreground')) throw alreadyRunning(name, running);
      return report(context, name, running);
    }
    const options = serveOptions(context, args, name, request, devices);
    const given = args.flag('discard-cache') ? await loadDiscardCache() : null;
    if (args.flag('dry-run') && given === null) {
      const { planExport } = await import('../export-plan.ts');
      return await planExport(options.plan, request);
    }
    const loss = given === null ? null : await given.findLoss(context, options.plan);
    if (given !== null) {
      if (args.flag('dry-run')) return given.lossResult(name, loss);
      await given.confirmLoss(context, args, name, loss);
    }
    if (request.via === 'nbd' || request.nbd !== null) {
      // A ublk device that a killed server left would wait for ever for one that serves it.
      const timeoutMs = context.timeoutMs ?? TIMEOUT_MS_DEFAULT;
      const { runDir } = context.directories;
      const cleaning = cleanUp(runDir, name, { verb: 'export', inUse: false, timeoutMs });
      await whileWaiting(context, name, cleanUpWork(name), cleaning);
    }
    if (args.flag('foreground')) return await stay(context, args, options);
    const starting = startOrJoin(context, options);
    const reply = await whileWaiting(context, name, startWork(name), starting);
    const done = report(context, name, reply);
    if (given === null || loss === null) return done;
    return { ...done, data: { ...(done.data as object), discarded_cache: given.lossJson(loss) } };
  },
};

/** It assembles the stack in this process, and so brings the whole data path with it. */
function loadDiscardCache(): Promise<typeof DiscardCache> {
  return import('../discard-cache.ts');
}

/** An option that is about a cache which is given up. */
function refuseUnused(args: Arguments): void {
  if (args.flag('discard-cache')) return;
  if (!args.flag('yes')) return;
  const why = 'cannot use --yes without --discard-cache: nothing else is lost by an export';
  throw usageError(why, 'leave it out');
}

function keepsCache(name: string): BandstandError {
  return new BandstandError('BANDSTAND_STACK_RUNNING', {
    message: `cannot give up the NV cache of ${name}: a server of it runs, and uses it`,
    hint: `have it emptied: bandstand cache detach ${name}; or stop the stack first`,
    details: { name },
  });
}

function exportRequest(args: Arguments): ExportRequest {
  const via = args.oneOf('via', VIA) ?? 'auto';
  const address = args.text('nbd');
  const listen = address === null ? null : parseListen(address);
  const nbd = listen === null ? null : formatListen(listen);
  if (nbd !== null && via === 'ublk') {
    throw usageError('cannot use --nbd with --via ublk', 'choose one of them');
  }
  const request: ExportRequest = {
    via,
    ublk_id: args.count('id', ...EXPORT_LIMITS.ublk_id),
    queues: args.count('queues', ...EXPORT_LIMITS.queues),
    depth: args.count('depth', ...EXPORT_LIMITS.depth),
    nbd,
    read_only: args.flag('read-only'),
    ...nbdAccess(args, listen),
  };
  if (request.tls !== null && nbd === null && via !== 'nbd') {
    throw usageError('cannot use TLS with ublk: it is about NBD', 'add --nbd ADDRESS or --via nbd');
  }
  const inFlight = (request.queues ?? 1) * (request.depth ?? DEPTH_DEFAULT);
  if (inFlight > REQUESTS_MAX) {
    throw usageError(
      `cannot export with ${inFlight} requests in flight: at most ${REQUESTS_MAX} are possible`,
      'use fewer --queues or a smaller --depth',
    );
  }
  for (const [option, value] of [
    ['id', request.ublk_id],
    ['queues', request.queues],
    ['depth', request.depth],
  ] as const) {
    if (value !== null && (nbd !== null || via === 'nbd')) {
      throw usageError(`cannot use --${option} with NBD: it is about ublk devices`, 'leave it out');
    }
  }
  return request;
}

function checkDevices(devices: readonly string[]): readonly string[] {
  return devices.map((device) => {
    const spec = parseDeviceSpec(device);
    if (spec.kind === 'array') {
      throw usageError(
        `cannot use --device '${device}': members are devices, not arrays`,
        'name each member with a --device of its own',
      );
    }
    // The server does not run in this directory.
    return formatDeviceSpec(absolutePaths(spec));
  });
}

/** What a running server answers, or null when there is none. */
async function askRunning(
  context: CommandContext,
  name: string,
  request: ExportRequest,
): Promise<ExportReply | null> {
  const path = stackPaths(context.directories.runDir, name).controlSocket;
  const timeoutMs = context.timeoutMs ?? TIMEOUT_MS_DEFAULT;
  const answer = await call(path, 'export', { ...request }, { name, timeoutMs });
  if (answer === null) return null;
  const reply = decodeExportReply(answer.result);
  if ('why' in reply) throw protocolError(name, reply.why);
  // A server of an older version takes no notice of what it does not know.
  if (request.tls !== null && !reply.value.address.startsWith('nbds')) {
    throw protocolError(name, `it does not know TLS, and serves ${reply.value.address} without`);
  }
  return reply.value;
}

/** Another command may be starting a server at the same moment: then that one is waited for. */
async function startOrJoin(context: CommandContext, options: ServeOptions): Promise<ExportReply> {
  const timeoutMs = context.timeoutMs ?? TIMEOUT_MS_DEFAULT;
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      return await startServer(options, timeoutMs);
    } catch (error) {
      const other = error instanceof BandstandError && error.code === 'BANDSTAND_STACK_RUNNING';
      if (!other || Date.now() > deadline) throw error;
    }
    await sleep(JOIN_RETRY_MS);
    const running = await askRunning(context, options.plan.name, options.requests[0]!);
    if (running !== null) return running;
  }
}

function alreadyRunning(name: string, reply: ExportReply): BandstandError {
  return new BandstandError('BANDSTAND_STACK_RUNNING', {
    message: `cannot serve ${name} in the foreground: a server of it runs already, at ${reply.address}`,
    hint: `end it first: bandstand stop ${name}`,
    details: { name, address: reply.address },
  });
}

function serveOptions(
  context: CommandContext,
  args: Arguments,
  name: string,
  request: ExportRequest,
  devices: readonly string[],
): ServeOptions {
  const { runDir, stateDir } = context.directories;
  const remembered = new StateStore(stateDir).load(name);
  if (remembered === null && devices.length === 0) {
    const otherwise = `name a device for each member: bandstand export ${name} --device PATH`;
    throw notFound(context.directories, name, otherwise);
  }
  return {
    plan: {
      name,
      uuid: remembered === null ? null : parseUuid(remembered.uuid),
      devices,
      remembered,
      degraded: args.flag('degraded'),
      cacheDevices: checkDevices(cacheDevices(args.list('cache'))),
      discardCache: args.flag('discard-cache'),
      discardBuffer: args.flag('discard-buffer'),
      readOnly: request.read_only,
    },
    requests: [request],
    runDir,
    stateDir,
    foreground: args.flag('foreground'),
    logsToFile: args.flag('monitor'),
    exitWithParent: args.flag('exit-with-parent'),
  };
}

function report(context: CommandContext, name: string, reply: ExportReply): CommandResult {
  for (const note of reply.notes) context.note(`${name}: ${note}`);
  if (!reply.started) context.detail(`${name} is exported already`);
  return result(name, reply);
}

function result(name: string, reply: ExportReply): CommandResult {
  const { kind, address, read_only, started } = reply;
  return {
    schema: 'bandstand.export/1',
    data: { name, kind, address, read_only, started },
    text: () => address,
    plain: () => [[address, kind, read_only ? 'read-only' : 'read-write']],
  };
}

/** Runs the server in this process; prints the address when it can be used. */
async function stay(
  context: CommandContext,
  args: Arguments,
  options: ServeOptions,
): Promise<CommandResult> {
  const { serve } = await import('../serve.ts');
  const { stderr, stdout } = context.streams;
  const { name } = options.plan;
  // The server goes on when nobody reads its output any more.
  for (const stream of [stdout, stderr]) stream.removeAllListeners('error').on('error', () => {});
  const monitor = args.flag('monitor') ? new ForegroundMonitor(context, args, name) : null;
  let exitStatus: number;
  try {
    exitStatus = await serve(options, (reply) => {
      const print = (): void => printReady(context, name, reply);
      if (monitor === null) print();
      else monitor.ready(print);
    });
  } finally {
    await monitor?.end();
  }
  return {
    schema: 'bandstand.export/1',
    data: null,
    text: () => '',
    plain: () => [],
    silent: true,
    exitStatus,
  };
}

function printReady(context: CommandContext, name: string, reply: ExportReply): void {
  const { stdout } = context.streams;
  for (const note of reply.notes) context.note(`${name}: ${note}`);
  const { data, schema } = result(name, reply);
  if (!context.json) {
    stdout.write(`${reply.address}\n`);
    return;
  }
  const document = { schema, generated_at: new Date().toISOString(), data };
  stdout.write(`${JSON.stringify(document)}\n`);
}
