/**
 * Completion scripts for bash, zsh and fish, made from the verbs' own data.         (control plane)
 *
 * Each offers verbs, the options of the verb, the words of a choice, names of stacks for NAME
 * (asked of the program when the key is pressed), and files for everything else that has a value.
 */

import { COMMON_OPTIONS, type Command, type OptionSpec, type PositionalSpec } from './command.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** Prints the names of all stacks that are known, one on each line. */
const NAMES = 'bandstand list --plain 2>/dev/null | cut -f 1';

export function completionScript(shell: Shell, verbs: readonly Command[]): string {
  if (shell === 'bash') return bashScript(verbs);
  return shell === 'zsh' ? zshScript(verbs) : fishScript(verbs);
}

/** As it is typed: `--no-input` for a flag that is only ever turned off. */
function spellings({ name, shown, kind }: OptionSpec): string[] {
  if (kind !== 'flag' || shown === undefined || shown === 'on') return [`--${name}`];
  return shown === 'off' ? [`--no-${name}`] : [`--${name}`, `--no-${name}`];
}

function optionsOf(verb: Command): OptionSpec[] {
  return [...verb.options, ...COMMON_OPTIONS];
}

const isStack = ({ name }: PositionalSpec): boolean => name === 'NAME';

/** Within single quotes of a POSIX shell. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

// --- bash ---------------------------------------------------------------------------------------

function bashScript(verbs: readonly Command[]): string {
  const names = verbs.map(({ name }) => name).join(' ');
  return `# bash completion for bandstand: source it, or put it into bash-completion's folder.

# Sets options and valued (those with a value) of the verb $1.
_bandstand_options() {
  case $1 in
${verbs.map(bashOptions).join('\n')}
  esac
}

# Sets words, or files, for what comes after the option $2 of the verb $1, or in the place $2.
_bandstand_words() {
  case $1:$2 in
${verbs.flatMap(bashWords).join('\n')}
  esac
}

_bandstand() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]}
  local verb='' place=0 options='' valued='' words='' files='' at word
  COMPREPLY=()
  for ((at = 1; at < COMP_CWORD; at++)); do
    word=\${COMP_WORDS[at]}
    if [[ $word == -* ]]; then
      continue
    elif [[ -z $verb ]]; then
      verb=$word
      _bandstand_options "$verb"
    elif [[ $valued != *" \${COMP_WORDS[at - 1]} "* ]]; then
      place=$((place + 1))
    fi
  done
  if [[ -z $verb ]]; then
    words=${quoted(names)}
  elif [[ $valued == *" $before "* ]]; then
    _bandstand_words "$verb" "$before"
  elif [[ $current == -* ]]; then
    words=$options
  else
    _bandstand_words "$verb" "$place"
  fi
  if [[ $words ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  elif [[ $files ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  fi
}

complete -F _bandstand bandstand`;
}

function bashOptions(verb: Command): string {
  const options = optionsOf(verb);
  const valued = options.filter(({ kind }) => kind !== 'flag').map(({ name }) => `--${name}`);
  return `    ${verb.name})
      options=${quoted(options.flatMap(spellings).join(' '))}
      valued=${quoted(` ${valued.join(' ')} `)}
      ;;`;
}

/** One pattern for each option with a value, and for each place. */
function bashWords(verb: Command): string[] {
  const line = (pattern: string, words: readonly string[] | undefined): string => {
    const what = words === undefined ? 'files=1' : `words=${quoted(words.join(' '))}`;
    return `    ${verb.name}:${pattern}) ${what} ;;`;
  };
  const options = optionsOf(verb).filter(({ kind }) => kind !== 'flag');
  const places = verb.positionals.map((place, index) => {
    const pattern = place.many ? '[0-9]*' : String(index);
    return isStack(place)
      ? `    ${verb.name}:${pattern}) words=$(${NAMES}) ;;`
      : line(pattern, place.words);
  });
  return [...options.map(({ name, words }) => line(`--${name}`, words)), ...places];
}

// --- zsh ----------------------------------------------------------------------------------------

/** In a specification of _arguments. */
const inBrackets = (text: string): string => text.replaceAll(/[[\]:\\]/g, '\\$&');

function zshScript(verbs: readonly Command[]): string {
  const cases = verbs.map((verb) => {
    const options = optionsOf(verb).flatMap((spec) =>
      spellings(spec).map((spelling) => quoted(zshOption(spec, spelling))),
    );
    const places = verb.positionals.map((place, index) => quoted(zshPlace(place, index)));
    return `    ${verb.name})
      _arguments -S ${[...options, ...places].join(' \\\n        ')}
      ;;`;
  });
  const list = verbs.map(({ name, summary }) => quoted(`${name}:${summary}`)).join('\n    ');
  return `#compdef bandstand
# zsh completion for bandstand: put it into a folder of $fpath as _bandstand.

_bandstand_names() {
  local -a names
  names=(\${(f)"$(${NAMES})"})
  _describe -t stacks stack names
}

_bandstand() {
  local -a verbs
  verbs=(
    ${list}
  )
  if ((CURRENT == 2)); then
    _describe -t verbs verb verbs
    return
  fi
  local verb=$words[2]
  shift words
  ((CURRENT--))
  case $verb in
${cases.join('\n')}
  esac
}

if [[ $funcstack[1] == _bandstand ]]; then _bandstand "$@"; else compdef _bandstand bandstand; fi`;
}

function zshOption({ kind, value, words, summary }: OptionSpec, spelling: string): string {
  const repeat = kind === 'list' ? '*' : '';
  const base = `${repeat}${spelling}[${inBrackets(summary)}]`;
  if (kind === 'flag') return base;
  const what = words === undefined ? '_files' : `(${words.join(' ')})`;
  return `${base}:${inBrackets(value ?? 'VALUE')}:${what}`;
}

function zshPlace(place: PositionalSpec, index: number): string {
  const at = place.many ? '*' : String(index + 1);
  const what = isStack(place)
    ? '_bandstand_names'
    : place.words === undefined
      ? '_files'
      : `(${place.words.join(' ')})`;
  return `${at}:${place.name}:${what}`;
}

// --- fish ---------------------------------------------------------------------------------------

function fishScript(verbs: readonly Command[]): string {
  const lines = ['# fish completion for bandstand: put it into fish’s folder completions.', ''];
  lines.push('complete -c bandstand -f');
  for (const { name, summary } of verbs) {
    const when = quoted('__fish_use_subcommand');
    lines.push(`complete -c bandstand -n ${when} -a ${name} -d ${fishQuoted(summary)}`);
  }
  for (const verb of verbs) {
    const when = quoted(`__fish_seen_subcommand_from ${verb.name}`);
    const begin = `complete -c bandstand -n ${when}`;
    for (const spec of optionsOf(verb)) {
      const value = spec.kind === 'flag' ? '' : ' -r';
      const words = spec.words === undefined ? '' : ` -f -a ${quoted(spec.words.join(' '))}`;
      const files = value !== '' && words === '' ? ' -F' : '';
      for (const spelling of spellings(spec)) {
        const short = spec.short === undefined ? '' : ` -s ${spec.short}`;
        const long = ` -l ${spelling.slice(2)}`;
        lines.push(
          `${begin}${short}${long}${value}${words}${files} -d ${fishQuoted(spec.summary)}`,
        );
      }
    }
    for (const place of verb.positionals) {
      if (isStack(place)) lines.push(`${begin} -a ${quoted(`(${NAMES})`)}`);
      else if (place.words === undefined) lines.push(`${begin} -F`);
      else lines.push(`${begin} -a ${quoted(place.words.join(' '))}`);
    }
  }
  return lines.join('\n');
}

/** fish escapes within single quotes with a backslash. */
function fishQuoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
