/**
 * `bandstand completion SHELL`: a script for the shell.                             (control plane)
 */

import { orList, usageError } from '../arguments.ts';
import type { Command, CommandEntry } from '../command.ts';
import { completionScript, SHELLS } from '../completion-scripts.ts';

/** `table`: the verbs, which this one is among. */
export function completionOf(table: readonly CommandEntry[]): Command {
  return {
    name: 'completion',
    summary: 'Prints a script with which a shell completes verbs, options and names of stacks.',
    positionals: [{ name: 'SHELL', required: true, many: false, words: SHELLS }],
    options: [],
    examples: [
      ['completion bash >/etc/bash_completion.d/bandstand', 'for all users of bash'],
      ['completion fish | source', 'in a running fish'],
    ],
    async run(_context, args) {
      const word = args.positional('SHELL');
      const shell = SHELLS.find((one) => one === word);
      if (shell === undefined) {
        throw usageError(`cannot complete for '${word}'`, `choose ${orList(SHELLS)}`);
      }
      const verbs = await Promise.all(table.map((entry) => entry.load()));
      const script = completionScript(shell, verbs);
      return {
        schema: 'bandstand.completion/1',
        data: { shell, script },
        text: () => script,
        plain: () => script.split('\n').map((line) => [line]),
      };
    },
  };
}
