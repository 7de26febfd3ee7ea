/**
 * What is looked at before a request that was written by hand is sent.              (control plane)
 *
 * A server cannot see everything that a command can: mounts that came after its start, programs
 * that have its block device open, what blkid says of a new device. The verbs look at these before
 * they ask (export-in-use.ts, new-device-option.ts), and so does `rpc`, which has no option to go
 * on nevertheless: who wants that uses the verb.
 */

import type { Method } from '../control/schema.ts';
import { decodeMemberCall, isMemberMethod, type MemberMethod } from '../control/schema-members.ts';
import { decodeUnexportRequest } from '../control/schema-unexport.ts';
import { exportsOf, serverPid } from './commands/stop.ts';
import { refuseInUse } from './export-in-use.ts';
import { subjectOf } from './member-requests.ts';
import { newDevice } from './new-device-option.ts';
import { paramsError } from './params-error.ts';

type Params = Readonly<Record<string, unknown>>;

interface Target {
  readonly runDir: string;
  readonly name: string;
  readonly controlSocket: string;
}

/**
 * The params as they are to be sent: paths of new devices are absolute. Throws BandstandError. What
 * is wrong with params of members is left to the server.
 */
export async function guardRequest(
  target: Target,
  method: Method,
  params: Params,
): Promise<Params> {
  if (isMemberMethod(method)) return lookAtDevices(target.name, method, params);
  if (method === 'stop') await refuseWhereUsed(target, 'stop', null);
  if (method === 'unexport') {
    const request = decodeUnexportRequest(params);
    // A server of an earlier build would take it for all exports.
    if ('why' in request) throw paramsError(`unexport ${target.name}`, request.why);
    await refuseWhereUsed(target, 'unexport', request.value.address);
  }
  return params;
}

async function refuseWhereUsed(
  { runDir, name, controlSocket }: Target,
  verb: 'stop' | 'unexport',
  address: string | null,
): Promise<void> {
  const pid = await serverPid(controlSocket, name);
  if (pid === null) return;
  const exports = await exportsOf(runDir, name);
  const meant = exports.filter((one) => address === null || one.address === address);
  refuseInUse(verb, name, meant, pid, `bandstand ${verb} ${name} --stop-in-use`);
}

/** The server opens them exclusively and looks again; that answer counts. */
function lookAtDevices(name: string, method: MemberMethod, params: Params): Params {
  const decoded = decodeMemberCall(method, params);
  if ('why' in decoded) return params;
  const call = decoded.value;
  const look = (device: string): string => newDevice(subjectOf(name, call, device), device);
  if (call.method === 'cache') return { ...params, devices: call.request.devices.map(look) };
  if (call.method === 'member-add' || call.method === 'member-replace') {
    return { ...params, device: look(call.request.device) };
  }
  return params;
}
