/**
 * What a server process loads before it knows what for.                             (control plane)
 *
 * The thread of the data path, and the helper process for ublk, take longer to load than to use. A
 * server that replaces another begins with both while that one still serves (docs/decisions/0029).
 */

import { DataPathThread } from '../stack/stack-host.ts';
import { UBLK_TIMEOUT_MS } from './choose-exporter.ts';
import { UblkProcess } from './ublk-process.ts';

export interface ServerParts {
  readonly thread: DataPathThread;
  /** One that has found the driver, or why it cannot; null: it is started when it is needed. */
  readonly helper: Promise<UblkProcess> | null;
}

export function serverParts(ublk: boolean): ServerParts {
  const helper = ublk ? UblkProcess.open(UBLK_TIMEOUT_MS) : null;
  // It is looked at by the first export.
  helper?.catch(() => {});
  return { thread: new DataPathThread(), helper };
}

/** Resolves when nothing is left to be loaded. Throws where the thread has ended. */
export async function partsLoaded({ thread, helper }: ServerParts): Promise<void> {
  await thread.loaded();
  await helper?.catch(() => {});
}

/** Ends what has not begun. */
export async function endParts({ thread, helper }: ServerParts): Promise<void> {
  closeHelper(helper);
  await thread.end();
}

export function closeHelper(helper: Promise<UblkProcess> | null): void {
  helper?.then(
    (one) => one.close(),
    () => {},
  );
}
