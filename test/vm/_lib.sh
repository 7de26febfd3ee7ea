# shellcheck shell=bash
# What every guest script shares. A script sources this file, defines functions, and ends with lines
#   scenario 'a sentence that states the property' function
# Each function runs in a subshell with errexit; its output is shown when it fails. `skip REASON`
# ends one as skipped. After a failed `foundation`, which is a scenario that the next ones stand on,
# those fail without being run; after a skipped one they are skipped. The guest is thrown away
# afterwards, so nothing has to be tidied for good, but a script leaves no server, device or mount
# behind for the next one.
set -euo pipefail

work=$(mktemp -d /tmp/vm-test.XXXXXX)
mount_point=$work/mnt
mkdir "$mount_point"
number=0
failures=0
missing_foundation=
skipped_foundation=
result=0

bandstand() { timeout -k 5 120 node bin/bandstand.js "$@"; }

# $1: a virtio disk's name → its device node
disk() { readlink -f "/dev/disk/by-id/virtio-$1"; }

skip() {
  echo "$*"
  exit 77
}

needs() {
  local program
  for program; do command -v "$program" >/dev/null || skip "$program is not installed"; done
}

# $1: what was expected, $2: what came, $3: about what
equal() {
  [[ $1 == "$2" ]] && return
  echo "${3:-value}: expected '$1', got '$2'"
  return 1
}

# $1: expected exit status; the rest is the command. Its standard error is left in $work/error.
fails_with() {
  local expected=$1 status=0
  shift
  "$@" 2>"$work/error" || status=$?
  cat "$work/error"
  equal "$expected" "$status" "exit status of $*"
}

# $1: seconds; the rest is a condition, tried until it holds
eventually() {
  local until=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < until)) || { echo "did not happen: $*"; return 1; }
    sleep 0.2
  done
}

scenario() {
  local title=$1 function=$2 log=$work/log
  number=$((number + 1))
  if [[ $missing_foundation ]]; then
    failures=$((failures + 1))
    not_ok "$title" <<<"not run, because this failed: $missing_foundation"
    return
  fi
  if [[ $skipped_foundation ]]; then
    echo "ok $number - $title # SKIP $skipped_foundation"
    return
  fi
  set +e
  (
    set -eE
    trap 'echo "failed in ${FUNCNAME[0]:-main}, line $LINENO: $BASH_COMMAND" >&2' ERR
    "$function"
  ) >"$log" 2>&1 </dev/null
  result=$?
  set -e
  case $result in
    0) echo "ok $number - $title" ;;
    77) echo "ok $number - $title # SKIP $(tail -n 1 "$log")" ;;
    *)
      failures=$((failures + 1))
      not_ok "$title" < <(tail -n 60 "$log" && server_logs)
      # The next scenario is not to fail for what this one left mounted.
      umount "$mount_point" 2>/dev/null || true
      ;;
  esac
}

foundation() {
  scenario "$@"
  case $result in
    0) ;;
    77) skipped_foundation=${skipped_foundation:-$(tail -n 1 "$work/log")} ;;
    *) missing_foundation=${missing_foundation:-$1} ;;
  esac
}

server_logs() {
  local log
  for log in /run/bandstand/*.log; do
    [[ -s $log ]] && echo "$log:" && tail -n 15 "$log"
  done
  return 0
}

# $1: a title; the details come on standard input
not_ok() {
  echo "not ok $number - $1"
  sed 's/^/#   /'
}

# Every byte of the given disks reads as zero afterwards.
blank() {
  local name
  for name; do blkdiscard -f "$(disk "$name")"; done
}

# $1: a file to make, $2: MiB. Content that no shift, swap or repetition of blocks reproduces.
make_content() {
  openssl enc -aes-128-ctr -nosalt -K "$(printf '%032x' 7)" -iv "$(printf '%032x' "$2")" \
    -in /dev/zero 2>/dev/null | head -c "$(($2 << 20))" >"$1" || true
  equal $(($2 << 20)) "$(stat -c %s "$1")" "size of $1"
}

ublk_nodes() { find /dev -maxdepth 1 -name 'ublk[bc]*' -printf '%f\n' | sort | xargs; }
no_ublk_nodes() { [[ -z $(ublk_nodes) ]]; }
no_process() { [[ ! -d /proc/$1 || $(awk '/^State/ {print $2}' "/proc/$1/status") == Z ]]; }

# $1: a stack → the pid of its server
server_pid() { bandstand status "$1" --json | jq -er .data.server.pid; }

# The pids of all that runs of bandstand.
bandstand_pids() {
  local directory
  for directory in /proc/[0-9]*; do
    if tr '\0' ' ' <"$directory/cmdline" 2>/dev/null | grep -q 'bandstand\.js\|dist/src'; then
      echo "${directory##*/}"
    fi
  done | xargs
}

# Ends whatever a failed scenario left, so that the next script starts clean.
clean_up() {
  local state pid
  umount "$mount_point" 2>/dev/null || true
  for state in /var/lib/bandstand/*.json; do
    [[ ! -e $state ]] || bandstand stop "$(basename "$state" .json)" >/dev/null 2>&1 || true
  done
  for pid in $(bandstand_pids); do kill -9 "$pid" 2>/dev/null || true; done
  rm -rf "$work" /run/bandstand /var/lib/bandstand
  ((failures == 0))
}
trap clean_up EXIT
