/**
 * Requests about members, on their way from the control socket to the data path.    (control plane)
 *
 * Decodes with suspicion, and refuses here, on the main thread, a device that lies on the stack's
 * own export: the data path would wait for itself when it opened it.
 */

import { BandstandError } from '../block/errors.ts';
import type { ExportStatus } from '../control/schema.ts';
import { decodeMemberCall, type MemberCall, type MemberMethod } from '../control/schema-members.ts';
import { parseNewDevice, refuseOwnExport } from '../stack/new-device.ts';
import { attachSubject } from '../stack/stack-cache.ts';
import type { StackHost } from '../stack/stack-host.ts';

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
  if ('why' in decoded) {
    throw new BandstandError('BANDSTAND_CONTROL_PROTOCOL', {
      message: `cannot do ${method} with ${name}: ${decoded.why}`,
      hint: 'use the command of the same version as the server',
    });
  }
  refuseInside(name, decoded.value, exports);
  return await host.call('change', decoded.value);
}

function refuseInside(name: string, call: MemberCall, exports: readonly ExportStatus[]): void {
  for (const device of newDevicesOf(call)) {
    const subject =
      call.method === 'member-replace'
        ? `replace ${call.request.member} with ${device}`
        : call.method === 'cache'
          ? attachSubject(name, device)
          : `add ${device} to ${name}`;
    refuseOwnExport(subject, parseNewDevice(subject, device).path, exports);
  }
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
