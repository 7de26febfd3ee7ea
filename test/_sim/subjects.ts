/**
 * The subjects that the simulator knows by name, and the scenarios that concern each.
 */

import { CACHE_SCENARIOS } from './cache-scenario.ts';
import { FTL_SCENARIOS } from './ftl-scenario.ts';
import { MANAGED_PROMISES, ManagedSubject } from './managed-subject.ts';
import { MIRROR_SCENARIOS } from './mirror-scenario.ts';
import { PLAIN_PROMISES, PlainSubject } from './plain-subject.ts';
import type { SubjectKind } from './player.ts';
import { concerns, SCENARIOS, type Scenario } from './scenario.ts';
import { CACHED_PROMISES, STACK_PROMISES, StackSubject } from './stack-subject.ts';

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

export const STACK: SubjectKind = {
  name: 'ftl',
  promises: STACK_PROMISES,
  factory: (reactor, disks, array) => new StackSubject(reactor, disks, array),
};

export const CACHED: SubjectKind = { ...STACK, name: 'cache', promises: CACHED_PROMISES };

export const SUBJECTS: readonly SubjectKind[] = [PLAIN, MANAGED, STACK, CACHED];

export const ALL_SCENARIOS: readonly Scenario[] = [
  ...SCENARIOS,
  ...FTL_SCENARIOS,
  ...CACHE_SCENARIOS,
  ...MIRROR_SCENARIOS,
];

export function scenariosOf({ promises }: SubjectKind): readonly Scenario[] {
  if (promises.cached) return [...CACHE_SCENARIOS, ...MIRROR_SCENARIOS];
  return promises.log ? FTL_SCENARIOS : SCENARIOS.filter((one) => concerns(one, promises));
}

export function subjectByName(name: string): SubjectKind {
  const found = SUBJECTS.find((subject) => subject.name === name);
  if (found !== undefined) return found;
  const known = SUBJECTS.map((subject) => subject.name).join(', ');
  throw new Error(`there is no subject ${name}, only ${known}`);
}
