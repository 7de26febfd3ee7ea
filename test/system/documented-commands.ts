/**
 * Every command of README.md, and of the EXAMPLES of the manual, does what is shown.
 *
 * The documents themselves are read. A block runs in a folder that stands for the root of the file
 * system: /dev/sdb is a file there, and so are all devices. Where a document has a ublk device, an
 * NBD export takes its place. What is shown is compared with what is printed; UUIDs and times, and
 * where a block says so all numbers, count as equal. What cannot run here says why in SKIPPED.
 */

import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { bufferFile } from '../../src/stack/buffer-file.ts';
import {
  type DocumentedBlock,
  type DocumentedCommand,
  pageBlocks,
  readmeBlocks,
} from '../_helpers/documented-blocks.ts';
import { NbdClient } from '../_helpers/nbd-client.ts';
import { PROGRAM } from '../_helpers/repository.ts';
import { missing } from '../_helpers/requires.ts';
import { CliWorld } from '../_helpers/run-cli.ts';
import { noise } from '../_helpers/running-stack.ts';

interface Staging {
  /** Commands that make what the document takes for given. */
  readonly before?: readonly string[];
  /** It goes on where the block before it ended. */
  readonly continues?: true;
  /** Numbers and sizes are those of a larger or faster machine. */
  readonly numbers?: true;
  /** Words that mean something else here. */
  readonly words?: readonly (readonly [shown: string, here: string])[];
  readonly needs?: readonly string[];
  /** It is no command, but what is in this file. */
  readonly file?: string;
}

const PICTURE = 'a picture of a larger stack; the screens are compared in test/tui';
const BLOCK_DEVICE = 'needs ublk and a file system on it: test/vm/lifecycle.sh does the same';
const ORPHAN = 'needs a ublk device whose server was killed';
const FOLLOWS = 'goes on until it is interrupted';

const SKIPPED: Readonly<Record<string, string>> = {
  'README 1': 'stages of CI of their own',
  'README 4': PICTURE,
  'README 5': BLOCK_DEVICE,
  'README 6': 'needs systemd: test/system/services.ts',
  'bandstand.8 1': BLOCK_DEVICE,
  'doctor.8 1': 'its lines break elsewhere, because paths are longer here: test/system/doctor.ts',
  'doctor.8 2': `${ORPHAN}: test/vm/doctor.sh`,
  'events.8 1': 'needs a disk that fails: test/system/events.ts',
  'events.8 2': `${FOLLOWS}: test/system/events.ts`,
  'export.8 1': BLOCK_DEVICE,
  'export.8 4': 'the second machine is missing; over one: test/system/nbd-tls.ts',
  'export.8 5': 'the second machine is missing; over one: test/system/nbd-tls.ts',
  'features.8 1': 'shows another machine; the command is run by test/system/json-documents.ts',
  'list.8 2': `${ORPHAN}: test/vm/doctor.sh`,
  'metrics.8 3': `${FOLLOWS}: test/system/metrics-listener.ts`,
  'metrics.8 4': 'asks the one before: test/system/metrics-listener.ts',
  'monitor.8 1': PICTURE,
  'monitor.8 2': `${FOLLOWS}: test/system/monitor.ts`,
  'rebuild.8 1': 'needs disks that take an hour; its texts are in test/cli/member-commands.ts',
  'status.8 2': 'needs disks that take an hour; its texts are in test/cli/status-text.ts',
  'status.8 3': 'needs a cache that takes minutes; its texts are in test/cli/status-text.ts',
  'stop.8 1': BLOCK_DEVICE,
};

const MIRROR = [
  'truncate -s 64M /dev/sdb /dev/sdc /dev/sdd /dev/sde',
  'bandstand create tank --raid raid1 /dev/sdb /dev/sdc',
  'bandstand export tank --via nbd',
  'bandstand wait tank',
];
const PARITY = [
  'truncate -s 64M /dev/sdb /dev/sdc /dev/sdd',
  'truncate -s 8M /dev/nvme0n1 /dev/nvme1n1 /dev/nvme2n1',
];
const PARITY_ONLY = [
  ...PARITY,
  'bandstand create tank --raid raid5f --strip-size 32K /dev/sdb /dev/sdc /dev/sdd',
  'bandstand export tank --via nbd',
  'bandstand wait tank',
];
const EXPORTED_GIB_MIRROR = [
  'truncate -s 1G /dev/vda /dev/vdb',
  'bandstand create tank --raid raid1 /dev/vda /dev/vdb',
  'bandstand export tank --via nbd',
  'bandstand wait tank',
];
const SDC = [['tank sdc', 'tank /dev/sdc']] as const;

const STAGED: Readonly<Record<string, Staging>> = {
  'README 2': { before: ['truncate -s 1M data'], needs: ['nbdcopy'] },
  'README 3': { continues: true, needs: ['nbdcopy'] },
  'bench.8 1': { numbers: true },
  'bench.8 2': { before: ['truncate -s 1M disk3.img'] },
  'cache.8 1': { before: PARITY_ONLY, numbers: true },
  'check.8 1': {
    before: [...MIRROR, 'printf %032768d 1 | dd of=/dev/sdb bs=4096 seek=512 conv=notrunc'],
  },
  'check.8 2': { before: [...PARITY_ONLY, 'fill', 'rot 2'] },
  'check.8 3': { before: [...PARITY_ONLY, 'fill', 'bandstand stop tank', 'rot 1'], numbers: true },
  'completion.8 1': {
    before: [
      'mkdir -p /etc/bash_completion.d /etc/fish/completions',
      'mkdir -p /usr/local/share/zsh/site-functions',
    ],
  },
  'completion.8 2': {},
  'control.7 1': { before: MIRROR },
  'control.7 2': { before: MIRROR, file: 'ask.py', needs: ['python3', 'jq'] },
  'control.7 3': { continues: true },
  'create.8 1': { before: ['truncate -s 1G /dev/vda /dev/vdb'] },
  'create.8 2': {
    before: ['truncate -s 1G disk0.img disk1.img', 'mkfs.ext4 -q -L backup disk1.img'],
    needs: ['mkfs.ext4'],
  },
  'examine.8 1': {
    before: [...EXPORTED_GIB_MIRROR, 'bandstand stop tank', 'truncate -s 1G disk2.img'],
    numbers: true,
  },
  'export.8 2': { before: MIRROR.slice(0, 2) },
  'export.8 3': { before: MIRROR.slice(0, 2) },
  'export.8 6': { before: MIRROR.slice(0, 2) },
  'forget.8 1': {
    before: [
      'truncate -s 64M /dev/sdb /dev/sdc /dev/sdd /dev/sde',
      'bandstand create tank --raid raid1 /dev/sdb /dev/sdc',
      'rm /dev/sdb /dev/sdc',
    ],
  },
  'forget.8 2': {
    before: [
      'truncate -s 64M /dev/sdd /dev/sde',
      'bandstand create pool --raid raid1 /dev/sdd /dev/sde',
    ],
  },
  'list.8 1': { before: EXPORTED_GIB_MIRROR },
  'member.8 1': { before: [...MIRROR, 'bandstand member fail tank 1'] },
  'member.8 2': { before: [...MIRROR, 'bandstand member fail tank 1'], words: SDC },
  'member.8 3': { before: MIRROR, words: SDC },
  'member.8 4': { before: [...MIRROR, 'bandstand member fail tank 1'] },
  'member.8 5': {
    before: [
      ...PARITY,
      'bandstand create tank --raid raid5f --cache /dev/nvme0n1,/dev/nvme1n1 /dev/sd[bcd]',
      'bandstand export tank --via nbd',
      'bandstand wait tank',
      'bandstand member fail tank cache:1',
    ],
  },
  'metrics.8 1': { before: MIRROR },
  'metrics.8 2': { before: ['mkdir -p /var/lib/node_exporter'] },
  'rpc.8 1': { before: MIRROR, needs: ['jq'] },
  'rpc.8 2': { before: MIRROR, needs: ['jq'] },
  'rpc.8 3': { before: MIRROR, needs: ['jq'] },
  'status.8 1': { before: [...EXPORTED_GIB_MIRROR, 'fill'], numbers: true },
  'status.8 4': { before: MIRROR, needs: ['jq'] },
  'unexport.8 1': { before: MIRROR },
  'unexport.8 2': { continues: true },
  'upgrade.8 1': { before: MIRROR, numbers: true },
  'wait.8 1': { before: MIRROR },
  'wait.8 2': { before: MIRROR },
  'wipe.8 1': {
    before: [
      'truncate -s 16M disk2.img disk3.img',
      'bandstand create fast --raid raid0 disk2.img disk3.img',
    ],
  },
};

/** A block's folder, which stands for the root of the file system. */
class Stage extends CliWorld {
  readonly #t: ExecutionContext;
  readonly #runDir: string;
  readonly #port: number;
  readonly #environment: NodeJS.ProcessEnv;

  constructor(t: ExecutionContext, { runDir, port }: { runDir: string; port: number }) {
    super(t);
    this.#t = t;
    this.#runDir = this.path(runDir);
    this.#port = port;
    for (const name of ['dev', 'etc', 'srv/bin', 'run', 'var/lib', 'bin']) {
      mkdirSync(this.path(name), { recursive: true });
    }
    symlinkSync(PROGRAM, this.path('srv/bin/bandstand.js'));
    this.#program('bandstand', `exec '${process.execPath}' '${PROGRAM}' "$@"`);
    // They tell somebody, who is not here.
    this.#program('notify-send', 'exit 0');
    this.#program('mail', 'cat >/dev/null');
    this.#environment = {
      ...process.env,
      PATH: `${this.path('bin')}:${process.env['PATH']}:/usr/sbin:/sbin`,
      BANDSTAND_RUN_DIR: this.#runDir,
      BANDSTAND_STATE_DIR: this.path('var/lib/bandstand'),
    };
    t.teardown(() => this.#endServers());
  }

  #program(name: string, line: string): void {
    writeFileSync(this.path(`bin/${name}`), `#!/bin/sh\n${line}\n`);
    chmodSync(this.path(`bin/${name}`), 0o755);
  }

  #endServers(): void {
    const locks = readdirSync(this.#runDir).filter((name) => name.endsWith('.lock'));
    for (const lock of locks) {
      try {
        process.kill(Number(readFileSync(path.join(this.#runDir, lock), 'utf8')), 'SIGKILL');
      } catch {
        // It was stopped.
      }
      const name = lock.slice(0, -'.lock'.length);
      const buffer = bufferFile({ name, remembered: null }, this.#runDir);
      if (buffer !== null) rmSync(buffer.path, { force: true });
    }
  }

  /** A command of a document, in the words of this folder. */
  here(line: string, words: Staging['words'] = []): string {
    let text = line;
    for (const [shown, here] of words) text = text.replaceAll(shown, here);
    text = text.replaceAll('10809', String(this.#port));
    const absolute = /(?<![\w./-])\/(?=(?:dev\/(?!null)|etc\/|srv\/|run\/|var\/|usr\/local\/))/g;
    return text.replaceAll(absolute, `${this.folder}/`);
  }

  /** What was printed here, in the words of the document. */
  there(output: string): string {
    return output.replaceAll(this.folder, '').replaceAll(String(this.#port), '10809');
  }

  /** Runs commands in one shell; what each has printed on both streams. */
  async shell(lines: readonly string[]): Promise<string[]> {
    const script = lines.flatMap((line) => [line, 'status=$?; echo "@@@"; (exit $status)']);
    const { stdout } = await new Promise<{ stdout: string }>((resolve) => {
      const options = { cwd: this.path('srv'), env: this.#environment, timeout: 240_000 };
      const words = ['-c', `exec 2>&1\n${script.join('\n')}`];
      execFile('bash', words, options, (_error, out) => resolve({ stdout: out }));
    });
    return stdout.split('@@@\n').slice(0, -1);
  }

  /** One line of what comes before: a command, or what disks do by themselves. */
  async prepare(line: string): Promise<void> {
    const [verb, ...words] = line.split(' ');
    if (verb === 'fill') return await this.#fill();
    if (verb === 'rot') return this.#rot(Number(words[0]));
    const script = `set -o pipefail\n${this.here(line)}`;
    const options = { cwd: this.path('srv'), env: this.#environment, stdio: 'pipe' } as const;
    try {
      execFileSync('bash', ['-c', script], { ...options, timeout: 120_000 });
    } catch (error) {
      this.#t.fail(`${line}: ${(error as { stderr: Buffer }).stderr}`);
    }
  }

  /** I/O of all kinds. */
  async #fill(): Promise<void> {
    const socket = path.join(this.#runDir, 'tank.nbd');
    const client = await NbdClient.connectUnix(socket, { exportName: 'tank' });
    for (let at = 0; at < FILL_BYTES; at += PIECE_BYTES) {
      await client.write(at, CONTENT.subarray(at, at + PIECE_BYTES));
    }
    await client.flush();
    await client.read(0, PIECE_BYTES);
    await client.trim(FILL_BYTES, PIECE_BYTES);
    await client.disconnect();
  }

  /** Changes `count` blocks of what was filled, where they lie on a member. */
  #rot(count: number): void {
    let left = count;
    for (const name of ['sdb', 'sdc', 'sdd']) {
      const file = this.path(`dev/${name}`);
      const fd = openSync(file, 'r+');
      const all = readFileSync(file);
      for (let block = 100; left > 0 && block < FILL_BYTES / BLOCK_BYTES; block += 100) {
        const at = all.indexOf(CONTENT.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES));
        if (at === -1) continue;
        writeSync(fd, Buffer.alloc(BLOCK_BYTES, 0xa5), 0, BLOCK_BYTES, at);
        left -= 1;
      }
      closeSync(fd);
    }
    this.#t.is(left, 0, 'the blocks are found');
  }
}

const BLOCK_BYTES = 4096;
const PIECE_BYTES = 64 * 1024;
const FILL_BYTES = 4 * 2 ** 20;
const CONTENT = noise(FILL_BYTES, 34);

/** What counts as equal. Columns depend on the length of names, so blanks do, too. */
function alike(text: string, { numbers }: Staging): string {
  let plain = text
    .replaceAll(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'UUID')
    .replaceAll(/running \d.*/g, 'running TIME')
    // Here it may be over before somebody waits for it.
    .replaceAll(/no (?:check|rebuild) is running; the last one, [\d: -]+ UTC: /g, '')
    // In place of a ublk device.
    .replaceAll(/nbd\+unix:\/\/\/tank\?socket=\/run\/bandstand\/tank\.nbd/g, '/dev/ublkb0');
  if (numbers === true) {
    const unit = /(?<![\w/.])\d+(?:[ .]\d+)*(?: ?(?:%|[KMGT]iB|B|us|ms|s)(?:\/s)?)?(?![\w])/g;
    plain = plain.replaceAll(unit, 'N');
  }
  return plain
    .replaceAll(/[ \t]+/g, ' ')
    .replaceAll(/ *$/gm, '')
    .trim();
}

function check(
  t: ExecutionContext,
  stage: Stage,
  command: DocumentedCommand,
  printed: string,
  staging: Staging,
): void {
  if (command.output.length === 0) {
    t.notRegex(printed, /^bandstand: /m, command.line);
    return;
  }
  const shown = alike(command.output.join('\n'), staging);
  t.is(alike(stage.there(printed), staging), shown, command.line);
}

async function play(t: ExecutionContext, blocks: readonly DocumentedBlock[]): Promise<void> {
  const inReadme = blocks[0]!.name.startsWith('README');
  const runDir = inReadme ? 'run/user/1000/bandstand' : 'run/bandstand';
  const stage = new Stage(t, { runDir, port: await freePort() });
  mkdirSync(stage.path(runDir), { recursive: true });
  for (const { commands, name } of blocks) {
    const staging = STAGED[name]!;
    for (const line of staging.before ?? []) await stage.prepare(line);
    if (staging.file !== undefined) {
      writeFileSync(stage.path(`srv/${staging.file}`), commands[0]!.line);
      continue;
    }
    const lines = commands.map(({ line }) => stage.here(line, staging.words));
    const printed = await stage.shell(lines);
    t.is(printed.length, commands.length, `${name} runs to its end: ${printed.at(-1)}`);
    commands.forEach((command, index) => {
      check(t, stage, command, printed[index]!, staging);
    });
  }
}

const ALL = [...readmeBlocks(), ...pageBlocks()];

test('every block is run, or has a reason why not', (t) => {
  t.true(ALL.length > 40, 'they are found');
  const known = [...Object.keys(SKIPPED), ...Object.keys(STAGED)].sort();
  t.deepEqual(known, ALL.map(({ name }) => name).sort());
});

for (const block of ALL) {
  const { continues, needs = [] } = STAGED[block.name] ?? {};
  if (STAGED[block.name] === undefined || continues === true) continue;
  const after = ALL.slice(ALL.indexOf(block) + 1);
  const end = after.findIndex(({ name }) => STAGED[name]?.continues !== true);
  const group = [block, ...after.slice(0, end === -1 ? after.length : end)];
  const reason = missing('bash', ...needs);
  const title = `${group.map(({ name }) => name).join(', ')}: ${block.commands[0]!.line.split('\n')[0]}`;
  if (reason === null) test.serial(title, (t) => play(t, group));
  else test.skip(`${title} (skipped: ${reason})`, (t) => play(t, group));
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
