#!/bin/bash
# One server takes over from another while a file system is under a load that verifies itself: it is
# replaced, or it is killed. BANDSTAND_VM_TAKEOVERS says how often each; twice if it does not.
# shellcheck source=test/vm/_redundancy.sh
. "$(dirname "$0")/_redundancy.sh"

takeovers=${BANDSTAND_VM_TAKEOVERS:-2}
members=("$(disk a)" "$(disk b)" "$(disk c)" "$(disk d)")

is_under_load() {
  blank a b c d g
  bandstand create tank --raid raid5f --strip-size 64KiB --cache "$(disk g)" --yes "${members[@]}"
  put_under_load
}

# Milliseconds between the last answer of one server and the first of the next.
pauses() { sort -n "$work/pauses" | xargs; }

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
  pauses >"$work/told"
}

is_killed() {
  local n
  for ((n = 1; n <= takeovers; n++)); do
    kill -9 "$(server_pid tank)"
    equal $device "$(bandstand export tank)" stdout
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
[[ ! -e $work/told ]] || echo "# pauses in ms: $(<"$work/told")"
scenario 'its server is killed again and again, and no I/O fails' is_killed
scenario 'everything is there, and a check finds nothing wrong' is_well
