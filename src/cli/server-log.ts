/**
 * The log of a server process.                                                      (control plane)
 *
 * pino makes JSON lines. Where they go decides their form: a file gets them as they are, a terminal
 * gets plain lines, and the journal gets them with a syslog priority in front (`<4>`), which it
 * takes off. There is no worker transport: the log must not depend on threads that start late.
 */

import { writeSync } from 'node:fs';
import { type DestinationStream, type Logger, pino } from 'pino';

export interface ServerLog {
  readonly logger: Logger;
  /** After the file was renamed by a log rotation. */
  reopen(): void;
  flush(): void;
}

/** syslog priorities of pino's levels. */
const PRIORITIES: Readonly<Record<string, number>> = {
  trace: 7,
  debug: 7,
  info: 6,
  warn: 4,
  error: 3,
  fatal: 2,
};

export function openFileLog(path: string, name: string): ServerLog {
  const destination = pino.destination({ dest: path, sync: false, mode: 0o640 });
  // A full disk must not end the server; the lines are lost.
  destination.on('error', () => {});
  return {
    logger: makeLogger(name, destination),
    reopen: () => destination.reopen(),
    flush: () => {
      try {
        destination.flushSync();
      } catch {
        // It is not open yet, or its disk is full: there is nothing to write to.
      }
    },
  };
}

/** stderr: plain lines on a terminal, prefixed JSON for the journal, JSON otherwise. */
export function openStderrLog(
  name: string,
  environment: NodeJS.ProcessEnv = process.env,
): ServerLog {
  const form =
    process.stderr.isTTY === true ? plainLine : environment['JOURNAL_STREAM'] ? journalLine : same;
  const write = (line: string): void => {
    try {
      writeSync(2, form(line));
    } catch {
      // Nobody reads the log any more; serving goes on.
    }
  };
  return { logger: makeLogger(name, { write }), reopen: () => {}, flush: () => {} };
}

function makeLogger(name: string, destination: DestinationStream): Logger {
  return pino(
    {
      base: { pid: process.pid, stack: name },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
}

function same(line: string): string {
  return line;
}

function journalLine(line: string): string {
  const level = /"level":"([a-z]+)"/.exec(line)?.[1] ?? 'info';
  return `<${PRIORITIES[level] ?? 6}>${line}`;
}

const HIDDEN = ['level', 'time', 'pid', 'stack', 'msg'];

/** `09:14:02 W tank: member-error slot=2 errno=EIO` */
export function plainLine(line: string): string {
  const fields = JSON.parse(line) as Record<string, unknown>;
  const time = String(fields['time']).slice(11, 19);
  const level = String(fields['level']).charAt(0).toUpperCase();
  const rest = Object.entries(fields)
    .filter(([key, value]) => !HIDDEN.includes(key) && value !== null)
    .map(([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  return `${time} ${level} ${fields['stack']}: ${fields['msg']}${rest.join('')}\n`;
}
