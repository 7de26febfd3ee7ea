import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type ByteSource, findSignatures, recognise } from '../../src/stack/signatures.ts';
import { requires } from '../_helpers/requires.ts';

const MIB = 2 ** 20;

/** A sparse device: bytes at places, zeroes elsewhere. */
function source(
  parts: readonly (readonly [at: number, bytes: string | readonly number[]])[],
): ByteSource {
  const sizeBytes = 4 * MIB;
  const memory = Buffer.alloc(sizeBytes);
  for (const [at, bytes] of parts) {
    if (typeof bytes === 'string') memory.write(bytes, at, 'latin1');
    else Buffer.from(bytes).copy(memory, at);
  }
  return { sizeBytes, read: (at, bytes) => memory.subarray(at, Math.min(sizeBytes, at + bytes)) };
}

const END = 4 * MIB;
const MD = [0xfc, 0x4e, 0x2b, 0xa9];

const FORMATS: readonly (readonly [
  description: string,
  parts: readonly (readonly [number, string | readonly number[]])[],
])[] = [
  [
    'a RAID superblock "tank"',
    [
      [0, 'SPDKRAID'],
      [40, 'tank'],
    ],
  ],
  ["bandstand's label of a member", [[98304, 'BANDSTND']]],
  ['an SPDK blobstore', [[0, 'SPDKBLOB']]],
  ['an ext2 file system', [[1080, [0x53, 0xef]]]],
  [
    'an ext3 file system "old"',
    [
      [1080, [0x53, 0xef]],
      [1116, [4]],
      [1144, 'old'],
    ],
  ],
  [
    'an ext4 file system',
    [
      [1080, [0x53, 0xef]],
      [1116, [4]],
      [1120, [0xc2, 2]],
    ],
  ],
  [
    'an XFS file system "media"',
    [
      [0, 'XFSB'],
      [108, 'media'],
    ],
  ],
  [
    'a btrfs file system "pool"',
    [
      [65600, '_BHRfS_M'],
      [65835, 'pool'],
    ],
  ],
  ['a LUKS volume', [[0, [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe]]]],
  [
    'an LVM2 physical volume',
    [
      [512, 'LABELONE'],
      [536, 'LVM2 001'],
    ],
  ],
  ['an md RAID member', [[0, MD]]],
  [
    'an md RAID member "host:0"',
    [
      [4096, MD],
      [4128, 'host:0'],
    ],
  ],
  ['an md RAID member', [[END - 16 * 512, MD]]],
  ['an md RAID member', [[END - 65536, MD]]],
  [
    'swap space "swap0"',
    [
      [4086, 'SWAPSPACE2'],
      [1052, 'swap0'],
    ],
  ],
  ['a GPT partition table', [[512, 'EFI PART']]],
  ['a GPT partition table', [[4096, 'EFI PART']]],
  ['a GPT partition table', [[END - 512, 'EFI PART']]],
  [
    'an MBR partition table',
    [
      [510, [0x55, 0xaa]],
      [450, [0x83]],
      [458, [0, 8]],
    ],
  ],
  ['a ZFS pool member', [[128 * 1024 + 4096, [0x0c, 0xb1, 0xba, 0x00]]]],
  [
    'an NTFS file system',
    [
      [3, 'NTFS    '],
      [510, [0x55, 0xaa]],
    ],
  ],
  [
    'a FAT file system "BOOT"',
    [
      [82, 'FAT32   '],
      [71, 'BOOT       '],
      [510, [0x55, 0xaa]],
    ],
  ],
  ['a bcache device', [[4120, [0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca]]]],
  ['a qcow2 disk image', [[0, [0x51, 0x46, 0x49, 0xfb]]]],
];

for (const [index, [description, parts]] of FORMATS.entries()) {
  test(`format ${index + 1} is recognised as ${description}`, (t) => {
    t.deepEqual(
      findSignatures(source(parts)).map((found) => found.description),
      [description],
    );
  });
}

test('an empty device, and noise, are nothing', (t) => {
  t.deepEqual(findSignatures(source([])), []);
  t.deepEqual(findSignatures(source([[0, 'just some text that means nothing']])), []);
  t.deepEqual(
    findSignatures(source([[510, [0x55, 0xaa]]])),
    [],
    'a boot sector without partitions',
  );
});

test('several signatures are all found', (t) => {
  const found = findSignatures(
    source([
      [0, 'XFSB'],
      [END - 512, 'EFI PART'],
    ]),
  );
  t.deepEqual(
    found.map(({ kind }) => kind),
    ['xfs', 'gpt'],
  );
});

test('sources of every length are read without harm', (t) => {
  for (const sizeBytes of [0, 1, 511, 512, 1023, 4095, 65535, 65536, 131_073]) {
    const bytes = new Uint8Array(sizeBytes).fill(0xff);
    const read = (at: number, count: number): Uint8Array => bytes.subarray(at, at + count);
    t.deepEqual(findSignatures({ sizeBytes, read }), []);
  }
});

test('labels are cut at their first zero byte', (t) => {
  const found = findSignatures(
    source([
      [0, 'XFSB'],
      [108, 'a\0bcdef'],
    ]),
  );
  t.is(found[0]?.label, 'a');
});

function image(t: ExecutionContext, bytes: number): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'bs-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'disk.img');
  writeFileSync(file, '');
  truncateSync(file, bytes);
  return file;
}

requires('mkfs.ext4')('what mkfs.ext4 makes is recognised', (t) => {
  const file = image(t, 16 * MIB);
  execFileSync('mkfs.ext4', ['-q', '-L', 'data', file]);
  t.is(recognise(file, 16 * MIB)[0]?.description, 'an ext4 file system "data"');
});

requires('mkfs.xfs')('what mkfs.xfs makes is recognised', (t) => {
  const file = image(t, 320 * MIB);
  execFileSync('mkfs.xfs', ['-q', '-L', 'data', file]);
  t.is(recognise(file, 320 * MIB)[0]?.description, 'an XFS file system "data"');
});

requires('mkswap')('what mkswap makes is recognised', (t) => {
  const file = image(t, 16 * MIB);
  execFileSync('mkswap', ['-q', '-L', 'data', file], { stdio: 'ignore' });
  t.is(recognise(file, 16 * MIB)[0]?.description, 'swap space "data"');
});

requires('blkid')('blkid is asked about what the table does not know', (t) => {
  const file = image(t, 16 * MIB);
  const content = Buffer.alloc(16 * MIB);
  // A MINIX file system, version 1, of which the table knows nothing.
  content.writeUInt16LE(32, 1024);
  content.writeUInt16LE(1000, 1026);
  content.writeUInt16LE(1, 1028);
  content.writeUInt16LE(1, 1030);
  content.writeUInt16LE(7, 1032);
  content.writeUInt32LE(0x10081c00, 1036);
  content.writeUInt16LE(0x137f, 1040);
  content.writeUInt16LE(1, 1042);
  writeFileSync(file, content);
  t.regex(recognise(file, 16 * MIB)[0]?.description ?? 'nothing', /minix/);
});
