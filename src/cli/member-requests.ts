/**
 * Requests about members, on their way from the control socket to the data path.    (control plane)
 *
 * Decodes with suspicion, and refuses here, on the main thread, a device that lies on the stack's
 * own export: the data path would wait for itself when it opened it.
 */

import { BandstandError } from '../block/errors.ts';
import type { Decoded, ExportStatus, Method } from '../control/schema.ts';
import {
  decodeCheck,
  decodeMemberAdd,
  decodeMemberChange,
  decodeMemberReplace,
  decodeRebuild,
} from '../control/schema-members.ts';
import { parseNewDevice, refuseOwnExport } from '../stack/new-device.ts';
import type { StackHost } from '../stack/stack-host.ts';

export type MemberMethod = Extract<Method, `member-${string}` | 'rebuild' | 'check'>;

const MEMBER_METHODS: readonly Method[] = [
  'member-add',
  'member-fail',
  'member-remove',
  'member-replace',
  'rebuild',
  'check',
] satisfies readonly MemberMethod[];

export function isMemberMethod(method: Method): method is MemberMethod {
  return MEMBER_METHODS.includes(method);
}

/** Throws BandstandError. */
export async function changeMembers(
  stack: {
    readonly name: string;
    readonly host: Pick<StackHost, 'call'>;
    readonly exports: readonly ExportStatus[];
  },
  method: MemberMethod,
  params: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  const { name, host, exports } = stack;
  const checked = <T>(decoded: Decoded<T>): T => {
    if ('value' in decoded) return decoded.value;
    throw new BandstandError('BANDSTAND_CONTROL_PROTOCOL', {
      message: `cannot do ${method} with ${name}: ${decoded.why}`,
    });
  };
  const outside = (subject: string, device: string): void => {
    refuseOwnExport(subject, parseNewDevice(subject, device).path, exports);
  };
  switch (method) {
    case 'member-add': {
      const request = checked(decodeMemberAdd(params));
      outside(`add ${request.device} to ${name}`, request.device);
      return await host.call('addMember', request);
    }
    case 'member-replace': {
      const request = checked(decodeMemberReplace(params));
      outside(`replace ${request.member} with ${request.device}`, request.device);
      return await host.call('replaceMember', request);
    }
    case 'member-fail':
      return await host.call('failMember', checked(decodeMemberChange(params)));
    case 'member-remove':
      return await host.call('removeMember', checked(decodeMemberChange(params)));
    case 'rebuild':
      return await host.call('controlRebuild', checked(decodeRebuild(params)));
    case 'check':
      return await host.call('controlCheck', checked(decodeCheck(params)));
  }
}
