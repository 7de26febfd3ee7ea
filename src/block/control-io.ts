/**
 * Control-plane I/O: one operation on a BlockDevice as a promise.                   (control plane)
 *
 * For metadata (superblocks, labels) and tests. Allocates, so it is not for the data path. The
 * promise settles in a reactor turn: await it inside `reactor.drive` or while the reactor runs.
 */

import type { BlockDevice } from './block-device.ts';
import { BlockIo, OP_FLUSH, OP_READ, OP_WRITE, type Op, opName } from './block-io.ts';
import { BandstandError } from './errors.ts';
import type { Reactor } from './reactor.ts';
import { statusName, statusText } from './status.ts';

class OneShot extends BlockIo {
  settle: (status: number) => void = () => {};
}

/** Submits one operation whose payload is at `buffer` in the arena; resolves with its status. */
export function submitStatus(
  device: BlockDevice,
  op: Op,
  block: number,
  blockCount: number,
  buffer: number,
  flags = 0,
): Promise<number> {
  return new Promise((resolve) => {
    const io = new OneShot();
    io.op = op;
    io.block = block;
    io.blockCount = blockCount;
    io.buffer = buffer;
    io.flags = flags;
    io.settle = resolve;
    io.completer = { complete: (done) => (done as OneShot).settle(done.status) };
    device.submit(io);
  });
}

/** As `submitStatus`, but throws BANDSTAND_DEVICE_IO for a status that is not 0. */
export async function submitOrThrow(
  device: BlockDevice,
  op: Op,
  block: number,
  blockCount: number,
  buffer: number,
  flags = 0,
): Promise<void> {
  const status = await submitStatus(device, op, block, blockCount, buffer, flags);
  if (status !== 0) throw ioError(device, op, block, blockCount, status);
}

export function ioError(
  device: BlockDevice,
  op: Op,
  block: number,
  blockCount: number,
  status: number,
): BandstandError {
  const where = op === OP_FLUSH ? '' : ` of ${blockCount} blocks at block ${block}`;
  return new BandstandError('BANDSTAND_DEVICE_IO', {
    message: `cannot access ${device.name}: ${opName(op)}${where} failed: ${statusText(status)} (${statusName(status)})`,
    hint: 'look at the kernel log for this device (dmesg)',
    details: { device: device.name, op: opName(op), block, block_count: blockCount, status },
  });
}

/** Reads whole blocks into a fresh array. */
export async function readBlocks(
  reactor: Reactor,
  device: BlockDevice,
  block: number,
  blockCount: number,
): Promise<Uint8Array> {
  const bytes = blockCount * device.geometry.blockBytes;
  const result = new Uint8Array(bytes);
  const step = Math.min(blockCount, device.geometry.requestBlocksMax, 256);
  const stepBytes = step * device.geometry.blockBytes;
  const buffer = reactor.arena.allocate(stepBytes);
  try {
    for (let done = 0; done < blockCount; done += step) {
      const count = Math.min(step, blockCount - done);
      await submitOrThrow(device, OP_READ, block + done, count, buffer);
      const length = count * device.geometry.blockBytes;
      result.set(
        reactor.arena.u8.subarray(buffer, buffer + length),
        done * device.geometry.blockBytes,
      );
    }
  } finally {
    reactor.arena.release(buffer, stepBytes);
  }
  return result;
}

/** Writes `bytes` (a whole number of blocks) at `block`; not durable until a flush. */
export async function writeBlocks(
  reactor: Reactor,
  device: BlockDevice,
  block: number,
  bytes: Uint8Array,
): Promise<void> {
  const { blockBytes, requestBlocksMax } = device.geometry;
  const blockCount = bytes.length / blockBytes;
  const step = Math.min(blockCount, requestBlocksMax, 256);
  const stepBytes = step * blockBytes;
  const buffer = reactor.arena.allocate(stepBytes);
  try {
    for (let done = 0; done < blockCount; done += step) {
      const count = Math.min(step, blockCount - done);
      reactor.arena.u8.set(bytes.subarray(done * blockBytes, (done + count) * blockBytes), buffer);
      await submitOrThrow(device, OP_WRITE, block + done, count, buffer);
    }
  } finally {
    reactor.arena.release(buffer, stepBytes);
  }
}

export function flushDevice(device: BlockDevice): Promise<void> {
  return submitOrThrow(device, OP_FLUSH, 0, 0, 0);
}
