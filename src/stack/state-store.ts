/**
 * What is remembered of each stack: STATE_DIR/NAME.json.                            (control plane)
 *
 * A convenience, never the truth: members are found again by their superblocks and labels, and the
 * file only says where to look first. The exception is an array without superblock, of which
 * nothing else knows. Files are replaced atomically (write, fsync, rename, fsync of the directory)
 * and are decoded with suspicion: anybody may have edited them.
 */

import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { BandstandError } from '../block/errors.ts';
import { parseUuid } from '../block/uuid.ts';
import { isCount, isRecord } from '../control/schema.ts';
import { ensureDirectory } from './directories.ts';
import { nameDefect } from './stack-name.ts';

/** What became of a member, as far as its array knew when this was written. */
export const REMEMBERED_HEALTH = ['ok', 'rebuilding', 'failed', 'missing'] as const;
export type RememberedHealth = (typeof REMEMBERED_HEALTH)[number];

export interface RememberedMember {
  readonly slot: number;
  readonly uuid: string | null;
  /** The most stable path known: a by-id link where there is one. */
  readonly path: string;
  readonly health: RememberedHealth;
}

/** A device of the stack without a slot: a spare, or one that is being filled. */
export interface RememberedSpare {
  readonly uuid: string;
  readonly path: string;
}

/** Where the NV cache is: on one device, or on the members of a mirror. */
export interface RememberedCache {
  readonly uuid: string;
  /** Null for a mirror. */
  readonly path: string | null;
  /** Of a mirror, otherwise []. */
  readonly members: readonly RememberedMember[];
  readonly spares: readonly RememberedSpare[];
}

export interface RememberedStack {
  readonly name: string;
  readonly uuid: string;
  readonly level: string;
  readonly stripBytes: number;
  readonly blockBytes: number;
  readonly sizeBytes: number;
  readonly superblock: boolean;
  /** What the user asked for; the FTL itself comes with a later version of the format. */
  readonly ftl: boolean;
  readonly members: readonly RememberedMember[];
  readonly spares: readonly RememberedSpare[];
  readonly cache: RememberedCache | null;
}

const SCHEMA = 'bandstand.stack/1';
const FILE_BYTES_MAX = 1 << 20;
const MEMBERS_MAX = 255;
const SPARES_MAX = 255;

export class StateStore {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  path(name: string): string {
    return join(this.directory, `${name}.json`);
  }

  /** Names with a state file, sorted; [] when the directory does not exist or cannot be read. */
  names(): string[] {
    let entries: string[];
    try {
      entries = readdirSync(this.directory);
    } catch {
      return [];
    }
    return entries
      .filter((entry) => entry.endsWith('.json'))
      .map((entry) => entry.slice(0, -'.json'.length))
      .filter((name) => nameDefect(name) === null)
      .sort();
  }

  /** null when nothing is remembered. Throws BANDSTAND_STATE_INVALID for a damaged file. */
  load(name: string): RememberedStack | null {
    let text: string;
    try {
      text = readFileSync(this.path(name), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw this.#invalid(name, (error as NodeJS.ErrnoException).code ?? 'unreadable');
    }
    if (text.length > FILE_BYTES_MAX) throw this.#invalid(name, 'it is too long');
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw this.#invalid(name, 'it is not JSON');
    }
    const stack = decodeStack(value);
    if (typeof stack === 'string') throw this.#invalid(name, stack);
    if (stack.name !== name) throw this.#invalid(name, `it is about '${stack.name}'`);
    return stack;
  }

  save(stack: RememberedStack): void {
    ensureDirectory(this.directory, 'state');
    const path = this.path(stack.name);
    const temporary = `${path}.${process.pid}.new`;
    try {
      const fd = openSync(temporary, 'w', 0o644);
      try {
        writeSync(fd, `${JSON.stringify(encodeStack(stack), null, 2)}\n`);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      renameSync(temporary, path);
      syncDirectory(this.directory);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw new BandstandError('BANDSTAND_DIRECTORY_UNUSABLE', {
        message: `cannot remember ${stack.name} in ${path}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`,
        hint: 'run it with sudo, or choose another place with --state-dir',
        details: { path },
        cause: error,
      });
    }
  }

  /** Durably; nothing happens when nothing is remembered. Throws BANDSTAND_DIRECTORY_UNUSABLE. */
  forget(name: string): void {
    const path = this.path(name);
    if (!existsSync(path)) return;
    try {
      rmSync(path);
      syncDirectory(this.directory);
    } catch (error) {
      throw new BandstandError('BANDSTAND_DIRECTORY_UNUSABLE', {
        message: `cannot forget ${name} in ${path}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`,
        hint: 'run it with sudo, or as the user that the directory belongs to',
        details: { path },
        cause: error,
      });
    }
  }

  #invalid(name: string, why: string): BandstandError {
    return new BandstandError('BANDSTAND_STATE_INVALID', {
      message: `cannot read what is remembered of ${name} in ${this.path(name)}: ${why}`,
      hint: `have it forgotten (bandstand forget ${name}), then name the members with --device`,
      details: { path: this.path(name) },
    });
  }
}

function syncDirectory(directory: string): void {
  const fd = openSync(directory, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function encodeStack(stack: RememberedStack): unknown {
  return {
    schema: SCHEMA,
    name: stack.name,
    uuid: stack.uuid,
    level: stack.level,
    strip_size_bytes: stack.stripBytes,
    block_size: stack.blockBytes,
    size_bytes: stack.sizeBytes,
    superblock: stack.superblock,
    ftl: stack.ftl,
    members: stack.members,
    spares: stack.spares,
    cache: stack.cache,
  };
}

/** The decoded stack, or why it is none. */
function decodeStack(value: unknown): RememberedStack | string {
  if (!isRecord(value)) return 'it is not an object';
  if (value['schema'] !== SCHEMA) return `its schema is not ${SCHEMA}`;
  const { name, uuid, level, superblock, ftl, members } = value;
  if (typeof name !== 'string' || nameDefect(name) !== null) return 'its name is no name';
  if (typeof uuid !== 'string' || parseUuid(uuid) === null) return 'its uuid is no UUID';
  if (typeof level !== 'string') return 'its level is missing';
  if (typeof superblock !== 'boolean' || typeof ftl !== 'boolean') return 'its flags are missing';
  const numbers = ['strip_size_bytes', 'block_size', 'size_bytes'];
  for (const key of numbers) {
    if (!isCount(value[key])) return `its ${key} is no size`;
  }
  if (!Array.isArray(members) || members.length === 0 || members.length > MEMBERS_MAX) {
    return 'its members are missing';
  }
  const decoded = decodeMembers(members);
  if (typeof decoded === 'string') return decoded;
  // Files of a version without spares have no such list.
  const spares = decodeSpares(value['spares'] ?? []);
  if (typeof spares === 'string') return spares;
  const cache = decodeCache(value['cache'] ?? null);
  if (typeof cache === 'string') return cache;
  return {
    name,
    uuid,
    level,
    stripBytes: value['strip_size_bytes'] as number,
    blockBytes: value['block_size'] as number,
    sizeBytes: value['size_bytes'] as number,
    superblock,
    ftl,
    members: decoded,
    spares,
    cache,
  };
}

/** The decoded members, or why they are none. */
function decodeMembers(members: readonly unknown[]): RememberedMember[] | string {
  const decoded: RememberedMember[] = [];
  for (const member of members) {
    if (!isRecord(member)) return 'a member is not an object';
    const { slot, path } = member;
    const memberUuid = member['uuid'];
    if (!isCount(slot) || slot > MEMBERS_MAX) return 'the slot of a member is no slot';
    if (typeof path !== 'string' || path === '') return 'the path of a member is missing';
    if (memberUuid !== null && (typeof memberUuid !== 'string' || parseUuid(memberUuid) === null)) {
      return 'the uuid of a member is no UUID';
    }
    // Files of earlier versions do not say.
    const health = REMEMBERED_HEALTH.find((one) => one === (member['health'] ?? 'ok'));
    if (health === undefined) return 'the health of a member is unknown';
    decoded.push({ slot, path, uuid: memberUuid, health });
  }
  return decoded;
}

/** Files of a version without caches say nothing. */
function decodeCache(value: unknown): RememberedCache | null | string {
  if (value === null) return null;
  if (!isRecord(value)) return 'its cache is not an object';
  const { uuid, path } = value;
  if (typeof uuid !== 'string' || parseUuid(uuid) === null)
    return 'the uuid of its cache is no UUID';
  // Files of a version without mirrored caches have no such lists.
  const { members = [], spares = [] } = value;
  if (!Array.isArray(members) || members.length > MEMBERS_MAX) {
    return 'the members of its cache are no list of members';
  }
  if (path !== null && (typeof path !== 'string' || path === '')) {
    return 'the path of its cache is missing';
  }
  const decoded = decodeMembers(members);
  if (typeof decoded === 'string') return `of its cache, ${decoded}`;
  const others = decodeSpares(spares);
  if (typeof others === 'string') return `of its cache, ${others}`;
  return { uuid, path, members: decoded, spares: others };
}

function decodeSpares(value: unknown): RememberedSpare[] | string {
  if (!Array.isArray(value) || value.length > SPARES_MAX) return 'its spares are no list of spares';
  const decoded: RememberedSpare[] = [];
  for (const spare of value) {
    if (!isRecord(spare)) return 'a spare is not an object';
    const { uuid, path } = spare;
    if (typeof uuid !== 'string' || parseUuid(uuid) === null)
      return 'the uuid of a spare is no UUID';
    if (typeof path !== 'string' || path === '') return 'the path of a spare is missing';
    decoded.push({ uuid, path });
  }
  return decoded;
}
