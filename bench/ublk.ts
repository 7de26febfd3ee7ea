/**
 * Serves a memory or null device as /dev/ublkbN while a command runs.
 *
 *     node --import=tsx bench/ublk.ts [OPTION…] -- COMMAND [ARGUMENT…]
 *     node --import=tsx bench/ublk.ts --features
 *
 * The command finds the path of the device in $UBLK_DEVICE and the server's pid in $UBLK_SERVER.
 * Options: --device mem|null, --size-mib N, --block-bytes 512|4096, --queues N, --depth N,
 * --max-io-kib N, --id N, --deadline-ms N, --poll-us N, --record (announce a volatile cache, print
 * what the kernel sent), --no-recovery. The exit status is the command's. Control commands are
 * sent from here, requests are served by a child process (bench/ublk-server.ts).
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { UblkControl } from '../src/exporter/ublk/control.ts';
import { ublkParamsFor } from '../src/exporter/ublk/control-params.ts';
import { blockDevicePath } from '../src/exporter/ublk/uapi.ts';
import { loadAddon } from '../src/native/load.ts';
import { makeDevice, type ServerOptions } from './ublk-device.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    features: { type: 'boolean', default: false },
    device: { type: 'string', default: 'mem' },
    'size-mib': { type: 'string', default: '256' },
    'block-bytes': { type: 'string', default: '4096' },
    queues: { type: 'string', default: '1' },
    depth: { type: 'string', default: '128' },
    'max-io-kib': { type: 'string', default: '256' },
    id: { type: 'string' },
    'deadline-ms': { type: 'string', default: '120000' },
    'poll-us': { type: 'string', default: '0' },
    record: { type: 'boolean', default: false },
    'no-recovery': { type: 'boolean', default: false },
  },
});

function startServer(options: ServerOptions): ChildProcess {
  const script = path.join(import.meta.dirname, 'ublk-server.ts');
  return spawn(process.execPath, [...process.execArgv, script, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/** Resolves at the server's first line; rejects when it ends before. */
function serverReady(server: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    createInterface(server.stdout!).on('line', (line) => {
      if (line === 'ready') resolve();
      else console.error(line);
    });
    server.once('exit', (code) => reject(new Error(`the server ended with status ${code}`)));
  });
}

async function run(command: readonly string[], environment: object): Promise<number> {
  const child = spawn(command[0]!, command.slice(1), {
    stdio: 'inherit',
    env: { ...process.env, ...environment },
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}

const control = await UblkControl.open({ native: loadAddon() });
try {
  if (values.features) {
    console.log(control.features.names.join(' '));
  } else {
    const shape = {
      device: values.device as ServerOptions['device'],
      sizeBytes: Number(values['size-mib']) * 2 ** 20,
      blockBytes: Number(values['block-bytes']),
      record: values.record,
    };
    const device = await control.add({
      id: values.id === undefined ? null : Number(values.id),
      queues: Number(values.queues),
      depth: Number(values.depth),
      maxIoBytes: Number(values['max-io-kib']) * 1024,
      userRecovery: !values['no-recovery'],
    });
    const { id, queues, depth, maxIoBytes } = device;
    try {
      const { geometry } = makeDevice(shape);
      await control.setParams(id, ublkParamsFor(geometry, { bufferBytes: maxIoBytes }));
      const server = startServer({
        ...shape,
        id,
        queues,
        depth,
        maxIoBytes,
        deadlineMs: Number(values['deadline-ms']),
        pollUs: Number(values['poll-us']),
      });
      const ended = once(server, 'exit');
      await serverReady(server);
      await control.start(id, server.pid!);
      process.exitCode = await run(positionals, {
        UBLK_DEVICE: blockDevicePath(id),
        UBLK_SERVER: String(server.pid),
      });
      await control.stop(id);
      await ended;
      await control.delete(id);
    } finally {
      await control.remove(id);
    }
  }
} finally {
  control.close();
}
