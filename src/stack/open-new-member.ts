/**
 * Opens a device that is to join a running array, and makes sure that it may.       (control plane)
 *
 * The device is opened exclusively first and looked at afterwards, so that nothing can come onto it
 * between. Only the table of signatures is asked here, over bytes read through the device itself:
 * this is the thread of the data path, where neither a file system nor another program is waited
 * for (new-device.ts says who asks those).
 *
 * Accepted are an unused device and one with metadata of this very array: a member that comes back,
 * or a former spare. Whether it is large enough is the array's to say.
 */

import type { BlockDevice } from '../block/block-device.ts';
import { readBlocks } from '../block/control-io.ts';
import { BandstandError } from '../block/errors.ts';
import type { Reactor } from '../block/reactor.ts';
import { type Examination, examineDevice } from '../raid/examine.ts';
import type { Ring } from '../reactor/ring.ts';
import { MEMBER_DEADLINE_US, makeLeaf } from './device-tree.ts';
import { identifyDevice } from './device-usage.ts';
import type { MemberCandidate } from './member-reference.ts';
import { cannot, parseNewDevice, refuseForeign, refuseUsed, type Subject } from './new-device.ts';
import { type ByteSource, findSignatures } from './signatures.ts';

export interface NewMemberContext {
  readonly ring: Ring;
  readonly subject: Subject;
  readonly name: string;
  readonly arrayUuid: string;
  readonly blockBytes: number;
  /** Everything that the stack has already. */
  readonly candidates: readonly MemberCandidate[];
  keyOf(device: string): string | null;
}

/** The opened device; the caller closes it. Throws BandstandError; then it is closed. */
export async function openNewMember(context: NewMemberContext, text: string): Promise<BlockDevice> {
  const { subject, ring, blockBytes } = context;
  const { spec, path } = parseNewDevice(subject, text);
  const identity = identifyDevice(path);
  refuseKnown(context, identity.key, path);
  refuseUsed(subject, identity);
  const device = makeLeaf(spec, { blockBytes, deadlineUs: MEMBER_DEADLINE_US });
  try {
    await device.open(ring);
  } catch (error) {
    if (!(error instanceof BandstandError)) throw error;
    const { code, message, hint, details } = error;
    const why = code === 'BANDSTAND_DEVICE_BUSY' ? 'another program uses it' : message;
    throw cannot(subject, code, why, hint ?? 'name a different device', details);
  }
  try {
    refuseOtherArray(context, await examineDevice(ring, device), path);
    refuseForeign(subject, path, findSignatures(await readEnds(ring, device)));
    return device;
  } catch (error) {
    await device.close();
    throw error;
  }
}

/** A device joins once. */
function refuseKnown(context: NewMemberContext, key: string, path: string): void {
  const { subject, name, candidates } = context;
  // A spare that was missing is welcome back.
  const known = candidates.find(
    ({ device, slot, health }) =>
      device !== null && context.keyOf(device) === key && (slot !== null || health !== 'missing'),
  );
  if (known === undefined) return;
  const { slot, health, beside } = known;
  const out = health === 'failed' || health === 'missing';
  const state = { ok: '', spare: '', rebuilding: ', being filled' };
  const why =
    beside === 'gone'
      ? `it has failed in slot ${slot}, which is being rebuilt onto another device`
      : out
        ? `it is in slot ${slot} already, and ${health === 'failed' ? 'has failed' : 'out of service'}`
        : `it is in slot ${slot} already${state[health]}`;
  throw cannot(
    subject,
    'BANDSTAND_MEMBER_DUPLICATE',
    slot === null ? 'it is a spare of it already' : why,
    out
      ? `take it out first, then add it again: bandstand member remove ${name} ${path}`
      : `look at its members: bandstand status ${name}`,
    { name, device: path, slot },
  );
}

/** Metadata of another array, or damaged: somebody may still need what is there. */
function refuseOtherArray(context: NewMemberContext, found: Examination, path: string): void {
  const { subject, arrayUuid, candidates } = context;
  const hint = `erase it if nothing on it is needed: bandstand wipe ${path}`;
  const refuse = (why: string, owner: string | null = null): never => {
    const details = { device: path, array_uuid: owner };
    throw cannot(subject, 'BANDSTAND_DEVICE_IN_USE', why, hint, details);
  };
  const { superblock, label } = found;
  if (superblock.value !== null && superblock.value.uuid !== arrayUuid) {
    const { name, uuid } = superblock.value;
    refuse(`it is a member of the array ${name} (${uuid})`, uuid);
  }
  if (label !== null && label.arrayUuid !== arrayUuid) {
    refuse(`it belongs to another array (${label.arrayUuid})`, label.arrayUuid);
  }
  if (superblock.state === 'damaged') refuse('it holds a damaged superblock of an array');
  const damaged = found.labels.some(({ state }) => state === 'damaged');
  if (label === null && damaged) refuse('it holds a damaged label of a member');
  const twin = candidates.find(({ uuid, health }) => uuid === label?.memberUuid && health === 'ok');
  if (twin === undefined) return;
  throw cannot(
    subject,
    'BANDSTAND_MEMBER_DUPLICATE',
    `it says that it is the member in slot ${twin.slot}, which is in use: a copy of that device?`,
    hint,
    { device: path, slot: twin.slot },
  );
}

/** More than any position that the table of signatures looks at, from either end. */
const HEAD_BYTES = 256 * 1024;
const TAIL_BYTES = 256 * 1024;

/** Both ends of the device, as the table of signatures reads them. */
export async function readEnds(reactor: Reactor, device: BlockDevice): Promise<ByteSource> {
  const { blockBytes, blockCount } = device.geometry;
  const sizeBytes = blockBytes * blockCount;
  const headBlocks = Math.min(blockCount, HEAD_BYTES / blockBytes);
  const tailBlocks = Math.min(blockCount - headBlocks, TAIL_BYTES / blockBytes);
  const head = await readBlocks(reactor, device, 0, headBlocks);
  const tailAt = (blockCount - tailBlocks) * blockBytes;
  const tail =
    tailBlocks === 0
      ? new Uint8Array(0)
      : await readBlocks(reactor, device, blockCount - tailBlocks, tailBlocks);
  return {
    sizeBytes,
    read(at, bytes) {
      if (at < head.length) return head.subarray(at, at + bytes);
      return at < tailAt ? new Uint8Array(0) : tail.subarray(at - tailAt, at - tailAt + bytes);
    },
  };
}
