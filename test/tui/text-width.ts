import test from 'ava';
import fc from 'fast-check';
import {
  cutEnd,
  cutStart,
  padEnd,
  padStart,
  textWidth,
  wrapWords,
} from '../../src/tui/text-width.ts';

const TEXT = fc.string({ unit: 'grapheme', maxLength: 40 });
const COLUMNS = fc.integer({ min: 0, max: 50 });

test('widths are those of a terminal', (t) => {
  const widths = { '': 0, sda1: 4, '│▸█': 3, é: 1, 'e\u0301': 1, 磁盘: 4, ｗ: 2, '💾': 2 };
  for (const [text, width] of Object.entries(widths)) t.is(textWidth(text), width, text);
});

test('what is cut fits, and is the text itself where that fits', (t) => {
  fc.assert(
    fc.property(TEXT, COLUMNS, (text, columns) => {
      for (const cut of [cutEnd, cutStart]) {
        const short = cut(text, columns, '…');
        t.true(textWidth(short) <= columns);
        if (textWidth(text) <= columns) t.is(short, text);
        else if (columns > 0) t.true(short.includes('…'));
      }
    }),
  );
  t.is(cutEnd('/dev/nvme0n1', 6, '…'), '/dev/…');
  t.is(cutStart('/dev/nvme0n1', 6, '…'), '…me0n1');
  t.is(cutStart('磁盘磁盘', 4, '~'), '~盘', 'half a character is none');
});

test('what is padded has at least the columns, and text that fits has exactly these', (t) => {
  fc.assert(
    fc.property(TEXT, COLUMNS, (text, columns) => {
      for (const pad of [padEnd, padStart]) {
        t.is(textWidth(pad(text, columns)), Math.max(columns, textWidth(text)));
      }
    }),
  );
});

test('words are wrapped at blanks, and those that are too long anywhere', (t) => {
  t.deepEqual(wrapWords('let the rebuild finish', 11), ['let the', 'rebuild', 'finish']);
  t.deepEqual(wrapWords('abcdefgh ij', 3), ['abc', 'def', 'gh', 'ij']);
  t.deepEqual(wrapWords('', 3), []);
  const words = fc.array(
    fc.string({ minLength: 1, maxLength: 9 }).map((word) => word.replaceAll(' ', '_')),
  );
  fc.assert(
    fc.property(words, fc.integer({ min: 2, max: 30 }), (list, columns) => {
      const lines = wrapWords(list.join(' '), columns);
      t.true(lines.every((line) => textWidth(line) <= columns));
      t.is(lines.join('').replaceAll(' ', ''), list.join(''), 'nothing is lost');
    }),
  );
});
