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

test('names that look like numbers stay names', async (t) => {
  for (const name of ['007', '1e3', '0x10', 'true', '1.0', 'NaN']) {
    const args = await parse(name, '0008', '2e1');
    t.is(args.positional('NAME'), name);
    t.deepEqual(args.many('DEVICE'), ['0008', '2e1']);
  }
});

test('a variadic positional keeps every value, wherever options stand', async (t) => {
  const args = await parse('tank', '/dev/a', '--erase', '/dev/x', '/dev/b', '--size=1K', '/dev/c');
  t.deepEqual(args.many('DEVICE'), ['/dev/a', '/dev/b', '/dev/c']);
  t.deepEqual(args.list('erase'), ['/dev/x']);
});

test('a list option takes one value each time', async (t) => {
  const args = await parse('tank', '--erase', 'a', '--erase', 'b', 'c');
  t.deepEqual(args.list('erase'), ['a', 'b']);
  t.deepEqual(args.many('DEVICE'), ['c']);
});

test('a scalar option that is given twice is refused, not overwritten', async (t) => {
  await t.throwsAsync(parse('tank', '--size', '1K', '--size', '2K'), {
    message: 'cannot use --size twice: it takes one value',
  });
});

test('words after -- are arguments, whatever they look like', async (t) => {
  const args = await parse('tank', '--json', '--', '--size', '-x');
  t.true(args.flag('json'));
  t.deepEqual(args.many('DEVICE'), ['--size', '-x']);
});

test('a flag does not swallow the word after it', async (t) => {
  const args = await parse('--json', 'true', '--ftl', 'false', '-q', 'true');
  t.true(args.flag('json'));
  t.is(args.choice('ftl'), true);
  t.is(args.positional('NAME'), 'true');
  t.deepEqual(args.many('DEVICE'), ['false', 'true']);
});

test('a flag with a value is refused', async (t) => {
  await t.throwsAsync(parse('tank', '--json=maybe'), {
    message: 'cannot use --json=maybe: --json takes no value',
  });
  await t.throwsAsync(parse('tank', '--no-json=true'), {
    message: 'cannot use --no-json=true: --json takes no value',
  });
});

test('a flag that may have a value has it or not', async (t) => {
  t.is((await parse('tank', '--watch')).choice('watch'), true);
  t.is((await parse('tank', '--watch=5s')).text('watch'), '5s');
  t.deepEqual((await parse('--watch', 'tank', 'x')).many('DEVICE'), ['x']);
  t.is((await parse('tank')).choice('watch'), null);
});

test('a negated flag is false, and a missing one is neither', async (t) => {
  t.is((await parse('tank', '--no-ftl')).choice('ftl'), false);
  t.is((await parse('tank', '--ftl')).choice('ftl'), true);
  t.is((await parse('tank')).choice('ftl'), null);
});

test('short flags can be joined', async (t) => {
  const args = await parse('tank', '-qjv');
  t.true(args.flag('quiet') && args.flag('json') && args.flag('verbose'));
  await t.throwsAsync(parse('tank', '-x'), { message: 'cannot use -x: there is no such option' });
});

test('an unknown option is refused with one suggestion', async (t) => {
  const error = await t.throwsAsync(parse('tank', '--sise', '1K'));
  t.is(error?.message, 'cannot use --sise: sample has no such option');
  t.is((error as unknown as { hint: string }).hint, 'did you mean --size?');
  const far = await t.throwsAsync(parse('tank', '--bogus'));
  t.is((far as unknown as { hint: string }).hint, 'see bandstand sample --help');
});

test('names of object properties are unknown options, too', async (t) => {
  for (const word of ['--constructor', '--__proto__', '--toString', '--a.b']) {
    await t.throwsAsync(parse('tank', `${word}=1`), { message: /has no such option$/ });
  }
});

test('an option without its value is refused', async (t) => {
  await t.throwsAsync(parse('tank', '--size'), { message: 'cannot use --size: it needs a value' });
  await t.throwsAsync(parse('tank', '--size='), {
    message: 'cannot use --size: its value is empty',
  });
  await t.throwsAsync(parse('tank', '--size', '--json'), {
    message: "cannot use --size: it needs a value, and '--json' looks like an option",
  });
});

test('missing and surplus arguments are named', async (t) => {
  await t.throwsAsync(parse(), { message: 'cannot sample: NAME is missing' });
  await t.throwsAsync(parse(''), { message: 'cannot sample: NAME is empty' });
  const fixed: Command = { ...COMMAND, positionals: COMMAND.positionals.slice(0, 1) };
  await t.throwsAsync(parseArguments(fixed, ['a', 'b']), {
    message: "cannot sample: 'b' is one argument too many",
  });
});

test('sizes, counts and durations are checked with their values', async (t) => {
  const args = await parse('tank', '--size', '4KB', '--count', '12x', '--timeout', 'soon');
  t.throws(() => args.sizeBytes('size'), { message: "cannot use --size '4KB': it is not a size" });
  t.throws(() => args.count('count', 1, 10), {
    message: "cannot use --count '12x': it has to be a whole number from 1 to 10",
  });
  t.throws(() => args.durationMs('timeout'), {
    message: "cannot use --timeout 'soon': it is not a duration",
  });
  const good = await parse('tank', '--size', '4KiB', '--count', '10', '--timeout', '2m');
  t.is(good.sizeBytes('size'), 4096);
  t.is(good.count('count', 1, 10), 10);
  t.is(good.durationMs('timeout'), 120_000);
});
