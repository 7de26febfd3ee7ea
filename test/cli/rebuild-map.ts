/** What is printed after a map has been made anew. */

import test from 'ava';
import { rebuiltText } from '../../src/cli/rebuild-map.ts';

const WARNING =
  '  blocks that were trimmed may show again with what they had: the units do not know all trims';

test('a map that was made anew is told with its warning, and with what is not as it was', (t) => {
  const map = { name: 'tank', usedBlocks: 1024, outdatedBlocks: 0, wrongBlocks: 0 };
  t.is(rebuiltText(map), `tank: the map is made anew; 1 024 blocks are in use\n${WARNING}`);
  t.deepEqual(
    rebuiltText({ ...map, outdatedBlocks: 1, wrongBlocks: 2 })
      .split('\n')
      .slice(1),
    [
      '  1 block had a newer copy that was never completed or has rotted; now the one before it counts',
      '  2 blocks are right nowhere: bandstand check tank names them',
      WARNING,
    ],
  );
});
