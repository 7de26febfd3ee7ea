/**
 * Names of stacks: what is safe in a file name, an NBD export name and a URI.       (control plane)
 */

import { BandstandError } from '../block/errors.ts';

export const NAME_BYTES_MAX = 63;

/** Throws BANDSTAND_USAGE when `name` cannot be the name of a stack. */
export function checkStackName(name: string): void {
  const why = nameDefect(name);
  if (why === null) return;
  throw new BandstandError('BANDSTAND_USAGE', {
    message: `cannot use the name '${name}': ${why}`,
    hint: 'choose 1 to 63 letters, digits, dots, dashes, underscores or colons, a letter or digit first',
    details: { name },
  });
}

/** Why `name` is no name of a stack, or null. */
export function nameDefect(name: string): string | null {
  const bytes = Buffer.byteLength(name);
  if (bytes === 0) return 'it is empty';
  if (bytes > NAME_BYTES_MAX)
    return `it has ${bytes} bytes, at most ${NAME_BYTES_MAX} are possible`;
  if (name.startsWith('-')) return 'it starts with a dash';
  if (name.startsWith('.')) return 'it starts with a dot';
  if (name.includes('/')) return 'it contains a slash';
  const bad = /[^A-Za-z0-9._:-]/u.exec(name);
  if (bad === null) return null;
  const code = bad[0].codePointAt(0)!;
  if (code < 0x20 || code === 0x7f) return 'it contains a control character';
  if (bad[0] === ' ') return 'it contains a blank';
  return `it contains '${bad[0]}'`;
}
