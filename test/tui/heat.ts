import test from 'ava';
import fc from 'fast-check';
import { GLYPHS } from '../../src/tui/glyphs.ts';
import { heatLine, joinCells, lettersPerCell, ringLine } from '../../src/tui/heat.ts';
import { lineText, lineWidth } from '../../src/tui/spans.ts';

test('neighbours that share a cell show the worst, else their mean', (t) => {
  t.is(joinCells('9O', 1), 'O');
  t.is(joinCells('OG', 1), 'G');
  t.is(joinCells('G!', 1), '!');
  t.is(joinCells('91', 1), '5');
  t.is(joinCells('9.', 1), '4');
  t.is(joinCells('..', 1), '.');
  t.is(joinCells('M.', 1), '.');
  t.is(joinCells('MM', 1), 'M');
  t.is(joinCells('M9', 1), '9');
  t.is(joinCells('0123', 4), '0123');
});

test('a strip has all bands, in order, and fits', (t) => {
  const letters = fc.constantFrom(...'0123456789.OG!M');
  fc.assert(
    fc.property(
      fc.array(letters, { maxLength: 512 }),
      fc.integer({ min: 1, max: 200 }),
      (list, columns) => {
        const cells = list.join('');
        const per = lettersPerCell(cells, columns);
        t.is(lineWidth(heatLine(cells, columns, GLYPHS.unicode)), Math.ceil(cells.length / per));
        t.true(Math.ceil(cells.length / per) <= columns);
      },
    ),
  );
  t.is(lineText(heatLine('M9630.OG!', 20, GLYPHS.unicode)), 'M█▓▒░·OG!');
});

/** A ring of ten blocks in ten cells: its head, how much is in use, how much of that only here. */
function ring(head: number, used: number, undrained: number, count = 10, columns = 10): string {
  const document = {
    first_block: 2,
    block_count: count,
    tail_block: 2,
    drained_block: 2,
    head_block: 2 + head,
  };
  return lineText(ringLine(document, { used, undrained }, columns, GLYPHS.unicode));
}

test('the ring shows what is in use up to its head, and round its end', (t) => {
  t.is(ring(0, 0, 0), '▸·········');
  t.is(ring(5, 5, 5), '█████▸····');
  t.is(ring(5, 5, 2), '▒▒▒██▸····');
  t.is(ring(5, 3, 0), '··▒▒▒▸····');
  t.is(ring(2, 6, 3), '██▸···▒▒▒█');
  t.is(ring(2, 6, 1), '▒█▸···▒▒▒▒');
  t.is(ring(3, 10, 10), '███▸██████', 'full: the head shows all the same');
  t.is(ring(0, 10, 1), '▸▒▒▒▒▒▒▒▒█');
});

test('where blocks share a cell, what only the ring has is not hidden by what is drained', (t) => {
  t.is(ring(60, 60, 11, 100), '▒▒▒▒██▸···');
  t.is(ring(0, 1, 1, 100), '▸········█');
});
