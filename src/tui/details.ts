/**
 * What Enter shows: a member or an event, and the commands that act on it.         (user interface)
 *
 * The monitor runs none of them: a storage tool should leave a history in the shell.
 */

import type { MonitorState } from './monitor-state.ts';
import { chosenEvent, chosenRow } from './moves.ts';
import type { Paint, PaneText } from './pane-text.ts';
import { type Line, lineOf, span } from './spans.ts';
import { padEnd, wrapWords } from './text-width.ts';
import { commandsIn, type StackView, stackView, type TreeRow } from './view.ts';

interface Command {
  readonly line: string;
  readonly meaning: string;
}

export function detailsPane(state: MonitorState, view: StackView, paint: Paint): PaneText {
  const row = state.pane === 'log' ? null : chosenRow(state);
  if (state.pane === 'log') return eventDetails(state, paint);
  if (row === null) {
    return { title: lineOf('details'), fixed: [lineOf('no member is known')], rows: [], at: 0 };
  }
  return memberDetails(row, view, paint);
}

/**
 * What `y` copies: of the member or the event that is shown, else what the advice for the stack
 * says. Several are joined, so that the next one runs only after the one before has worked.
 */
export function commandToCopy(state: MonitorState): string | null {
  if (state.look === null) return null;
  const commands = shownCommands(state, stackView(state.look.status));
  if (commands.length === 0 || !commands.every(isHarmless)) return null;
  return commands.join(' && ');
}

function shownCommands(state: MonitorState, view: StackView): readonly string[] {
  if (state.overlay !== 'details') return view.commands;
  if (state.pane === 'log') return commandsIn(chosenEvent(state)?.action ?? null);
  const row = chosenRow(state);
  const [first] = row === null ? [] : memberCommands(row, view.name);
  return first === undefined ? [] : [first.line];
}

/**
 * A path can hold anything, and what is pasted is obeyed: only what a shell takes as it stands, or
 * quoted, is copied.
 */
function isHarmless(command: string): boolean {
  return /^(?:[\w@%+=:,./ -]|'[\x20-\x26\x28-\x7e]*')+$/.test(command);
}

/** As a shell takes it for one word. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** What can be done with a member in its state; the first one is the likeliest. */
function memberCommands(row: TreeRow, name: string): Command[] {
  const { device, member, ofCache } = row;
  if (member === null) return [];
  const option = ofCache ? ' --cache' : '';
  const which = device === null || device === '-' ? slotName(row) : shellWord(device);
  const add = { line: `bandstand member add ${name} DEVICE${option}`, meaning: 'fill its slot' };
  const remove = { line: `bandstand member remove ${name} ${which}`, meaning: 'let go of it' };
  const examine = { line: `bandstand examine ${which}`, meaning: 'what is on it' };
  switch (member.health) {
    case 'ok':
      return [
        { line: `bandstand member replace ${name} ${which} NEW`, meaning: 'copy it, then let go' },
        { line: `bandstand member fail ${name} ${which}`, meaning: 'take it out of service' },
        examine,
      ];
    case 'rebuilding':
      return [
        { line: `bandstand rebuild ${name} --rate 200M${option}`, meaning: 'limit the rebuild' },
        { line: `bandstand rebuild ${name} --pause${option}`, meaning: 'stop it for now' },
        { line: `bandstand wait ${name} --for rebuild`, meaning: 'wait for its end' },
      ];
    case 'spare':
      return [remove, examine];
    case 'failed':
      return [add, remove, examine];
    default:
      return [add];
  }
}

function slotName({ member, ofCache }: TreeRow): string {
  return `${ofCache ? 'cache:' : ''}${member!.slot}`;
}

function memberDetails(row: TreeRow, view: StackView, paint: Paint): PaneText {
  const member = row.member!;
  const count = (value: number | null): string => (value === null ? 'not known' : String(value));
  const role = row.label === 'spare' || row.label === 'target' ? row.label : 'member';
  const facts: (readonly [string, string])[] = [
    ['device', member.device ?? 'not here'],
    ['role', member.slot === null ? role : `${role}, slot ${slotName(row)}`],
    ['health', row.health ?? member.health],
    ['UUID', member.uuid ?? 'not known'],
    ['read errors', count(member.read_errors)],
    ['write errors', count(member.write_errors)],
    ['repaired', `${count(member.repaired_blocks)} (blocks)`],
  ];
  const commands = memberCommands(row, view.name);
  return {
    title: lineOf(`${member.device ?? `slot ${member.slot}`}`),
    fixed: facts.flatMap((fact) => factLines(fact, paint)),
    rows: commandLines(commands),
    at: 0,
  };
}

function factLines([key, value]: readonly [string, string], { columns }: Paint): Line[] {
  const head = padEnd(key, 'write errors'.length + 2);
  const lines = wrapWords(value, Math.max(8, columns - head.length));
  return lines.map((line, index) =>
    lineOf(span(index === 0 ? head : ' '.repeat(head.length), 'dim'), line),
  );
}

function commandLines(commands: readonly Command[]): Line[] {
  const width = Math.max(0, ...commands.map(({ line }) => line.length));
  return commands.map(({ line, meaning }, index) =>
    lineOf(
      span(index === 0 ? 'y  ' : '   ', 'dim'),
      span(padEnd(line, width), 'strong'),
      span(`  ${meaning}`, 'dim'),
    ),
  );
}

function eventDetails(state: MonitorState, paint: Paint): PaneText {
  const event = chosenEvent(state);
  if (event === null) {
    return { title: lineOf('event'), fixed: [lineOf('nothing is chosen')], rows: [], at: 0 };
  }
  const facts: (readonly [string, string])[] = [
    ['what', event.message],
    ['when', event.time],
    ['severity', event.severity],
    ['reason', event.reason ?? 'none is told'],
    ['action', event.action ?? 'none'],
    ...Object.entries(event.details).map(
      ([key, value]) => [key.replaceAll('_', ' '), String(value ?? '-')] as const,
    ),
  ];
  const commands = commandsIn(event.action).map((line) => ({ line, meaning: 'what to do' }));
  return {
    title: lineOf(`event ${event.sequence}: ${event.kind}`),
    fixed: facts.flatMap((fact) => factLines(fact, paint)),
    rows: commandLines(commands),
    at: 0,
  };
}
