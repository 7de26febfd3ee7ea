/**
 * Keys: one table, from which the help and the bottom line are made.               (user interface)
 *
 * The monitor changes nothing: what has to be done is a command, which `y` copies. A letter and the
 * same letter in upper case are different keys; there are no sequences of keys.
 */

export type Action =
  | 'quit'
  | 'help'
  | 'back'
  | 'up'
  | 'down'
  | 'first'
  | 'last'
  | 'pane'
  | 'pane-before'
  | 'details'
  | 'expand'
  | 'freeze'
  | 'filter'
  | 'warning'
  | 'warning-newer'
  | 'faster'
  | 'slower'
  | 'copy'
  | 'stack-next'
  | 'redraw'
  | 'suspend';

export interface KeySpec {
  readonly action: Action;
  /** As `keyNames` has them. */
  readonly keys: readonly string[];
  /** How help shows them. */
  readonly shown: string;
  readonly meaning: string;
  /** The same where the server runs in the foreground of the terminal. */
  readonly withServer?: string;
  /** A word for the bottom line, where it has room: the first ones first. */
  readonly short?: string;
}

export const KEYS: readonly KeySpec[] = [
  {
    action: 'quit',
    keys: ['q', 'ctrl-c'],
    shown: 'q, Ctrl-C',
    meaning: 'leave the monitor; the stack keeps running',
    withServer: 'q leaves the monitor, Ctrl-C stops the stack',
    short: 'quit (the stack keeps running)',
  },
  { action: 'help', keys: ['?'], shown: '?', meaning: 'these keys', short: 'help' },
  {
    action: 'copy',
    keys: ['y'],
    shown: 'y',
    meaning: 'copy the command that is shown (OSC 52)',
    short: 'copy command',
  },
  {
    action: 'details',
    keys: ['enter'],
    shown: 'Enter',
    meaning: 'details of the member, or of the event',
    short: 'details',
  },
  { action: 'back', keys: ['escape'], shown: 'Esc', meaning: 'back; never quits' },
  {
    action: 'up',
    keys: ['up', 'k'],
    shown: 'Up, k',
    meaning: 'the row above',
  },
  { action: 'down', keys: ['down', 'j'], shown: 'Down, j', meaning: 'the row below' },
  { action: 'first', keys: ['g', 'home'], shown: 'g, Home', meaning: 'the first row' },
  { action: 'last', keys: ['G', 'end'], shown: 'G, End', meaning: 'the last row' },
  {
    action: 'pane',
    keys: ['tab'],
    shown: 'Tab',
    meaning: 'the next pane',
    short: 'pane',
  },
  { action: 'pane-before', keys: ['shift-tab'], shown: 'Shift-Tab', meaning: 'the pane before' },
  {
    action: 'expand',
    keys: ['e'],
    shown: 'e',
    meaning: 'this pane alone, or all of them',
    short: 'expand',
  },
  {
    action: 'freeze',
    keys: ['f'],
    shown: 'f',
    meaning: 'stand still, or go on',
    short: 'freeze',
  },
  {
    action: 'filter',
    keys: ['/'],
    shown: '/',
    meaning: 'show events with a word only; empty for all',
    short: 'filter',
  },
  { action: 'warning', keys: ['n'], shown: 'n', meaning: 'the warning or error before' },
  { action: 'warning-newer', keys: ['N'], shown: 'N', meaning: 'the one after' },
  { action: 'faster', keys: ['-'], shown: '-', meaning: 'look more often' },
  { action: 'slower', keys: ['+', '='], shown: '+', meaning: 'look less often' },
  { action: 'stack-next', keys: [']'], shown: '1-9, ]', meaning: 'another stack' },
  { action: 'redraw', keys: ['ctrl-l'], shown: 'Ctrl-L', meaning: 'draw everything again' },
  {
    action: 'suspend',
    keys: ['ctrl-z'],
    shown: 'Ctrl-Z',
    meaning: 'suspend; fg comes back',
    withServer: 'nothing: the stack would stand still',
  },
];

export function actionOf(name: string): Action | null {
  return KEYS.find(({ keys }) => keys.includes(name))?.action ?? null;
}

/** Of Ink's `useInput`. */
export interface InkKey {
  readonly upArrow: boolean;
  readonly downArrow: boolean;
  readonly home: boolean;
  readonly end: boolean;
  readonly return: boolean;
  readonly escape: boolean;
  readonly backspace: boolean;
  readonly delete: boolean;
  readonly tab: boolean;
  readonly shift: boolean;
  readonly ctrl: boolean;
}

/**
 * `up`, `ctrl-c`, `shift-tab`, or the characters that were typed: they may come several at a time.
 */
export function keyNames(input: string, key: InkKey): string[] {
  if (key.upArrow) return ['up'];
  if (key.downArrow) return ['down'];
  if (key.home) return ['home'];
  if (key.end) return ['end'];
  if (key.return) return ['enter'];
  if (key.escape) return ['escape'];
  if (key.backspace || key.delete) return ['backspace'];
  if (key.tab) return [key.shift ? 'shift-tab' : 'tab'];
  if (key.ctrl) return /^[a-z]$/.test(input) ? [`ctrl-${input}`] : [];
  return [...input].map(characterName).filter((name) => name !== '');
}

const NAMED: Readonly<Record<string, string>> = {
  '\r': 'enter',
  '\n': 'enter',
  '\t': 'tab',
  '\b': 'backspace',
  '\u007f': 'backspace',
  '\u001b': 'escape',
};

/** Keys that come together come as characters, also those that have names. */
function characterName(character: string): string {
  const named = NAMED[character];
  if (named !== undefined) return named;
  const code = character.codePointAt(0)!;
  if (code >= 0x20) return character;
  return code >= 1 && code <= 26 ? `ctrl-${String.fromCodePoint(code + 0x60)}` : '';
}
