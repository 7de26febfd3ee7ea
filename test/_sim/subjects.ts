/**
 * The subjects that the simulator knows by name.
 */

import { MANAGED_PROMISES, ManagedSubject } from './managed-subject.ts';
import { PLAIN_PROMISES, PlainSubject } from './plain-subject.ts';
import type { SubjectKind } from './player.ts';

export const PLAIN: SubjectKind = {
  name: 'plain',
  promises: PLAIN_PROMISES,
  factory: (reactor, disks, array) => new PlainSubject(reactor, disks, array),
};

export const MANAGED: SubjectKind = {
  name: 'managed',
  promises: MANAGED_PROMISES,
  factory: (reactor, disks, array) => new ManagedSubject(reactor, disks, array),
};

export const SUBJECTS: readonly SubjectKind[] = [PLAIN, MANAGED];
