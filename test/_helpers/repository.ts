/**
 * Where things lie in this clone: a test runs from test/ under tsx, and from dist/test/ compiled.
 */

import path from 'node:path';
import { packageRoot } from '../../src/native/load.ts';

export const ROOT = packageRoot(import.meta.dirname);

/** The installed program; it runs what is in dist/program. */
export const PROGRAM = path.join(ROOT, 'bin', 'bandstand.js');
