/**
 * Promises that fail without anybody waiting for them belong to the history that was being played:
 * an assertion inside the subject's own asynchronous work must not go unnoticed.
 */

const strays: unknown[] = [];
let watching = false;

export function watchStrays(): void {
  if (watching) return;
  watching = true;
  process.on('unhandledRejection', (reason) => {
    strays.push(reason);
  });
}

/** Lets Node report what has been left behind, and gives the first of it. */
export async function takeStray(): Promise<string | null> {
  await new Promise<void>((resolve) => setImmediate(resolve));
  const [first] = strays.splice(0);
  if (first === undefined) return null;
  return first instanceof Error ? (first.stack ?? first.message) : String(first);
}
