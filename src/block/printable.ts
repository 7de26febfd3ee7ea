/**
 * Text from outside (labels, paths, names), made safe for a terminal.               (control plane)
 */

/** Replaces control characters and lone surrogates by `?`. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed.
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\ud800-\udfff]/gu, '?');
}
