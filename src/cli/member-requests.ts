/**
 * Requests about members, on their way from the control socket to the data path.    (control plane)
 *
 * Decodes with suspicion, and refuses here, on the main thread, a device that lies on the stack's
 * own export: the data path would wait for itself when it opened it.
 */

import type { ExportStatus } from '../control/schema.ts';
import { decodeMemberCall, type MemberCall, type MemberMethod } from '../control/schema-members.ts';
import { parseNewDevice, refuseOwnExport } from '../stack/new-device.ts';
import { attachSubject } from '../stack/stack-cache.ts';
import type { StackHost } from '../stack/stack-host.ts';
import { paramsError } from './params-error.ts';

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
  const decoded = decodeMemberCall(method, params);
  if ('why' in decoded) throw paramsError(`do ${method} with ${name}`, decoded.why);
  refuseInside(name, decoded.value, exports);
  return await host.call('change', decoded.value);
}

function refuseInside(name: string, call: MemberCall, exports: readonly ExportStatus[]): void {
  for (const device of newDevicesOf(call)) {
    const subject = subjectOf(name, call, device);
    refuseOwnExport(subject, parseNewDevice(subject, device).path, exports);
  }
}

/** For messages: what is to be done with a new device. */
export function subjectOf(name: string, call: MemberCall, device: string): string {
  if (call.method === 'member-replace') return `replace ${call.request.member} with ${device}`;
  return call.method === 'cache' ? attachSubject(name, device) : `add ${device} to ${name}`;
}

/** The devices that are to join the stack. */
function newDevicesOf(call: MemberCall): readonly string[] {
  switch (call.method) {
    case 'member-add':
    case 'member-replace':
      return [call.request.device];
    case 'cache':
      return call.request.devices;
    default:
      return [];
  }
}
