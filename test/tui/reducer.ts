/** What looks and keys do to the state. */

import test from 'ava';
import type { StatusDocument } from '../../src/control/schema.ts';
import { commandToCopy, shellWord } from '../../src/tui/details.ts';
import { actionOf, KEYS, keyNames } from '../../src/tui/keys.ts';
import { chosenEvent, chosenRow, shownEvents } from '../../src/tui/moves.ts';
import type { MonitorEvent } from '../../src/tui/reducer.ts';
import { eventOf, statusOf } from '../_helpers/fake-stack.ts';
import { keys, LOOK_MS, rebuildStatus, stateOf } from '../_helpers/monitor-states.ts';

const look = (change: Partial<Extract<MonitorEvent, { kind: 'look' }>>): MonitorEvent => ({
  kind: 'look',
  generation: 0,
  atMs: LOOK_MS + 2000,
  status: rebuildStatus(),
  events: [],
  missed: 0,
  ...change,
});

test('no two actions have the same key, and Ctrl-C quits', (t) => {
  const all = KEYS.flatMap((spec) => spec.keys);
  t.is(new Set(all).size, all.length);
  t.is(actionOf('ctrl-c'), 'quit');
  t.is(actionOf('Q'), null, 'case matters');
});

test('what Ink tells of a key has one name', (t) => {
  const none = Object.fromEntries(
    [
      'upArrow',
      'downArrow',
      'home',
      'end',
      'return',
      'escape',
      'backspace',
      'delete',
      'tab',
      'shift',
      'ctrl',
    ].map((name) => [name, false]),
  ) as never as Parameters<typeof keyNames>[1];
  t.deepEqual(keyNames('q', none), ['q']);
  t.deepEqual(keyNames('nvme', none), ['n', 'v', 'm', 'e'], 'what is typed fast comes together');
  t.deepEqual(keyNames('\tg\rx\u007f\u0003\u0000', none), [
    'tab',
    'g',
    'enter',
    'x',
    'backspace',
    'ctrl-c',
  ]);
  t.deepEqual(keyNames('', { ...none, upArrow: true }), ['up']);
  t.deepEqual(keyNames('', { ...none, tab: true, shift: true }), ['shift-tab']);
  t.deepEqual(keyNames('c', { ...none, ctrl: true }), ['ctrl-c']);
  t.deepEqual(keyNames('\u0000', { ...none, ctrl: true }), []);
});

test('frozen, nothing moves; afterwards a gap says so', (t) => {
  const events = [eventOf(40)];
  const frozen = stateOf({ after: [...keys('f'), look({ events })] });
  t.is(frozen.look!.atMs, LOOK_MS);
  t.is(frozen.events.length, 3);
  const melted = stateOf({ after: [...keys('f'), look({ events }), ...keys('f')] });
  t.is(melted.events.at(-1), events[0], 'what has happened meanwhile is not lost');
  const again = stateOf({ after: [...keys('f', 'f'), look({})] });
  t.is(again.look!.atMs, LOOK_MS + 2000);
  t.is(again.samples.at(-2), null);
});

test('a server that ends is gone since then, until there is one', (t) => {
  const stopped = { ...statusOf('tank', { health: 'stopped' }), server: null };
  const gone = stateOf({
    after: [look({ status: stopped }), look({ status: stopped, atMs: LOOK_MS + 4000 })],
  });
  t.is(gone.goneSinceMs, LOOK_MS + 2000);
  t.is(gone.events.length, 3, 'what has happened stays');
  const back = stateOf({ after: [look({ status: stopped }), look({ atMs: LOOK_MS + 4000 })] });
  t.is(back.goneSinceMs, null);
  t.is(stateOf({ status: stopped }).goneSinceMs, null, 'one that was never there is not gone');
});

test('no answer is told since the first one that was missing', (t) => {
  const silence = (atMs: number): MonitorEvent => ({
    kind: 'silence',
    generation: 0,
    atMs,
    why: 'no',
  });
  const state = stateOf({ after: [silence(5), silence(6)] });
  t.deepEqual(state.silence, { why: 'no', sinceMs: 5 });
  t.is(stateOf({ after: [silence(5), look({})] }).silence, null);
});

test('another stack begins anew, and late answers about the first one are ignored', (t) => {
  const names = ['tank', 'vault'];
  const state = stateOf({ names, after: [...keys('2'), look({})] });
  t.is(state.chosen, 1);
  t.is(state.look, null);
  t.deepEqual(state.events, []);
  t.is(stateOf({ names, after: [...keys('2', '1'), look({})] }).look, null, 'nor one of before');
  t.is(stateOf({ names, after: keys(']', ']') }).chosen, 0);
  t.is(stateOf({ names, after: keys('3') }).chosen, 0, 'there is no third one');
});

test('the cursor begins where something is wrong, and stays among the members', (t) => {
  t.is(chosenRow(stateOf())!.device, '/dev/nvme5n1');
  t.is(chosenRow(stateOf({ after: keys('down') }))!.device, '/dev/nvme3n1');
  t.is(chosenRow(stateOf({ after: keys('g', 'up') }))!.device, '/dev/nvme0n1');
  t.is(chosenRow(stateOf({ after: keys('G', 'down') }))!.device, '/dev/nvme6n1');
  t.is(chosenRow(stateOf({ status: null })), null);
});

test('the log is walked from the newest event; what is looked at stays while others come', (t) => {
  const walked = stateOf({ after: keys('shift-tab', 'up') });
  t.is(chosenEvent(walked)!.sequence, 9);
  const later = stateOf({
    after: [...keys('shift-tab', 'up'), look({ events: [eventOf(40), eventOf(41)] })],
  });
  t.is(chosenEvent(later)!.sequence, 9);
  t.is(chosenEvent(stateOf({ after: keys('n') }))!.sequence, 2);
  t.is(chosenEvent(stateOf({ after: keys('n', 'N') }))!.sequence, 31);
});

test('a filter is typed, shows what has the word, and is given up with Escape', (t) => {
  const typed = stateOf({ after: keys('/', 'N', 'v', 'm', 'x', 'backspace', 'e', '5') });
  t.is(typed.typing, 'Nvme5');
  const found = stateOf({ after: keys('/', 'N', 'v', 'm', 'e', '5', 'enter') });
  t.deepEqual(
    shownEvents(found).map(({ sequence }) => sequence),
    [9],
  );
  t.is(stateOf({ after: keys('/', 'x', 'escape') }).filter, '');
  t.is(stateOf({ after: keys('/', 'x', 'enter', 'escape') }).filter, '', 'Escape shows all again');
  t.is(stateOf({ after: keys('/', 'q', '?') }).overlay, null, 'keys are text while one types');
});

test('Tab goes round the panes that have something to show', (t) => {
  const round = (status: StatusDocument, ...names: string[]) =>
    names.map((_, index) => stateOf({ status, after: keys(...names.slice(0, index + 1)) }).pane);
  const tabs = ['tab', 'tab', 'tab', 'tab', 'tab'];
  t.deepEqual(round(rebuildStatus(), ...tabs), ['activity', 'space', 'io', 'log', 'stack']);
  t.deepEqual(round(statusOf('tank'), 'tab', 'tab', 'tab'), ['io', 'log', 'stack']);
  t.deepEqual(round(statusOf('tank'), 'shift-tab'), ['log']);
});

test('the help is walked from its first row to its last', (t) => {
  t.is(stateOf({ after: keys('?', 'down', 'down', 'up') }).helpRow, 1);
  t.is(stateOf({ after: keys('?', 'G', 'down') }).helpRow, KEYS.length - 1);
  t.is(stateOf({ after: keys('?', 'down', 'escape', '?') }).helpRow, 0);
});

test('the interval has steps, and ends', (t) => {
  t.is(stateOf({ after: keys('-') }).intervalMs, 1000);
  t.is(stateOf({ after: keys('-', '-', '-', '-') }).intervalMs, 500);
  t.is(stateOf({ after: keys('+') }).intervalMs, 5000);
  t.is(stateOf({ after: keys('+', '+', '+') }).intervalMs, 10_000);
});

test('what is copied is the advice, or the likeliest command for what is shown', (t) => {
  t.is(commandToCopy(stateOf()), null);
  const advice = 'put a device in its place: bandstand member add tank DEVICE; soon';
  const status = rebuildStatus({ action: advice });
  t.is(commandToCopy(stateOf({ status })), 'bandstand member add tank DEVICE');
  const two = 'bandstand member remove tank a, then bandstand member add tank a; soon';
  t.is(
    commandToCopy(stateOf({ status: rebuildStatus({ action: two }) })),
    'bandstand member remove tank a && bandstand member add tank a',
  );
  t.is(
    commandToCopy(stateOf({ status, after: keys('g', 'enter') })),
    'bandstand member replace tank /dev/nvme0n1 NEW',
  );
  t.is(
    commandToCopy(stateOf({ after: keys('enter') })),
    'bandstand rebuild tank --rate 200M',
    'of the member that is being filled',
  );
  t.is(
    commandToCopy(stateOf({ after: keys('n', 'enter') })),
    'bandstand member add tank DEVICE',
    'of the event',
  );
});

test('a command that a shell would take for something else is not copied', (t) => {
  const copied = (action: string) => commandToCopy(stateOf({ status: rebuildStatus({ action }) }));
  t.is(copied('x: bandstand member add tank $(reboot)'), null);
  t.is(copied('x: bandstand member add tank a\nreboot'), null);
  t.is(copied("x: bandstand member add tank 'a b'"), "bandstand member add tank 'a b'");
  t.is(copied("x: bandstand member add tank a' b"), null);
});

test('a word of a command is one word to a shell', (t) => {
  t.is(shellWord('/dev/sda'), '/dev/sda');
  t.is(shellWord('/srv/my disk'), "'/srv/my disk'");
  t.is(shellWord("a'b"), "'a'\\''b'");
  t.is(shellWord('$(reboot)'), "'$(reboot)'");
});
