/**
 * What a terminal is likely to show, from the environment of a process.            (control plane)
 */

export type Environment = Readonly<Record<string, string | undefined>>;

/** Whether it has more than ASCII: the locale says so, and it is not the kernel's own console. */
export function showsUnicode(environment: Environment): boolean {
  if (environment['TERM'] === 'linux') return false;
  const locale = [environment['LC_ALL'], environment['LC_CTYPE'], environment['LANG']].find(
    (value) => value !== undefined && value !== '',
  );
  return locale !== undefined && /utf-?8/i.test(locale);
}
