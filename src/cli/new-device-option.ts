/**
 * A device that is to join a stack, as a person has named it.                       (control plane)
 */

import { absolutePaths, formatDeviceSpec, parseDeviceSpec } from '../stack/device-spec.ts';
import { inspectNewDevice } from '../stack/new-device.ts';

/** The specification for the server, which runs in another directory. Throws BandstandError. */
export function newDevice(subject: string, text: string): string {
  const device = formatDeviceSpec(absolutePaths(parseDeviceSpec(text)));
  inspectNewDevice(subject, device);
  return device;
}
