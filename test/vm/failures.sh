#!/bin/bash
# Members of a mirror that fail, return, are replaced, while ext4 on it is in use; and a server that
# dies in the middle of a rebuild.
# shellcheck source=test/vm/_redundancy.sh
. "$(dirname "$0")/_redundancy.sh"

a=$(disk a)
b=$(disk b)
c=$(disk c)
d=$(disk d)

starts() {
  blank a b c d
  bandstand create tank --raid raid1 --yes "$a" "$b" "$c" --spare "$d"
  put_under_load
  happens resync-finished
  load_goes_on
}

spare_takes_over() {
  forget_events
  bandstand member fail tank "$a" | tee "$work/out"
  grep -q "is degraded: rebuild onto .* started" "$work/out"
  load_goes_on
  bandstand wait tank --for rebuild --timeout 110s
  health_is healthy
  event rebuild-finished | jq -e '.slot == 0'
  equal "$d" "$(readlink -f "$(event rebuild-finished | jq -r .device)")" 'device in slot 0'
  load_is_well
}

returns_by_delta() {
  local before written
  forget_events
  bandstand member fail tank "$b"
  bandstand member remove tank 1
  load_goes_on
  before=$(bytes_written "$b")
  bandstand member add tank "$b" | tee "$work/out"
  grep -q 'rebuild of slot 1 started, of what it missed' "$work/out"
  happens array-healthy
  event rebuild-started | jq -e '.slot == 1 and .delta'
  # What the load wrote meanwhile is in it, and still it is a fraction of the disk.
  written=$(($(bytes_written "$b") - before))
  ((written < 96 << 20)) || { echo "$written bytes were written to $b"; return 1; }
  load_goes_on
}

member_is_replaced() {
  forget_events
  bandstand member replace tank "$c" "$a"
  happens array-healthy
  event rebuild-started | jq -e '.slot == 2 and .replace'
  has_not_happened array-degraded
  load_goes_on
}

rebuild_survives_a_kill() {
  local pid done_bytes durable before above written
  bandstand member fail tank "$b"
  bandstand member remove tank 1
  slow_down
  bandstand member add tank "$c" | tee "$work/out"
  grep -q 'rebuild of slot 1 started, of everything' "$work/out"
  pid=$(server_pid tank)
  eventually 60 has_copied $((40 << 20))
  kill -9 "$pid"
  done_bytes=$(<"$work/copied")
  eventually 5 no_process "$pid"
  durable=$(checkpoint "$c")
  echo "killed after $done_bytes bytes, of which $durable are durable"
  # One interval of checkpoints, and the time that one takes.
  ((durable >= done_bytes - slow_rate * 8))
  before=$(bytes_written "$c")
  above=$(bytes_written $device)
  forget_events
  equal $device "$(bandstand export tank)" stdout
  happens array-healthy
  event rebuild-started | jq -e '.slot == 1 and .resumed and (.delta | not)'
  # It is not copied again: the rest of the device, what the load wrote, and a little metadata.
  written=$(($(bytes_written "$c") - before - ($(bytes_written $device) - above)))
  echo "$written bytes were written to the target after that"
  ((written <= (191 << 20) - durable + (16 << 20)))
  load_goes_on
}

nothing_was_lost() { all_is_well "$d" "$c" "$a"; }

foundation 'a mirror of three with a spare carries ext4 under a load that verifies' starts
foundation 'a spare takes the place of a failed member while the load goes on' spare_takes_over
foundation 'a removed member that is added again gets only what it missed' returns_by_delta
foundation 'a member is replaced while the mirror stays healthy' member_is_replaced
foundation 'a rebuild goes on where it was after the server is killed' rebuild_survives_a_kill
scenario 'no error was seen, ext4 is clean and all members are equal' nothing_was_lost
