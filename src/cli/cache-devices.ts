/**
 * The devices of an NV cache as a person names them: `A`, `A,B` or `A B`.          (control plane)
 *
 * A comma inside the parentheses of a device specification belongs to that.
 */

import { CACHE_DEVICES_MAX } from '../control/schema-members.ts';
import { usageError } from './arguments.ts';

/** `words`: the value of an option, or null; or several arguments. Throws BANDSTAND_USAGE. */
export function cacheDevices(words: string | null | readonly string[]): string[] {
  const texts = words === null ? [] : typeof words === 'string' ? [words] : words;
  const devices = texts.flatMap(splitDevices);
  const list = texts.join(' ');
  if (devices.includes('')) {
    throw usageError(
      `cannot use '${list}' as an NV cache: a device is missing beside a comma`,
      'write DEVICE for one, or DEVICE,DEVICE for a mirror of two',
    );
  }
  if (devices.length > CACHE_DEVICES_MAX) {
    throw usageError(
      `cannot use '${list}' as an NV cache: ${devices.length} devices are given`,
      'name one, or two that are to be mirrored',
    );
  }
  return devices;
}

function splitDevices(text: string): string[] {
  const devices = [''];
  let depth = 0;
  for (const character of text) {
    if (character === '(') depth += 1;
    else if (character === ')') depth -= 1;
    if (character === ',' && depth === 0) devices.push('');
    else devices[devices.length - 1] += character;
  }
  return devices;
}
