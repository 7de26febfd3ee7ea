/**
 * The version of the program, from package.json.                                    (control plane)
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../native/load.ts';

export function version(): string {
  const text = readFileSync(join(packageRoot(), 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
