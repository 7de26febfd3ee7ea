/** The frame of the command line: verbs, help, streams, exit status, JSON errors. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import test from 'ava';
import { COMMANDS } from '../../src/cli/command-table.ts';
import { commandHelp, programHelp } from '../../src/cli/help.ts';
import { version } from '../../src/cli/version.ts';
import { PROGRAM } from '../_helpers/repository.ts';
import { type CliOutcome, CliWorld, printedError, runMain } from '../_helpers/run-cli.ts';

const LINES_MAX = 24;
const COLUMNS_MAX = 100;

for (const entry of COMMANDS) {
  test(`help of ${entry.name} starts with two examples and fits 24 lines`, async (t) => {
    const command = await entry.load();
    t.is(command.name, entry.name);
    t.is(command.examples.length, 2);
    const lines = commandHelp(command).split('\n');
    t.true(lines[0]!.startsWith('bandstand ') && lines[1]!.startsWith('bandstand '));
    t.true(lines.length <= LINES_MAX, `${lines.length} lines`);
    for (const line of lines) t.true(line.length <= COLUMNS_MAX, line);
    for (const words of [
      [entry.name, '-h'],
      ['--help', entry.name],
      ['help', entry.name],
    ]) {
      t.deepEqual(await runMain(words), { status: 0, stdout: `${lines.join('\n')}\n`, stderr: '' });
    }
  });
}

test('help of the program lists every verb', async (t) => {
  const help = programHelp(COMMANDS);
  for (const { name } of COMMANDS) t.regex(help, new RegExp(`^ {2}${name} `, 'm'));
  t.deepEqual(await runMain(['--help']), { status: 0, stdout: `${help}\n`, stderr: '' });
  t.deepEqual(await runMain([]), { status: 2, stdout: '', stderr: `${help}\n` });
});

test('--version prints the version and nothing else', async (t) => {
  for (const words of [['--version'], ['-V'], ['list', '--version']]) {
    t.deepEqual(await runMain(words), {
      status: 0,
      stdout: `bandstand ${version()}\n`,
      stderr: '',
    });
  }
});

test('a misspelt verb gets one suggestion', async (t) => {
  t.deepEqual(await runMain(['exprt', 'tank']), {
    status: 2,
    stdout: '',
    stderr: "bandstand: cannot do 'exprt': there is no such verb\n  did you mean export?\n",
  });
  t.deepEqual(await runMain(['telescope']), {
    status: 2,
    stdout: '',
    stderr: "bandstand: cannot do 'telescope': there is no such verb\n  see bandstand --help\n",
  });
});

test('with --json an error is one JSON line on stderr', async (t) => {
  const { status, stdout, stderr } = await runMain(['status', 'a/b', '--json', '--bogus']);
  t.is(status, 2);
  t.is(stdout, '');
  t.deepEqual(JSON.parse(stderr), {
    error: {
      code: 'BANDSTAND_USAGE',
      message: 'cannot use --bogus: status has no such option',
      hint: 'see bandstand status --help',
      details: {},
    },
  });
  t.is(stderr.split('\n').length, 2);
});

test('options may stand before the verb', async (t) => {
  const world = new CliWorld(t);
  const words = ['--run-dir', world.path('run'), '--json', '--state-dir', world.path('s'), 'list'];
  const { status, stdout } = await runMain(words);
  t.is(status, 0);
  t.deepEqual(JSON.parse(stdout).data, { stacks: [], orphans: [] });
  const verbAsValue = await runMain([
    '--run-dir',
    'status',
    '--state-dir',
    world.path('s'),
    'list',
  ]);
  t.is(verbAsValue.status, 0, verbAsValue.stderr);
});

test('an unknown stack is an error that names where was looked', async (t) => {
  const world = new CliWorld(t);
  const list = 'see which ones there are: bandstand list';
  const hints = {
    status: list,
    stop: list,
    export: 'name a device for each member: bandstand export tank --device PATH',
    unexport: list,
  };
  for (const [verb, hint] of Object.entries(hints)) {
    const { status, stdout, stderr } = await world.run(verb, 'tank');
    t.is(status, 1);
    t.is(stdout, '');
    t.is(
      stderr,
      `bandstand: cannot find a stack called tank: ${world.path('state')} does not know it\n` +
        `  ${hint}\n`,
    );
    const json = await world.run(verb, 'tank', '--json');
    t.is(printedError(json).code, 'BANDSTAND_STACK_NOT_FOUND');
  }
});

test('values of options are checked before anything else happens', async (t) => {
  const world = new CliWorld(t);
  const cases: readonly (readonly [words: string[], stderr: string])[] = [
    [
      ['export', 'tank', '--via', 'scsi'],
      "cannot use --via 'scsi': it has to be auto, ublk or nbd\n",
    ],
    [
      ['export', 'tank', '--nbd', 'tcp:0.0.0.0:10809'],
      'cannot listen at 0.0.0.0: everyone who can reach it could read and write the device\n  add --tls-cert and --tls-key, or --tls-psk; or insist with --insecure\n',
    ],
    [
      ['export', 'tank', '--tls-psk', 'keys'],
      'cannot use TLS with ublk: it is about NBD\n  add --nbd ADDRESS or --via nbd\n',
    ],
    [
      ['export', 'tank', '--via', 'nbd', '--insecure'],
      'cannot use --insecure here: only clients of this machine reach the server\n  leave it out, or listen at tcp:HOST:PORT with an address that others reach\n',
    ],
    [
      ['export', 'tank', '--nbd', '/tmp/x'],
      "cannot listen at '/tmp/x': it is no address\n  write unix:PATH or tcp:ADDRESS:PORT\n",
    ],
    [
      ['export', 'tank', '--via', 'ublk', '--nbd', 'unix:/tmp/x'],
      'cannot use --nbd with --via ublk\n  choose one of them\n',
    ],
    [
      ['export', 'tank', '--via', 'nbd', '--queues', '2'],
      'cannot use --queues with NBD: it is about ublk devices\n  leave it out\n',
    ],
    [
      ['export', 'tank', '--depth', '0'],
      "cannot use --depth '0': it has to be a whole number from 1 to 1024\n",
    ],
    [
      ['export', 'tank', '--queues', '64', '--depth', '64'],
      'cannot export with 4096 requests in flight: at most 2048 are possible\n  use fewer --queues or a smaller --depth\n',
    ],
    [
      ['export', 'tank', '--cache', 'ssd', '--discard-cache'],
      'cannot use --cache with --discard-cache\n  choose one of them\n',
    ],
    [
      ['export', 'tank', '--yes'],
      'cannot use --yes without --discard-cache: nothing else is lost by an export\n  leave it out\n',
    ],
    [
      ['export', 'tank', '--device', 'raid0(/a,/b)'],
      "cannot use --device 'raid0(/a,/b)': members are devices, not arrays\n  name each member with a --device of its own\n",
    ],
    [
      ['list', '--json', '--plain'],
      'cannot use --json and --plain together\n  choose one of them\n',
    ],
    [['list', '--timeout', 'soon'], "cannot use --timeout 'soon': it is not a duration\n"],
    [['status', '--watch=0'], 'cannot use --watch=0: it is not a duration of 0.1 s or more\n'],
  ];
  for (const [words, stderr] of cases) {
    const outcome = await world.run(...words);
    t.is(outcome.status, 2, words.join(' '));
    const text = words.includes('--json')
      ? `bandstand: ${JSON.parse(outcome.stderr).error.message}\n  ${JSON.parse(outcome.stderr).error.hint}\n`
      : outcome.stderr;
    t.true(text.startsWith(`bandstand: ${stderr}`), text);
  }
});

test('a reader that goes away ends the program quietly', async (t) => {
  const child = spawn(process.execPath, [PROGRAM, '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.destroy();
  let stderr = '';
  child.stderr.on('data', (text) => (stderr += text));
  const status = await new Promise((resolve) => child.once('close', resolve));
  t.is(status, 0);
  t.is(stderr, '');
});

test('an output that cannot be written is an error, in the way that was asked for', async (t) => {
  const full = openSync('/dev/full', 'w');
  t.teardown(() => closeSync(full));
  const run = async (...words: string[]): Promise<CliOutcome> => {
    const child = spawn(process.execPath, [PROGRAM, ...words], { stdio: ['ignore', full, 'pipe'] });
    const [stderr, [status]] = await Promise.all([text(child.stderr!), once(child, 'close')]);
    return { status: status as number, stdout: '', stderr };
  };
  const plain = await run('list', ...new CliWorld(t).directories);
  t.is(plain.status, 1);
  t.is(
    plain.stderr,
    'bandstand: cannot write to standard output: ENOSPC\n' +
      '  look whether the disk that it goes to is full\n',
  );
  const json = await run('features', '--json');
  t.is(json.status, 1);
  t.like(printedError(json), {
    code: 'BANDSTAND_OUTPUT',
    message: 'cannot write to standard output: ENOSPC',
  });
});
