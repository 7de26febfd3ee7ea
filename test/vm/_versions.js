/**
 * A writer that knows what it was told is written, and a reader that compares.
 *
 *   node _versions.js write DEVICE LOG   writes random blocks of DEVICE until one cannot be written
 *   node _versions.js read DEVICE LOG    reads them all, and prints as JSON what it found
 *
 * Each block of 4 KiB is full of its number and a version that is higher with each write. LOG, in
 * memory, has two versions for each block: acknowledged, and begun. A block that is read has to be
 * the one or the other; `read` fails otherwise. It counts blocks that are errors, which are never
 * wrong data; whether there may be any is for the caller to say. Of blocks with no acknowledged
 * write nothing is known.
 */
import { closeSync, constants, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';

const blockBytes = 4096;
const blocks = 2048;
const workers = 4;
const seed = 1;

function contentOf(block, version) {
  const words = new Uint32Array(blockBytes / 4);
  for (let index = 0; index < words.length; index += 2) {
    words[index] = block;
    words[index + 1] = version;
  }
  return Buffer.from(words.buffer);
}

/** Small and good enough to choose with; the same numbers for the same seed. */
function generator(start) {
  let state = start >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** [acknowledged, begun] of each block. */
function readVersions(file) {
  const versions = new Uint32Array(blocks * 2);
  const bytes = readFileSync(file);
  if (bytes.length > 0) new Uint8Array(versions.buffer).set(bytes);
  return versions;
}

/** Each write is durable when it is acknowledged: what reads later is not in the page cache only. */
async function writeUntilError(device, file) {
  const versions = readVersions(file);
  const log = openSync(file, 'r+');
  writeSync(log, versions, 0, versions.byteLength, 0);
  const handle = await open(device, constants.O_WRONLY | constants.O_DSYNC);
  const random = generator(seed);
  const busy = new Set();
  let failure;
  const note = (index) => writeSync(log, versions.subarray(index, index + 1), 0, 4, index * 4);
  const worker = async () => {
    while (failure === undefined) {
      const block = Math.floor(random() * blocks);
      if (busy.has(block)) continue;
      busy.add(block);
      const [acknowledged, begun] = [block * 2, block * 2 + 1];
      versions[begun] += 1;
      note(begun);
      try {
        const content = contentOf(block, versions[begun]);
        const { bytesWritten } = await handle.write(content, 0, blockBytes, block * blockBytes);
        if (bytesWritten !== blockBytes) throw new Error(`short write of block ${block}`);
        versions[acknowledged] = versions[begun];
        note(acknowledged);
      } catch (error) {
        failure = error;
      }
      busy.delete(block);
    }
  };
  await Promise.all(Array.from({ length: workers }, worker));
  console.log(`ended: ${failure.message}`);
}

/** What is wrong with a block that could be read; undefined: nothing. */
function whatIsWrong(bytes, block, acknowledged, begun) {
  const version = bytes.readUInt32LE(4);
  if (!bytes.equals(contentOf(block, version))) return `block ${block} was never written so`;
  if (version >= acknowledged && version <= begun) return undefined;
  return `block ${block} has version ${version}; ${acknowledged} was acknowledged, ${begun} begun`;
}

function readAll(device, file) {
  const versions = readVersions(file);
  const fd = openSync(device, 'r');
  const found = { written: 0, writes: 0, right: 0, errors: 0, wrong: 0 };
  for (let block = 0; block < blocks; block += 1) {
    const [acknowledged, begun] = versions.subarray(block * 2, block * 2 + 2);
    if (acknowledged === 0) continue;
    found.written += 1;
    found.writes += acknowledged;
    const bytes = Buffer.alloc(blockBytes);
    try {
      if (readSync(fd, bytes, 0, blockBytes, block * blockBytes) !== blockBytes) {
        throw new Error(`short read of block ${block}`);
      }
    } catch (error) {
      if (error.code !== 'EIO') throw error;
      found.errors += 1;
      continue;
    }
    const wrong = whatIsWrong(bytes, block, acknowledged, begun);
    if (wrong === undefined) found.right += 1;
    else {
      found.wrong += 1;
      console.error(wrong);
    }
  }
  closeSync(fd);
  console.log(JSON.stringify(found));
  if (found.wrong > 0) process.exitCode = 1;
}

const [, , verb, device, file] = process.argv;
if (verb === 'write') await writeUntilError(device, file);
else readAll(device, file);
