/** What goes to the terminal, byte for byte: only what has changed. */

import test from 'ava';
import fc from 'fast-check';
import { FrameWriter } from '../../src/tui/frame-writer.ts';
import { PaperTerminal } from '../_helpers/paper-terminal.ts';

function paper(columns: number, rows: number) {
  const terminal = new PaperTerminal(columns, rows);
  return { terminal, writer: new FrameWriter(terminal.write, () => terminal) };
}

test('only lines that changed are written, in one write', (t) => {
  const { terminal, writer } = paper(10, 4);
  writer.write('one\ntwo\nthree');
  t.deepEqual(terminal.lines, ['one', 'two', 'three', '']);
  writer.write('one\n2\nthree');
  t.deepEqual(terminal.lines, ['one', '2', 'three', '']);
  t.deepEqual([...terminal.touched], [1]);
  const before = terminal.writes.length;
  writer.write('one\n2\nthree');
  t.is(terminal.writes.length, before, 'the same frame writes nothing');
  t.is(terminal.modes.has('2026'), false, 'every update ends');
});

test('a frame that is shorter leaves nothing of the one before', (t) => {
  const { terminal, writer } = paper(10, 4);
  writer.write('one\ntwo\nthree\nfour');
  writer.write('1');
  t.deepEqual(terminal.lines, ['1', '', '', '']);
});

test('a full line is not followed by an erasure, which would take its last column', (t) => {
  const { terminal, writer } = paper(4, 2);
  writer.write('\u001b[31mabcd\u001b[39m\nxy');
  const written = terminal.writes.at(-1)!;
  writer.redraw();
  t.deepEqual(terminal.lines, ['abcd', 'xy']);
  t.is(terminal.writes.at(-1), written, 'a redraw is the whole frame again');
});

test('while it is paused nothing is written, and then all of the newest frame', (t) => {
  const { terminal, writer } = paper(10, 2);
  writer.write('one');
  writer.isPaused = true;
  writer.write('two');
  t.deepEqual(terminal.lines, ['one', '']);
  writer.isPaused = false;
  writer.redraw();
  t.deepEqual(terminal.lines, ['two', '']);
});

test('what somebody else has drawn is gone with the frame after it is forgotten', (t) => {
  const { terminal, writer } = paper(10, 3);
  writer.write('one\ntwo');
  terminal.write('\u001b[1;1Hgarbage\u001b[3;1Hmore');
  writer.forget();
  t.true(terminal.lines.includes('more'), 'not before it');
  writer.write('one\ntwo');
  t.deepEqual(terminal.lines, ['one', 'two', '']);
});

test('after any sequence of frames the screen is the last one', (t) => {
  const line = fc.string({ maxLength: 12 });
  // An empty write is the end of an application, and no frame.
  const frame = fc
    .array(line, { minLength: 1, maxLength: 6 })
    .filter((lines) => lines.join('\n') !== '');
  const frames = fc.array(frame, { minLength: 1 });
  fc.assert(
    fc.property(frames, (list) => {
      const { terminal, writer } = paper(12, 6);
      for (const lines of list) writer.write(lines.join('\n'));
      const last = list.at(-1)!.map((text) => text.trimEnd());
      t.deepEqual(terminal.lines.slice(0, last.length), last);
      t.true(terminal.lines.slice(last.length).every((text) => text === ''));
    }),
  );
});
