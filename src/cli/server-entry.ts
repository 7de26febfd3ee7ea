/**
 * Entry of a detached server process.                                               (control plane)
 *
 * The command that starts it sends the options over the IPC channel and gets one answer: ready, or
 * the error, which it shows as its own. Then the channel is closed and the server lives alone.
 * Until the options arrive its parts are started, which load at the same time as they do; whoever
 * wants it to be quick later waits until they have.
 */

import type { ExportReply, WireError } from '../control/schema.ts';
import { errorToWire } from '../stack/wire-error.ts';
import { type ServeOptions, serve } from './serve.ts';
import { partsLoaded, serverParts } from './server-parts.ts';
import { WITH_UBLK } from './start-server.ts';
import { version } from './version.ts';

/** Sent before the options arrive: everything is loaded that has to be. */
export interface ServerLoaded {
  readonly loaded: string;
}
export type ServerAnswer = { readonly ready: ExportReply } | { readonly error: WireError };

const parts = serverParts(process.argv.includes(WITH_UBLK));

/** The command has ended before it sent options, and with it the reason for this process. */
const giveUp = (): never => process.exit(1);

async function answer(message: ServerAnswer): Promise<void> {
  await new Promise<void>((resolve) => {
    if (!process.connected) resolve();
    else process.send!(message, undefined, {}, () => resolve());
  });
  if (process.connected) process.disconnect();
}

process.once('disconnect', giveUp);
process.once('message', async (options) => {
  process.removeListener('disconnect', giveUp);
  let status = 1;
  try {
    const onReady = (ready: ExportReply): void => void answer({ ready });
    status = await serve(options as ServeOptions, onReady, parts);
  } catch (error) {
    await answer({ error: errorToWire(error) });
  }
  process.exit(status);
});

// A thread that has ended is told as what keeps the server from starting.
await partsLoaded(parts).catch(() => {});
const loaded: ServerLoaded = { loaded: version() };
if (process.connected) process.send?.(loaded);
