/**
 * Serves one file over NBD until it is ended: the server side of bench/nbd.js, and of profiles.
 *
 *   node bench/nbd-server.js FILE SOCKET [POLL_US]      (FILE may be mem:MIB)
 *
 * Prints the URI when clients can connect.
 */

import { FileDevice } from '../dist/src/device/file-device.js';
import { MemoryDevice } from '../dist/src/device/memory-device.js';
import { NbdExporter } from '../dist/src/exporter/nbd/nbd-exporter.js';
import { loadAddon } from '../dist/src/native/load.js';
import { RingReactor } from '../dist/src/reactor/ring-reactor.js';

const [file, socket, pollUs = '0'] = process.argv.slice(2);
const reactor = RingReactor.create({
  native: loadAddon(),
  arenaBytes: 64 * 2 ** 20,
  pollUs: Number(pollUs),
});
const device = file.startsWith('mem:')
  ? new MemoryDevice(file, { sizeBytes: Number(file.slice(4)) * 2 ** 20 })
  : new FileDevice(file, { path: file });
const exporter = new NbdExporter({ name: 'bench', address: { unix: socket } });
await reactor.drive(device.open(reactor));
await reactor.drive(exporter.start(reactor, device));
console.log(exporter.describe().address);
await reactor.run();
