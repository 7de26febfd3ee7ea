/**
 * How many columns of a terminal a text takes.                                     (user interface)
 *
 * Nearly everything that is shown is ASCII, or one of our own glyphs, one column each; paths and
 * names may hold anything. Emoji that are joined from several are counted one by one: too wide is
 * cut off, too narrow would break the frame.
 */

const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
const NOTHING = /[\p{Mn}\p{Me}\p{Cf}]/u;
const ASCII = /^[\x20-\x7e]*$/;

export function textWidth(text: string): number {
  if (ASCII.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += characterWidth(character);
  return width;
}

function characterWidth(character: string): number {
  if (NOTHING.test(character)) return 0;
  return WIDE.test(character) ? 2 : 1;
}

/** The longest beginning that fits. */
export function headOf(text: string, columns: number): string {
  if (ASCII.test(text)) return text.slice(0, Math.max(0, columns));
  let width = 0;
  let head = '';
  for (const character of text) {
    width += characterWidth(character);
    if (width > columns) break;
    head += character;
  }
  return head;
}

/** The text, or as much of its beginning as fits with `ellipsis` after it. */
export function cutEnd(text: string, columns: number, ellipsis: string): string {
  if (textWidth(text) <= columns) return text;
  if (columns <= 0) return '';
  return headOf(text, columns - textWidth(ellipsis)) + headOf(ellipsis, columns);
}

/** The same of its end: what tells one path from another is there. */
export function cutStart(text: string, columns: number, ellipsis: string): string {
  if (textWidth(text) <= columns) return text;
  if (columns <= 0) return '';
  const characters = [...text];
  let tail = '';
  let left = columns - textWidth(ellipsis);
  for (const character of characters.reverse()) {
    left -= characterWidth(character);
    if (left < 0) break;
    tail = character + tail;
  }
  return headOf(ellipsis, columns) + tail;
}

export function padEnd(text: string, columns: number): string {
  return text + ' '.repeat(Math.max(0, columns - textWidth(text)));
}

export function padStart(text: string, columns: number): string {
  return ' '.repeat(Math.max(0, columns - textWidth(text))) + text;
}

/** Lines of at most so many columns, broken at blanks where there are some. */
export function wrapWords(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (textWidth(longer) <= columns) {
      line = longer;
      continue;
    }
    if (line !== '') lines.push(line);
    line = word;
    while (textWidth(line) > columns && columns > 0) {
      const head = headOf(line, columns);
      if (head === '') break;
      lines.push(head);
      line = line.slice(head.length);
    }
  }
  if (line !== '') lines.push(line);
  return lines;
}
