/**
 * ManagedArray: what the stack needs of an array whose members can change.          (control plane)
 *
 * Narrow on purpose: what the stack asks for, and the plain data that it shows. Raid's manager is
 * one; tests have their own.
 */

import type { ArrayManager, ManagerStatus } from '../raid/array-manager.ts';

export type ManagedStatus = ManagerStatus;

export type ManagedProcess = NonNullable<ManagedStatus['process']>;

export type ManagedArray = Pick<
  ArrayManager,
  | 'addMember'
  | 'failMember'
  | 'removeMember'
  | 'removeSpare'
  | 'replaceMember'
  | 'startCheck'
  | 'pauseProcess'
  | 'resumeProcess'
  | 'cancelProcess'
  | 'setRate'
  | 'status'
>;
