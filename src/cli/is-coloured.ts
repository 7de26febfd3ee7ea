/**
 * Whether the monitor draws with colours, on its own and with a server.            (control plane)
 */

import type { Arguments } from './arguments.ts';

/** NO_COLOR is for whoever does not say otherwise. */
export function isColoured(args: Arguments): boolean {
  const when = args.text('color');
  if (when === 'always') return true;
  return when !== 'never' && (process.env['NO_COLOR'] ?? '') === '';
}
