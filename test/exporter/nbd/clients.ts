/**
 * The clients that people use, against a memory device over a real socket.
 */

import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import type { ExecutionContext } from 'ava';
import { MemoryDevice } from '../../../src/device/memory-device.ts';
import { pattern } from '../../_helpers/nbd-fixture.ts';
import { type NbdServer, serveNbd } from '../../_helpers/nbd-server.ts';
import { requires } from '../../_helpers/requires.ts';

const MIB = 2 ** 20;

async function run(program: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(program, args, {
    timeout: 60_000,
    maxBuffer: 2 ** 24,
  });
  return stdout;
}

/** Runs `body` against a fresh export of both block sizes; no client may be cut off. */
async function withServers(
  t: ExecutionContext,
  body: (server: NbdServer, blockBytes: number) => Promise<void>,
): Promise<void> {
  for (const blockBytes of [512, 4096]) {
    const device = new MemoryDevice('mem', { sizeBytes: 24 * MIB, blockBytes });
    const server = await serveNbd(device, { description: 'for clients' });
    await body(server, blockBytes);
    t.deepEqual(server.complaints, []);
    await server.stop();
  }
}

requires('nbdinfo')('nbdinfo shows the export as it is', async (t) => {
  await withServers(t, async (server, blockBytes) => {
    const [info] = JSON.parse(await run('nbdinfo', '--json', server.uri)).exports;
    t.is(info['export-size'], 24 * MIB);
    t.is(info.description, 'for clients');
    t.is(info.block_size_minimum, blockBytes);
    t.is(info.block_size_maximum, 32 * MIB);
    for (const can of ['flush', 'fua', 'multi_conn', 'trim', 'zero', 'df', 'cache', 'fast_zero']) {
      t.true(info[`can_${can}`], can);
    }
    t.deepEqual(info.contexts, ['base:allocation']);
    const list = JSON.parse(await run('nbdinfo', '--list', '--json', server.uri));
    t.is(list.exports[0]['export-name'], 'disk');
    t.regex(await run('nbdinfo', '--map', server.uri), /^\s*0\s+25165824\s+0\s+data\s*$/);
  });
});

requires('nbdcopy')('nbdcopy copies in and out, over several connections', async (t) => {
  await withServers(t, async (server) => {
    const from = path.join(server.folder, 'from');
    const to = path.join(server.folder, 'to');
    writeFileSync(from, pattern(24 * MIB, 4));
    await run('nbdcopy', '--connections=4', from, server.uri);
    await run('nbdcopy', '--connections=4', server.uri, to);
    t.true(readFileSync(to).equals(pattern(24 * MIB, 4)));
  });
});

requires('qemu-img')('qemu-img converts, compares and maps', async (t) => {
  await withServers(t, async (server) => {
    const file = path.join(server.folder, 'image');
    writeFileSync(file, Buffer.concat([pattern(20 * MIB, 6), Buffer.alloc(4 * MIB)]));
    await run('qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', file, server.uri);
    t.regex(
      await run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', file, server.uri),
      /identical/,
    );
    const map = JSON.parse(await run('qemu-img', 'map', '--output=json', '-f', 'raw', server.uri));
    t.is(map[0].start, 0);
  });
});

requires('qemu-io')(
  'qemu-io reads, writes, zeroes, discards and flushes, also parts of blocks',
  async (t) => {
    await withServers(t, async (server) => {
      const commands = [
        'write -P 5 0 64k',
        'write -P 7 512 512',
        'read -P 5 0 512',
        'read -P 7 512 512',
        'read -P 5 1024 63k',
        'write -f -P 8 1000 3000',
        'read -P 8 1000 3000',
        'write -z 1M 3M',
        'read -P 0 1M 3M',
        'write -z -u 100k 300k',
        'discard 8M 1M',
        'flush',
        'write -P 9 3M 20M',
        'read -P 9 3M 20M',
        'aio_write -P 1 0 1M',
        'aio_write -P 2 1M 1M',
        'aio_read 4M 4M',
        'aio_flush',
        'read -P 2 1M 1M',
      ];
      const output = await run(
        'qemu-io',
        '-f',
        'raw',
        ...commands.flatMap((command) => ['-c', command]),
        server.uri,
      );
      t.notRegex(output, /fail|error/i);
    });
  },
);

requires('fio with nbd')(
  'fio writes and verifies checksums with many requests in flight',
  async (t) => {
    await withServers(t, async (server) => {
      const output = await run(
        'fio',
        '--name=verify',
        '--ioengine=nbd',
        `--uri=${server.uri}`,
        '--rw=randwrite',
        '--bsrange=4k-64k',
        '--size=16m',
        '--iodepth=32',
        '--verify=crc32c',
        '--verify_state_save=0',
        '--output-format=json',
      );
      const [job] = JSON.parse(output.slice(output.indexOf('{'))).jobs;
      t.is(job.error, 0);
      t.true(job.read.total_ios > 0 && job.write.total_ios > 0);
    });
  },
);
