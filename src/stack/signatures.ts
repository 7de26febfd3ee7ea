/**
 * Signatures: what a device holds before we write to it.                            (control plane)
 *
 * `create` refuses a device that carries anything recognisable and names it. Recognition is a table
 * of magic numbers (position, bytes) with a few readers for labels; where the program `blkid` is
 * installed it is asked as well when the table knows nothing, because it knows hundreds of formats.
 * The table alone has to do for the common ones: containers and rescue systems have no blkid.
 *
 * Everything read here is untrusted: positions are checked against the size, text is cut at its
 * first zero byte, and printing makes it printable.
 *
 * Sources of the positions: the documents and headers of the formats themselves (ext4 disk layout
 * in the kernel's documentation, XFS and btrfs on-disk format documents, the UEFI specification for
 * GPT, md_p.h, LUKS2 specification, ZFS on-disk specification, SPDK's blobstore and RAID sources).
 */

import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readSync } from 'node:fs';

export interface Signature {
  /** For example `ext4`, `gpt`, `md`, `spdk-raid`. */
  readonly kind: string;
  /** With an article, for messages: `an ext4 file system "backup"`. */
  readonly description: string;
  readonly label: string | null;
  /** Position of the magic number in bytes. */
  readonly atByte: number;
}

export interface ByteSource {
  readonly sizeBytes: number;
  /** The bytes at `atByte`, or fewer (even none) where the source ends. */
  read(atByte: number, bytes: number): Uint8Array;
}

/** A file or device read through the page cache; close it. Throws what open(2) reports. */
export class FileSource implements ByteSource {
  readonly sizeBytes: number;
  readonly #fd: number;

  constructor(path: string, sizeBytes: number) {
    this.#fd = openSync(path, 'r');
    this.sizeBytes = sizeBytes;
  }

  read(atByte: number, bytes: number): Uint8Array {
    if (atByte < 0 || atByte >= this.sizeBytes) return new Uint8Array(0);
    const target = new Uint8Array(Math.min(bytes, this.sizeBytes - atByte));
    try {
      return target.subarray(0, readSync(this.#fd, target, 0, target.length, atByte));
    } catch {
      // An unreadable place holds nothing that could be recognised.
      return new Uint8Array(0);
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}

interface Magic {
  readonly kind: string;
  readonly what: string;
  readonly at: number;
  readonly magic: string | readonly number[];
  readonly label?: readonly [at: number, bytes: number];
}

/** Formats that one run of bytes at a fixed place identifies. Labels are absolute positions. */
const MAGICS: readonly Magic[] = [
  { kind: 'spdk-raid', what: 'a RAID superblock', at: 0, magic: 'SPDKRAID', label: [40, 64] },
  { kind: 'member-label', what: "bandstand's label of a member", at: 65536, magic: 'BANDSTND' },
  { kind: 'member-label', what: "bandstand's label of a member", at: 98304, magic: 'BANDSTND' },
  { kind: 'nv-cache', what: "bandstand's NV cache", at: 0, magic: 'BSNV' },
  { kind: 'nv-cache', what: "bandstand's NV cache", at: 4096, magic: 'BSNV' },
  { kind: 'spdk-blobstore', what: 'an SPDK blobstore', at: 0, magic: 'SPDKBLOB' },
  { kind: 'luks', what: 'a LUKS volume', at: 0, magic: [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe] },
  { kind: 'xfs', what: 'an XFS file system', at: 0, magic: 'XFSB', label: [108, 12] },
  { kind: 'squashfs', what: 'a squashfs file system', at: 0, magic: 'hsqs' },
  { kind: 'qcow2', what: 'a qcow2 disk image', at: 0, magic: [0x51, 0x46, 0x49, 0xfb] },
  { kind: 'vmdk', what: 'a VMDK disk image', at: 0, magic: 'KDMV' },
  { kind: 'vdo', what: 'a VDO volume', at: 0, magic: 'dmvdo001' },
  { kind: 'dm-integrity', what: 'a dm-integrity volume', at: 0, magic: 'integrt\0' },
  { kind: 'ntfs', what: 'an NTFS file system', at: 3, magic: 'NTFS    ' },
  { kind: 'exfat', what: 'an exFAT file system', at: 3, magic: 'EXFAT   ' },
  { kind: 'vfat', what: 'a FAT file system', at: 82, magic: 'FAT32   ', label: [71, 11] },
  { kind: 'vfat', what: 'a FAT file system', at: 54, magic: 'FAT16   ', label: [43, 11] },
  { kind: 'vfat', what: 'a FAT file system', at: 54, magic: 'FAT12   ', label: [43, 11] },
  {
    kind: 'md',
    what: 'an md RAID member',
    at: 0,
    magic: [0xfc, 0x4e, 0x2b, 0xa9],
    label: [32, 32],
  },
  {
    kind: 'md',
    what: 'an md RAID member',
    at: 4096,
    magic: [0xfc, 0x4e, 0x2b, 0xa9],
    label: [4128, 32],
  },
  {
    kind: 'bcache',
    what: 'a bcache device',
    at: 4120,
    magic: [0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca],
  },
  {
    kind: 'bcachefs',
    what: 'a bcachefs file system',
    at: 4120,
    magic: [0xc6, 0x85, 0x73, 0xf6, 0x66, 0xce, 0x90, 0xa9],
    label: [4168, 32],
  },
  { kind: 'f2fs', what: 'an F2FS file system', at: 1024, magic: [0x10, 0x20, 0xf5, 0xf2] },
  { kind: 'erofs', what: 'an EROFS file system', at: 1024, magic: [0xe2, 0xe1, 0xf5, 0xe0] },
  { kind: 'swap', what: 'swap space', at: 4086, magic: 'SWAPSPACE2', label: [1052, 16] },
  { kind: 'swap', what: 'swap space', at: 4086, magic: 'SWAP-SPACE' },
  {
    kind: 'iso9660',
    what: 'an ISO 9660 file system',
    at: 32769,
    magic: 'CD001',
    label: [32808, 32],
  },
  { kind: 'jfs', what: 'a JFS file system', at: 32768, magic: 'JFS1' },
  { kind: 'reiserfs', what: 'a ReiserFS file system', at: 65588, magic: 'ReIsEr' },
  {
    kind: 'btrfs',
    what: 'a btrfs file system',
    at: 65600,
    magic: '_BHRfS_M',
    label: [65835, 256],
  },
  { kind: 'lvm2', what: 'an LVM2 physical volume', at: 536, magic: 'LVM2 001' },
  { kind: 'lvm2', what: 'an LVM2 physical volume', at: 24, magic: 'LVM2 001' },
  { kind: 'lvm2', what: 'an LVM2 physical volume', at: 1048, magic: 'LVM2 001' },
  { kind: 'lvm2', what: 'an LVM2 physical volume', at: 1560, magic: 'LVM2 001' },
  { kind: 'gpt', what: 'a GPT partition table', at: 512, magic: 'EFI PART' },
  { kind: 'gpt', what: 'a GPT partition table', at: 4096, magic: 'EFI PART' },
];

/** Bytes from the start that cover every fixed position of the table above. */
const HEAD_BYTES = 100 * 1024;

/** What the table recognises, most telling first; [] for nothing. */
export function findSignatures(source: ByteSource): Signature[] {
  const head = source.read(0, HEAD_BYTES);
  const found: Signature[] = [];
  for (const entry of MAGICS) {
    if (!matches(head, entry.at, entry.magic)) continue;
    const label = entry.label === undefined ? null : textAt(head, ...entry.label);
    found.push(signature(entry.kind, entry.what, label, entry.at));
  }
  const others = [findExt(head), findZfs(source), findMdAtEnd(source), findGptAtEnd(source)];
  for (const other of others) if (other !== null) found.push(other);
  const mbr = findMbr(head);
  // A protective MBR belongs to its GPT, and a boot sector of FAT or NTFS ends like an MBR.
  if (mbr !== null && found.length === 0) found.push(mbr);
  return distinct(found);
}

function distinct(found: readonly Signature[]): Signature[] {
  return found.filter(
    (one, index) => found.findIndex((other) => other.kind === one.kind) === index,
  );
}

function signature(kind: string, what: string, label: string | null, atByte: number): Signature {
  const name = label === null || label === '' ? null : label;
  return { kind, description: name === null ? what : `${what} "${name}"`, label: name, atByte };
}

function matches(bytes: Uint8Array, at: number, magic: string | readonly number[]): boolean {
  if (at + magic.length > bytes.length) return false;
  for (let index = 0; index < magic.length; index += 1) {
    const want = typeof magic === 'string' ? magic.charCodeAt(index) : magic[index];
    if (bytes[at + index] !== want) return false;
  }
  return true;
}

/** Text of a fixed field, up to its first zero byte, without blanks at its end. */
function textAt(bytes: Uint8Array, at: number, length: number): string | null {
  if (at + length > bytes.length) return null;
  const field = bytes.subarray(at, at + length);
  const end = field.indexOf(0);
  return Buffer.from(end === -1 ? field : field.subarray(0, end))
    .toString('utf8')
    .trimEnd();
}

function u32(bytes: Uint8Array, at: number): number {
  if (at + 4 > bytes.length) return 0;
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(at, true);
}

function findExt(head: Uint8Array): Signature | null {
  if (!matches(head, 1080, [0x53, 0xef])) return null;
  const compatible = u32(head, 1024 + 92);
  const incompatible = u32(head, 1024 + 96);
  // Extents, 64-bit or flexible groups make it ext4; a journal alone makes it ext3.
  const kind = (incompatible & 0x2c0) !== 0 ? 'ext4' : (compatible & 4) !== 0 ? 'ext3' : 'ext2';
  const found = signature(kind, `an ${kind} file system`, textAt(head, 1024 + 120, 16), 1080);
  const writtenAt = u32(head, 1024 + 48);
  const mountedAt = u32(head, 1024 + 44);
  if (mountedAt === 0 || mountedAt > writtenAt) return found;
  const day = new Date(mountedAt * 1000).toISOString().slice(0, 10);
  return { ...found, description: `${found.description} (last mounted ${day})` };
}

function findZfs(source: ByteSource): Signature | null {
  const bytes = source.read(128 * 1024, 128 * 1024);
  const little = [0x0c, 0xb1, 0xba, 0x00];
  const big = [0, 0, 0, 0, 0, 0xba, 0xb1, 0x0c];
  for (let at = 0; at < bytes.length; at += 1024) {
    if (matches(bytes, at, little) || matches(bytes, at, big)) {
      return signature('zfs', 'a ZFS pool member', null, 128 * 1024 + at);
    }
  }
  return null;
}

/** md superblocks of versions 1.0 and 0.90 stand at the end of the device. */
function findMdAtEnd(source: ByteSource): Signature | null {
  const sectors = Math.floor(source.sizeBytes / 512);
  const places = [
    Math.floor(Math.max(0, sectors - 16) / 8) * 8 * 512,
    Math.floor(source.sizeBytes / 65536) * 65536 - 65536,
  ];
  for (const place of places) {
    if (place <= 0) continue;
    if (matches(source.read(place, 4), 0, [0xfc, 0x4e, 0x2b, 0xa9])) {
      return signature('md', 'an md RAID member', null, place);
    }
  }
  return null;
}

/** The backup header in the last block, left behind when only the start of a disk was erased. */
function findGptAtEnd(source: ByteSource): Signature | null {
  for (const block of [512, 4096]) {
    const at = source.sizeBytes - block;
    if (at > 0 && matches(source.read(at, 8), 0, 'EFI PART')) {
      return signature('gpt', 'a GPT partition table', null, at);
    }
  }
  return null;
}

function findMbr(head: Uint8Array): Signature | null {
  if (!matches(head, 510, [0x55, 0xaa])) return null;
  for (let entry = 0; entry < 4; entry += 1) {
    const at = 446 + entry * 16;
    const status = head[at]!;
    if ((status === 0 || status === 0x80) && head[at + 4] !== 0 && u32(head, at + 12) !== 0) {
      return signature('mbr', 'an MBR partition table', null, 510);
    }
  }
  return null;
}

/** What the program blkid recognises; [] when it knows nothing or is not installed. */
export function askBlkid(path: string): Signature[] {
  const result = spawnSync('blkid', ['-p', '-o', 'export', '--', path], {
    encoding: 'utf8',
    timeout: 5000,
    maxBuffer: 65536,
  });
  if (result.error !== undefined || typeof result.stdout !== 'string') return [];
  const values = new Map<string, string>();
  for (const line of result.stdout.split('\n')) {
    const at = line.indexOf('=');
    if (at > 0) values.set(line.slice(0, at), line.slice(at + 1).replaceAll('\\ ', ' '));
  }
  const kind = values.get('TYPE') ?? values.get('PTTYPE');
  if (kind === undefined) return [];
  const what = values.has('TYPE') ? `data of type ${kind}` : `a ${kind} partition table`;
  return [signature(kind, what, values.get('LABEL') ?? null, 0)];
}

/** Everything recognisable on a file or device of `sizeBytes`. Throws what open(2) reports. */
export function recognise(path: string, sizeBytes: number): Signature[] {
  const source = new FileSource(path, sizeBytes);
  try {
    const found = findSignatures(source);
    return found.length > 0 ? found : askBlkid(path);
  } finally {
    source.close();
  }
}
