/**
 * What a screen reader is told: sentences, and only when something has changed.    (user interface)
 *
 * Lines are appended, never drawn over. There is one for the health, for the beginning and the end
 * of an activity, for each tenth of it, and for each event; whoever listens is not told twice.
 */

import type { StatusDocument } from '../control/schema.ts';
import type { EventDocument } from '../control/schema-events.ts';
import { recoveryView } from './recovery-view.ts';
import { type ActivityView, percentText, stackView } from './view.ts';

export interface Heard {
  readonly health: string;
  readonly reason: string | null;
  /** Title and tenth of each activity. */
  readonly activities: readonly (readonly [title: string, tenth: number | null])[];
}

export interface Spoken {
  readonly lines: readonly string[];
  readonly heard: Heard;
}

export function spokenLines(
  before: Heard | null,
  status: StatusDocument,
  events: readonly EventDocument[],
): Spoken {
  const { action, activities, health, name, reason } = stackView(status);
  const heard: Heard = {
    health,
    reason,
    activities: activities.map(({ share, title }) => [
      title,
      share === null ? null : Math.floor(share * 10),
    ]),
  };
  const lines: string[] = [];
  if (before?.health !== health || before.reason !== reason) {
    lines.push(`${name} is ${health}${reason === null ? '' : `: ${reason}`}.`);
    if (action !== null) lines.push(`What to do: ${action}.`);
  }
  activities.forEach((activity, index) => {
    const [, tenth] = heard.activities[index]!;
    const known = before?.activities.find(([title]) => title === activity.title);
    if (known !== undefined && known[1] === tenth) return;
    lines.push(activitySentence(name, activity));
    const loss = known === undefined ? (recoveryView(status)?.loss ?? null) : null;
    if (loss !== null && activity.kind === 'recovery') lines.push(`Data loss: ${loss}.`);
  });
  for (const [title] of before?.activities ?? []) {
    if (!heard.activities.some(([one]) => one === title)) lines.push(`${name}: ${title} is over.`);
  }
  for (const { message, severity } of events) {
    lines.push(
      `${severity === 'info' ? 'Event' : severity === 'error' ? 'Error' : 'Warning'}: ${message}.`,
    );
  }
  return { lines, heard };
}

function activitySentence(name: string, { eta, rate, share, title }: ActivityView): string {
  const parts = [share === null ? title : `${title}, ${percentText(share)} done`];
  if (rate !== null) parts.push(`at ${rate}`);
  if (eta !== null) parts.push(eta.startsWith('~') ? `about ${eta.slice(1)} left` : eta);
  return `${name}: ${parts.join(', ')}.`;
}
