/**
 * MemberControl: what a server lets its clients change about members.               (control plane)
 *
 * Requests and replies are those of the control protocol: plain data that crosses threads and
 * sockets as it is. Every method throws a BandstandError that says what could not be done and why;
 * then nothing has changed.
 */

import type {
  ActivityReply,
  CheckRequest,
  MemberAddRequest,
  MemberChangeRequest,
  MemberReplaceRequest,
  MemberReply,
  RebuildRequest,
} from '../control/schema-members.ts';

export interface MemberControl {
  addMember(request: MemberAddRequest): Promise<MemberReply>;
  failMember(request: MemberChangeRequest): Promise<MemberReply>;
  removeMember(request: MemberChangeRequest): Promise<MemberReply>;
  replaceMember(request: MemberReplaceRequest): Promise<MemberReply>;
  /** Pause and resume are for a resync, too; its rate has the same limit. */
  controlRebuild(request: RebuildRequest): Promise<ActivityReply>;
  controlCheck(request: CheckRequest): Promise<ActivityReply>;
}
