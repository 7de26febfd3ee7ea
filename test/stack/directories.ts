import test from 'ava';
import {
  checkSocketPath,
  chooseDirectories,
  readableDirectories,
  stackPaths,
} from '../../src/stack/directories.ts';
import { nameDefect } from '../../src/stack/stack-name.ts';

test('root has the directories of the system', (t) => {
  t.deepEqual(chooseDirectories({}, {}, 0), {
    runDir: '/run/bandstand',
    stateDir: '/var/lib/bandstand',
    automatic: true,
  });
});

test('others have their own, and read the directories of the system, too', (t) => {
  const own = chooseDirectories({}, { XDG_RUNTIME_DIR: '/run/user/7', XDG_STATE_HOME: '/h/s' }, 7);
  t.deepEqual(own, {
    runDir: '/run/user/7/bandstand',
    stateDir: '/h/s/bandstand',
    automatic: true,
  });
  t.deepEqual(
    readableDirectories(own).map(({ runDir }) => runDir),
    ['/run/user/7/bandstand', '/run/bandstand'],
  );
});

test('options win over the environment, and then nothing else is read', (t) => {
  const environment = { BANDSTAND_RUN_DIR: '/e/run', BANDSTAND_STATE_DIR: '/e/state' };
  t.is(chooseDirectories({}, environment, 0).runDir, '/e/run');
  const chosen = chooseDirectories({ runDir: '/o/run', stateDir: '/o/state' }, environment, 7);
  t.deepEqual(chosen, { runDir: '/o/run', stateDir: '/o/state', automatic: false });
  t.is(readableDirectories(chosen).length, 1);
});

test('a name of 63 bytes fits the sockets of the default directory', (t) => {
  const { controlSocket, statusSocket } = stackPaths('/run/bandstand', 'n'.repeat(63));
  t.notThrows(() => checkSocketPath(controlSocket));
  t.notThrows(() => checkSocketPath(statusSocket));
  t.throws(() => checkSocketPath(`/${'d'.repeat(107)}`), {
    code: 'BANDSTAND_DIRECTORY_UNUSABLE',
    message: /its path has 108 bytes, the kernel allows 107$/,
  });
});

test('names are safe in paths, URIs and on terminals', (t) => {
  for (const name of ['tank', '007', '1e3', 'a.b-c_d:e', 'N'.repeat(63)])
    t.is(nameDefect(name), null);
  const defects: Record<string, string> = {
    '': 'it is empty',
    [`${'n'.repeat(64)}`]: 'it has 64 bytes, at most 63 are possible',
    ['ä'.repeat(32)]: 'it has 64 bytes, at most 63 are possible',
    '-rf': 'it starts with a dash',
    '.': 'it starts with a dot',
    '..': 'it starts with a dot',
    'a/b': 'it contains a slash',
    'a b': 'it contains a blank',
    'a\nb': 'it contains a control character',
    'a\u001b[2J': 'it contains a control character',
    'a?b': "it contains '?'",
    é: "it contains 'é'",
    '💾': "it contains '💾'",
  };
  for (const [name, why] of Object.entries(defects)) t.is(nameDefect(name), why);
});
