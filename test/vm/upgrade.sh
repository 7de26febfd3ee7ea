#!/bin/bash
# One server takes over from another while a file system is under a load that verifies itself: it is
# replaced, or it is killed. BANDSTAND_VM_TAKEOVERS says how often each, twice if it does not;
# BANDSTAND_VM_KILLS says how often it is killed, if that is to be another number.
# shellcheck source=test/vm/_redundancy.sh
. "$(dirname "$0")/_redundancy.sh"

takeovers=${BANDSTAND_VM_TAKEOVERS:-2}
kills=${BANDSTAND_VM_KILLS:-$takeovers}
members=("$(disk a)" "$(disk b)" "$(disk c)" "$(disk d)")

is_under_load() {
  blank a b c d g
  bandstand create tank --raid raid5f --strip-size 64KiB --cache "$(disk g)" --yes "${members[@]}"
  put_under_load
}

# $1: what the milliseconds in $work/pauses are about; also as far as a scenario came that failed
tell() { [[ ! -s $work/pauses ]] || echo "# $1: $(sort -n "$work/pauses" | xargs) ms"; }

is_replaced() {
  local n pid
  : >"$work/pauses"
  for ((n = 1; n <= takeovers; n++)); do
    pid=$(server_pid tank)
    bandstand upgrade tank --json | jq -er '.data | select(.closed_cleanly) | .pause_ms' >>"$work/pauses"
    no_process "$pid"
    [[ $(server_pid tank) != "$pid" ]]
    load_goes_on
  done
}

is_killed() {
  local n pid begin
  : >"$work/pauses"
  for ((n = 1; n <= kills; n++)); do
    pid=$(server_pid tank)
    begin=$(date +%s%3N)
    kill -9 "$pid"
    equal $device "$(bandstand export tank)" stdout
    echo $(($(date +%s%3N) - begin)) >>"$work/pauses"
    load_goes_on
  done
}

is_well() {
  stop_load
  umount "$mount_point"
  e2fsck -fn $device
  mount -o ro $device "$mount_point"
  cmp "$work/content" "$mount_point/content"
  umount "$mount_point"
  members_agree
  bandstand stop tank
  no_ublk_nodes
}

foundation 'raid5f with an FTL and a cache is under load' is_under_load
scenario 'its server is replaced again and again, and no I/O fails' is_replaced
tell 'between the last answer of one server and the first of the next'
scenario 'its server is killed again and again, and no I/O fails' is_killed
tell 'from a kill until the next server was there, with the start of the command'
scenario 'everything is there, and a check finds nothing wrong' is_well
