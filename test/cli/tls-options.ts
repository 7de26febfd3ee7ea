import path from 'node:path';
import test from 'ava';
import { parseArguments } from '../../src/cli/arguments.ts';
import { exportCommand } from '../../src/cli/commands/export.ts';
import { parseListen } from '../../src/cli/listen-address.ts';
import { nbdAccess } from '../../src/cli/tls-options.ts';

async function access(listen: string | null, ...words: readonly string[]) {
  const args = await parseArguments(exportCommand, ['tank', ...words]);
  return nbdAccess(args, listen === null ? null : parseListen(listen));
}

test('files are named absolutely, because the server runs elsewhere', async (t) => {
  const cert = path.resolve('a.pem');
  const key = path.resolve('a.key');
  t.deepEqual(await access('tcp:0.0.0.0:10809', '--tls-cert', 'a.pem', '--tls-key', 'a.key'), {
    tls: { kind: 'certificate', certificate: cert, key, client_authority: null },
    insecure: false,
  });
  t.deepEqual((await access(null, '--tls-cert', cert, '--tls-key', key, '--tls-ca', 'ca')).tls, {
    kind: 'certificate',
    certificate: cert,
    key,
    client_authority: path.resolve('ca'),
  });
  t.deepEqual(await access('tcp:[::]:1', '--tls-psk', 'keys'), {
    tls: { kind: 'psk', keys: path.resolve('keys') },
    insecure: false,
  });
});

test('other machines get in by TLS, or because the user insists', async (t) => {
  for (const listen of ['tcp:0.0.0.0:10809', 'tcp:192.0.2.1:1', 'tcp:[::]:1']) {
    await t.throwsAsync(access(listen), {
      code: 'BANDSTAND_USAGE',
      message: /everyone who can reach/,
    });
    t.deepEqual(await access(listen, '--insecure'), { tls: null, insecure: true });
  }
  for (const listen of [null, 'unix:/run/x', 'tcp:127.0.0.1:1', 'tcp:[::1]:1']) {
    t.deepEqual(await access(listen), { tls: null, insecure: false });
    await t.throwsAsync(access(listen, '--insecure'), { message: /^cannot use --insecure here: / });
  }
});

test('options that contradict each other, or lack another, are refused', async (t) => {
  const at = 'tcp:127.0.0.1:1';
  for (const [words, message] of [
    [['--tls-cert', 'a'], /^cannot use TLS without --tls-key: /],
    [['--tls-key', 'a'], /^cannot use TLS without --tls-cert: /],
    [['--tls-ca', 'a'], /^cannot use TLS without --tls-cert: /],
    [['--tls-psk', 'a', '--tls-ca', 'b'], /^cannot use --tls-psk with --tls-ca: /],
    [['--tls-psk', 'a', '--tls-cert', 'b'], /^cannot use --tls-psk with --tls-cert: /],
    [['--tls-psk', 'a', '--insecure'], /^cannot use --insecure with TLS: /],
  ] as const) {
    await t.throwsAsync(access(at, ...words), { code: 'BANDSTAND_USAGE', message });
  }
});
