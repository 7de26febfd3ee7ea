/**
 * The application: the state of the store on the screen, keys into the store.      (user interface)
 */

import { useInput } from 'ink';
import { useSyncExternalStore } from 'react';
import type { Glyphs } from './glyphs.ts';
import { keyNames } from './keys.ts';
import type { MonitorStore } from './monitor-store.ts';
import { Screen } from './screen.tsx';
import type { Looks } from './theme.ts';

export interface MonitorAppProps {
  readonly store: MonitorStore;
  readonly glyphs: Glyphs;
  readonly looks: Looks;
  /** There is a keyboard. */
  readonly takesKeys: boolean;
  press(key: string): void;
}

export function MonitorApp({ glyphs, looks, press, store, takesKeys }: MonitorAppProps) {
  const state = useSyncExternalStore(store.subscribe, store.state);
  useInput(
    (input, key) => {
      for (const name of keyNames(input, key)) press(name);
    },
    { isActive: takesKeys },
  );
  return <Screen state={state} glyphs={glyphs} looks={looks} />;
}
