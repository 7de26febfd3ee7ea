/**
 * An independent reading of the on-disk layouts, to compare exports with. It shares no code with
 * src/: offsets, sizes and strips come from the superblock's bytes as SPDK defines them, and each
 * mapping is the definition of its level.
 *
 *   node _reference.js size  MEMBER…             prints the array's size in bytes
 *   node _reference.js split CONTENT MEMBER…     lays CONTENT out over the members
 *   node _reference.js join  CONTENT MEMBER…     compares the members with CONTENT
 *
 * `join` also checks each mirror and each stripe's parity. Only the part of the array that CONTENT
 * covers is touched. Members are given in the order of their slots.
 */
import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';

const headerBytes = 256;
const entryBytes = 64;
const levelNames = { 0: 'raid0', 1: 'raid1', 95: 'raid5f', 99: 'concat' };

function readAt(fd, length, position) {
  const bytes = Buffer.alloc(length);
  if (readSync(fd, bytes, 0, length, position) !== length) throw new Error('short read');
  return bytes;
}

function readLayout(members) {
  const [{ fd }] = members;
  const header = readAt(fd, headerBytes, 0);
  if (header.toString('latin1', 0, 8) !== 'SPDKRAID') throw new Error('no superblock');
  const block = header.readUInt32LE(112);
  members.forEach((member, slot) => {
    const entry = readAt(fd, entryBytes, headerBytes + slot * entryBytes);
    member.offset = Number(entry.readBigUInt64LE(16)) * block;
    member.size = Number(entry.readBigUInt64LE(24)) * block;
  });
  return {
    level: levelNames[header.readUInt32LE(116)],
    strip: header.readUInt32LE(120) * block,
    size: Number(header.readBigUInt64LE(104)) * block,
  };
}

/** The places of the content from `position` on, and how many bytes they hold. */
const mappings = {
  raid0(position, { strip, members }) {
    const index = Math.floor(position / strip);
    const at = Math.floor(index / members.length) * strip + (position % strip);
    return { slots: [index % members.length], at, length: strip - (position % strip) };
  },
  raid1(position, { members }) {
    return { slots: members.keys(), at: position, length: 1 << 20 };
  },
  concat(position, { members }) {
    let at = position;
    let slot = 0;
    while (at >= members[slot].size) at -= members[slot++].size;
    return { slots: [slot], at, length: Math.min(members[slot].size - at, 1 << 20) };
  },
  raid5f(position, { strip, members }) {
    const chunks = members.length - 1;
    const stripe = Math.floor(position / (strip * chunks));
    const parity = chunks - (stripe % members.length);
    const chunk = Math.floor(position / strip) % chunks;
    const slot = chunk < parity ? chunk : chunk + 1;
    const at = stripe * strip + (position % strip);
    return { slots: [slot], at, length: strip - (position % strip) };
  },
};

function* piecesOf(content, layout) {
  for (let position = 0; position < content.length; ) {
    const { slots, at, length } = mappings[layout.level](position, layout);
    const bytes = content.subarray(position, position + length);
    for (const slot of slots) yield { ...layout.members[slot], slot, at, bytes, position };
    position += bytes.length;
  }
}

function* parityOf(content, { level, strip, members }) {
  if (level !== 'raid5f') return;
  const chunks = members.length - 1;
  for (let stripe = 0; (stripe + 1) * strip * chunks <= content.length; stripe++) {
    const parity = new Uint32Array(strip / 4);
    for (let chunk = 0; chunk < chunks; chunk++) {
      const start = (stripe * chunks + chunk) * strip;
      const data = new Uint32Array(content.buffer, content.byteOffset + start, strip / 4);
      for (let word = 0; word < data.length; word++) parity[word] ^= data[word];
    }
    const slot = chunks - (stripe % members.length);
    const bytes = Buffer.from(parity.buffer);
    yield { ...members[slot], slot, at: stripe * strip, bytes, position: `parity ${stripe}` };
  }
}

/** A file's bytes, aligned for 32-bit views. */
function readContent(file) {
  const bytes = readFileSync(file);
  return Buffer.from(new Uint8Array(bytes).buffer);
}

const [, , verb, ...rest] = process.argv;
const content = verb === 'size' ? Buffer.alloc(0) : readContent(rest.shift());
const members = rest.map((file) => ({ file, fd: openSync(file, verb === 'split' ? 'r+' : 'r') }));
const layout = { ...readLayout(members), members };
if (verb === 'size') console.log(layout.size);
else if (content.length > layout.size) throw new Error('the content is larger than the array');
for (const pieces of [piecesOf(content, layout), parityOf(content, layout)]) {
  for (const { file, fd, offset, at, bytes, position } of pieces) {
    if (verb === 'split') writeSync(fd, bytes, 0, bytes.length, offset + at);
    else if (!readAt(fd, bytes.length, offset + at).equals(bytes)) {
      console.error(`${layout.level} content at ${position} is not at ${offset + at} of ${file}`);
      process.exitCode = 1;
    }
  }
}
for (const { fd } of members) closeSync(fd);
