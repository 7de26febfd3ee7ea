/**
 * Refuses to take away a block device that somebody uses, and names who.            (control plane)
 *
 * Runs in the command's process, because the server has a mount namespace of its own and does not
 * see later mounts. NBD clients are not asked for: their connections end with an error that NBD
 * clients have to expect.
 */

import { existsSync } from 'node:fs';
import { BandstandError } from '../block/errors.ts';
import type { ExportStatus } from '../control/schema.ts';
import { identifyDevice, openersOf, usageOf } from '../stack/device-usage.ts';

/** `insist`: what does it nevertheless. Throws BANDSTAND_STACK_IN_USE. */
export function refuseInUse(
  verb: 'stop' | 'unexport' | 'export',
  name: string,
  exports: readonly Pick<ExportStatus, 'kind' | 'address'>[],
  serverPid: number | undefined,
  insist = '--stop-in-use',
): void {
  for (const one of exports) {
    if (one.kind !== 'ublk' || !existsSync(one.address)) continue;
    const usage = usageOf(identifyDevice(one.address)) ?? openText(one.address, serverPid);
    if (usage === null) continue;
    throw new BandstandError('BANDSTAND_STACK_IN_USE', {
      message: `cannot ${verb} ${name}: ${one.address} is ${usage}`,
      hint: `${usage.startsWith('mounted') ? 'unmount it' : 'end that use'} first; ${insist} makes pending and later I/O fail`,
      details: { name, device: one.address, usage },
    });
  }
}

function openText(path: string, serverPid: number | undefined): string | null {
  const ignored = serverPid === undefined ? [process.pid] : [process.pid, serverPid];
  const openers = openersOf(path, ignored);
  return openers.length === 0 ? null : `open by ${openers.join(', ')}`;
}
