import test from 'ava';
import fc from 'fast-check';
import {
  barText,
  curveSamples,
  curveText,
  GLYPH_SETS,
  GLYPHS,
  likelyGlyphs,
} from '../../src/tui/glyphs.ts';
import { textWidth } from '../../src/tui/text-width.ts';

test('a bar is exact to an eighth of a cell, and full only when all is done', (t) => {
  const bar = (share: number): string => barText(share, 4, GLYPHS.unicode);
  t.is(bar(0), '····');
  t.is(bar(1 / 32), '▏···');
  t.is(bar(0.5), '██··');
  t.is(bar(0.9999), '███▉');
  t.is(bar(1), '████');
  t.is(bar(7), '████');
  t.is(bar(-1), '····');
  t.is(barText(0.5, 6, GLYPHS.ascii), '[##..]');
  t.is(barText(0.9999, 6, GLYPHS.ascii), '[###.]');
});

test('bars and curves are exactly as wide as asked, in every set', (t) => {
  const shares = fc.array(fc.option(fc.double({ min: 0, max: 1, noNaN: true })), { maxLength: 80 });
  fc.assert(
    fc.property(shares, fc.integer({ min: 0, max: 60 }), (values, columns) => {
      for (const set of GLYPH_SETS) {
        t.is(textWidth(curveText(values, columns, GLYPHS[set])), columns, set);
        t.is(textWidth(barText(values[0] ?? 0, columns, GLYPHS[set])), columns, set);
      }
    }),
  );
});

test('a curve has the newest at the right, a line for zero, and nothing for a gap', (t) => {
  t.is(curveText([0, 0.01, 0.5, 1, null, 0], 6, GLYPHS.unicode), '▁▂▅█ ▁');
  t.is(curveText([1, 0, 1], 2, GLYPHS.unicode), '▁█');
  t.is(curveText([1], 3, GLYPHS.ascii), '  @');
  t.is(curveText([0, 1, null, null], 2, GLYPHS.braille), '⣸ ');
  t.is(curveSamples(10, GLYPHS.braille), 20);
});

test('the set is chosen by what the terminal can show', (t) => {
  t.is(likelyGlyphs({ LANG: 'de_DE.UTF-8' }), 'unicode');
  t.is(likelyGlyphs({ LANG: 'C.utf8', TERM: 'xterm' }), 'unicode');
  t.is(likelyGlyphs({ LANG: 'C.UTF-8', TERM: 'linux' }), 'ascii');
  t.is(likelyGlyphs({ LANG: 'C.UTF-8', LC_ALL: 'C' }), 'ascii');
  t.is(likelyGlyphs({ LC_ALL: '', LANG: 'C.UTF-8' }), 'unicode');
  t.is(likelyGlyphs({}), 'ascii');
});

test('ASCII is what ascii is made of', (t) => {
  t.regex(JSON.stringify(GLYPHS.ascii), /^[\x20-\x7e]*$/);
});
