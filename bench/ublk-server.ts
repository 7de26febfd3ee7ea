/**
 * The server half of bench/ublk.ts: one device on one reactor, served by the real UblkExporter.
 *
 * `node --import=tsx bench/ublk-server.ts '{"id":0,"queues":1,…}'`. Prints `ready` when every tag
 * is fetched, serves until the kernel stops the device, then prints what it has seen as one line
 * of JSON. Which thread serves is of no importance here: the whole process is the reactor.
 */

import { writeSync } from 'node:fs';
import { UblkExporter } from '../src/exporter/ublk/ublk-exporter.ts';
import { loadAddon } from '../src/native/load.ts';
import { RingReactor } from '../src/reactor/ring-reactor.ts';
import { makeDevice, RecordingDevice, type ServerOptions } from './ublk-device.ts';

async function serve(options: ServerOptions): Promise<void> {
  const native = loadAddon();
  const bufferBytes = options.queues * options.depth * options.maxIoBytes;
  const reactor = RingReactor.create({
    native,
    arenaBytes: bufferBytes + 4 * 2 ** 20,
    pollUs: options.pollUs,
  });
  const device = makeDevice(options);
  await reactor.drive(device.open(reactor));
  const exporter = new UblkExporter({
    id: options.id,
    queues: options.queues,
    depth: options.depth,
    maxIoBytes: options.maxIoBytes,
    deadlineMs: options.deadlineMs,
    observer: {
      deviceStopped: () => reactor.stop(),
      queueFailed: (error) => {
        throw error;
      },
      requestsTimedOut: (count) => writeSync(2, `${count} requests timed out\n`),
    },
  });
  await reactor.drive(exporter.start(reactor, device));
  writeSync(1, 'ready\n');
  const before = process.cpuUsage();
  const turnsBefore = reactor.stats.turns;
  await reactor.run();
  const { user, system } = process.cpuUsage(before);
  const turns = reactor.stats.turns - turnsBefore;
  await reactor.drive(exporter.stop());
  await reactor.drive(device.close());
  const seen = device instanceof RecordingDevice ? device.seen : {};
  writeSync(1, `${JSON.stringify({ seen, user_us: user, system_us: system, turns })}\n`);
  await reactor.close();
}

await serve(JSON.parse(process.argv[2]!) as ServerOptions);
