/**
 * How `npm run test:long` runs the test files that `npm test` leaves out because of their length.
 */

import compiled, { LONG } from './ava.compiled.config.js';

export default { ...compiled, files: LONG };
