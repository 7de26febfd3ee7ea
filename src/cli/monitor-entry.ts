/**
 * Entry of the monitor that goes with a server in the foreground.                   (control plane)
 *
 * Draws on the terminal of the server, in a process of its own: what draws a screen is never in the
 * path of I/O. It is loaded while the server starts, and draws when it is told to. How it was left
 * is told at its end: Ctrl-C is for the server. When the server is gone, so is its reason.
 */

import { StackSource } from './monitor-source.ts';

/** What the server says: draw now. */
export interface MonitorOrder {
  readonly name: string;
  readonly runDir: string;
  readonly stateDir: string;
  readonly isColoured: boolean;
}

/** What is told at the end: which key it was. Nothing is told where it was a signal. */
export interface MonitorLeft {
  readonly left: 'quit' | 'interrupt';
}

const INTERVAL_MS = 2000;
/** A look that takes longer is shown as no answer. */
const LOOK_TIMEOUT_MS = 5000;

const giveUp = (): never => process.exit(0);

async function draw({ isColoured, name, runDir, stateDir }: MonitorOrder): Promise<void> {
  const { runMonitor } = await import('../tui/monitor.tsx');
  const { likelyGlyphs } = await import('../tui/glyphs.ts');
  const source = new StackSource({ runDir, stateDir, automatic: false }, LOOK_TIMEOUT_MS);
  process.removeListener('disconnect', giveUp);
  // The end of the server ends the monitor as a signal does: the terminal is given back.
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
  const { lastWords, leftBy } = await runMonitor(source, {
    names: [name],
    intervalMs: INTERVAL_MS,
    glyphs: likelyGlyphs(process.env),
    isColoured,
    streams: process,
    withServer: true,
  });
  if (leftBy === 'quit') process.stderr.write(`${lastWords}\n`);
  if (leftBy !== 'signal') await tell({ left: leftBy });
}

async function tell(message: MonitorLeft): Promise<void> {
  if (!process.connected) return;
  await new Promise<void>((resolve) => {
    process.send!(message, undefined, {}, () => resolve());
  });
}

process.once('disconnect', giveUp);
process.once('message', async (order) => {
  let status = 0;
  try {
    await draw(order as MonitorOrder);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    status = 1;
  }
  process.exit(status);
});
// It takes longer to load than a start takes.
await import('../tui/monitor.tsx');
