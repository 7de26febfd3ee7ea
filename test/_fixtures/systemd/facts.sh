# shellcheck shell=bash
# What both trials share. A trial prints facts on standard output, as one `name: value` per line; the
# test that had it run knows what they have to be.
PS4='+ ${SECONDS}s '
set -x
cd /root || exit

bandstand() { "$NODE" /clone/bin/bandstand.js "$@"; }
of() { systemctl show "bandstand@$1" -p "$2" --value; }
# $1: the stack, $2: a property of its service, $3: what it has to be
is() { [[ $(of "$1" "$2") == "$3" ]]; }
fact() { echo "$1: $2"; }

# $1: seconds; the rest is a condition
eventually() {
  local until=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < until)) || return 1
    sleep 0.2
  done
}

again() { [[ $(of "$1" NRestarts) -ge 1 ]] && is "$1" ActiveState active; }
