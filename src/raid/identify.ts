/**
 * identify: which member of its array a device is.                                  (control plane)
 *
 * Its label says so. A device without a label of this array was made by SPDK (or its label is
 * lost): then the user says so, by UUID or by giving the devices in slot order. Never a guess.
 */

import { BandstandError } from '../block/errors.ts';
import { parseUuid } from '../block/uuid.ts';
import type { Examination } from './examine.ts';
import type { Find } from './find-array.ts';
import { ownLabel } from './own-label.ts';

export interface IdentifyOptions {
  readonly identities?: ReadonlyMap<string, string>;
  readonly slotOrder?: boolean;
}

/** The UUID of the member that `examination` is; it need not be in the newest superblock. */
export function identify(
  examination: Examination,
  { newest, given }: Find,
  options: IdentifyOptions,
): string {
  const { device } = examination;
  const label = ownLabel(examination, newest);
  const refuse = (
    code: 'BANDSTAND_LABEL_INVALID' | 'BANDSTAND_MEMBER_UNIDENTIFIED' | 'BANDSTAND_USAGE',
    why: string,
    hint: string,
  ): never => {
    throw new BandstandError(code, {
      message: `cannot assemble ${newest.name}: ${why}`,
      hint,
      details: { array: newest.name, device },
    });
  };
  const stated = options.identities?.get(device);
  const said = stated === undefined ? null : parseUuid(stated);
  if (stated !== undefined && said === null) {
    refuse('BANDSTAND_USAGE', `'${stated}', given for ${device}, is not a UUID`, 'give a UUID');
  }
  if (label !== null) {
    if (said !== null && said !== label.memberUuid) {
      refuse(
        'BANDSTAND_LABEL_INVALID',
        `${device} is labelled as member ${label.memberUuid}, not ${said}`,
        'leave out the UUID',
      );
    }
    const entry = newest.members.find(({ uuid }) => uuid === label.memberUuid);
    if (entry !== undefined && entry.slot !== label.slot) {
      refuse(
        'BANDSTAND_LABEL_INVALID',
        `${device} is labelled for slot ${label.slot}, but the superblock has its member in slot ${entry.slot}`,
        'run `bandstand examine` on the device',
      );
    }
    return label.memberUuid;
  }
  if (said !== null) return said;
  if (options.slotOrder === true) {
    if (given.length !== newest.members.length) {
      refuse(
        'BANDSTAND_MEMBER_UNIDENTIFIED',
        `${given.length} devices in slot order were given for ${newest.members.length} slots`,
        `name the devices one by one: ${device}=UUID`,
      );
    }
    return newest.members[given.indexOf(examination)]!.uuid;
  }
  return refuse(
    'BANDSTAND_MEMBER_UNIDENTIFIED',
    `which member ${device} is cannot be told: it has no label`,
    `say which: ${device}=UUID, one of ${newest.members.map(({ uuid }) => uuid).join(', ')}`,
  );
}
