import test from 'ava';
import { parseArguments } from '../../src/cli/arguments.ts';
import type { Command } from '../../src/cli/command.ts';

const COMMAND: Command = {
  name: 'sample',
  summary: 'A command for tests.',
  positionals: [
    { name: 'NAME', required: true, many: false },
    { name: 'DEVICE', required: false, many: true },
  ],
  options: [
    { name: 'size', kind: 'text', value: 'SIZE', summary: 'a size' },
    { name: 'count', kind: 'text', value: 'N', summary: 'a number' },
    { name: 'erase', kind: 'list', value: 'DEV', summary: 'a list' },
    { name: 'ftl', kind: 'flag', shown: 'both', summary: 'a choice' },
    { name: 'watch', kind: 'flag', optionalValue: 'S', summary: 'a flag with a value' },
  ],
  examples: [],
  run: () => Promise.reject(new Error('not run here')),
};

const parse = (...words: string[]) => parseArguments(COMMAND, words);

test('names that look like numbers stay names', (t) => {
  for (const name of ['007', '1e3', '0x10', 'true', '1.0', 'NaN']) {
    const args = parse(name, '0008', '2e1');
    t.is(args.positional('NAME'), name);
    t.deepEqual(args.many('DEVICE'), ['0008', '2e1']);
  }
});

test('a variadic positional keeps every value, wherever options stand', (t) => {
  const args = parse('tank', '/dev/a', '--erase', '/dev/x', '/dev/b', '--size=1K', '/dev/c');
  t.deepEqual(args.many('DEVICE'), ['/dev/a', '/dev/b', '/dev/c']);
  t.deepEqual(args.list('erase'), ['/dev/x']);
});

test('a list option takes one value each time', (t) => {
  const args = parse('tank', '--erase', 'a', '--erase', 'b', 'c');
  t.deepEqual(args.list('erase'), ['a', 'b']);
  t.deepEqual(args.many('DEVICE'), ['c']);
});

test('a scalar option that is given twice is refused, not overwritten', (t) => {
  t.throws(() => parse('tank', '--size', '1K', '--size', '2K'), {
    message: 'cannot use --size twice: it takes one value',
  });
});

test('words after -- are arguments, whatever they look like', (t) => {
  const args = parse('tank', '--json', '--', '--size', '-x');
  t.true(args.flag('json'));
  t.deepEqual(args.many('DEVICE'), ['--size', '-x']);
});

test('a flag does not swallow the word after it', (t) => {
  const args = parse('--json', 'true', '--ftl', 'false', '-q', 'true');
  t.true(args.flag('json'));
  t.is(args.choice('ftl'), true);
  t.is(args.positional('NAME'), 'true');
  t.deepEqual(args.many('DEVICE'), ['false', 'true']);
});

test('a flag with a value is refused', (t) => {
  t.throws(() => parse('tank', '--json=maybe'), {
    message: 'cannot use --json=maybe: --json takes no value',
  });
  t.throws(() => parse('tank', '--no-json=true'), {
    message: 'cannot use --no-json=true: --json takes no value',
  });
});

test('a flag that may have a value has it or not', (t) => {
  t.is(parse('tank', '--watch').choice('watch'), true);
  t.is(parse('tank', '--watch=5s').text('watch'), '5s');
  t.deepEqual(parse('--watch', 'tank', 'x').many('DEVICE'), ['x']);
  t.is(parse('tank').choice('watch'), null);
});

test('a negated flag is false, and a missing one is neither', (t) => {
  t.is(parse('tank', '--no-ftl').choice('ftl'), false);
  t.is(parse('tank', '--ftl').choice('ftl'), true);
  t.is(parse('tank').choice('ftl'), null);
});

test('short flags can be joined', (t) => {
  const args = parse('tank', '-qjv');
  t.true(args.flag('quiet') && args.flag('json') && args.flag('verbose'));
  t.throws(() => parse('tank', '-x'), { message: 'cannot use -x: there is no such option' });
});

test('an unknown option is refused with one suggestion', (t) => {
  const error = t.throws(() => parse('tank', '--sise', '1K'));
  t.is(error?.message, 'cannot use --sise: sample has no such option');
  t.is((error as unknown as { hint: string }).hint, 'did you mean --size?');
  const far = t.throws(() => parse('tank', '--bogus'));
  t.is((far as unknown as { hint: string }).hint, 'see bandstand sample --help');
});

test('names of object properties are unknown options, too', (t) => {
  for (const word of ['--constructor', '--__proto__', '--toString', '--a.b']) {
    t.throws(() => parse('tank', `${word}=1`), { message: /has no such option$/ });
  }
});

test('an option without its value is refused', (t) => {
  t.throws(() => parse('tank', '--size'), { message: 'cannot use --size: it needs a value' });
  t.throws(() => parse('tank', '--size='), {
    message: 'cannot use --size: its value is empty',
  });
  t.throws(() => parse('tank', '--size', '--json'), {
    message: "cannot use --size: it needs a value, and '--json' looks like an option",
  });
});

test('missing and surplus arguments are named', (t) => {
  t.throws(() => parse(), { message: 'cannot sample: NAME is missing' });
  t.throws(() => parse(''), { message: 'cannot sample: NAME is empty' });
  const fixed: Command = { ...COMMAND, positionals: COMMAND.positionals.slice(0, 1) };
  t.throws(() => parseArguments(fixed, ['a', 'b']), {
    message: "cannot sample: 'b' is one argument too many",
  });
});

test('sizes, counts and durations are checked with their values', (t) => {
  const args = parse('tank', '--size', '4KB', '--count', '12x', '--timeout', 'soon');
  t.throws(() => args.sizeBytes('size'), { message: "cannot use --size '4KB': it is not a size" });
  t.throws(() => args.count('count', 1, 10), {
    message: "cannot use --count '12x': it has to be a whole number from 1 to 10",
  });
  t.throws(() => args.durationMs('timeout'), {
    message: "cannot use --timeout 'soon': it is not a duration",
  });
  const good = parse('tank', '--size', '4KiB', '--count', '10', '--timeout', '2m');
  t.is(good.sizeBytes('size'), 4096);
  t.is(good.count('count', 1, 10), 10);
  t.is(good.durationMs('timeout'), 120_000);
});
