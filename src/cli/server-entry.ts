/**
 * Entry of a detached server process.                                               (control plane)
 *
 * The command that starts it sends the options over the IPC channel and gets one answer: ready, or
 * the error, which it shows as its own. Then the channel is closed and the server lives alone.
 */

import type { ExportReply, WireError } from '../control/schema.ts';
import { errorToWire } from '../stack/wire-error.ts';
import { type ServeOptions, serve } from './serve.ts';

export type ServerAnswer = { readonly ready: ExportReply } | { readonly error: WireError };

async function answer(message: ServerAnswer): Promise<void> {
  await new Promise<void>((resolve) => {
    if (!process.connected) resolve();
    else process.send!(message, undefined, {}, () => resolve());
  });
  if (process.connected) process.disconnect();
}

process.once('message', async (options) => {
  let status = 1;
  try {
    status = await serve(options as ServeOptions, (reply) => void answer({ ready: reply }));
  } catch (error) {
    await answer({ error: errorToWire(error) });
  }
  process.exit(status);
});
