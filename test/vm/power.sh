#!/bin/bash
# The machine loses power twice: while files are written, and in the middle of a rebuild. Each time
# QEMU is killed, and this file begins again on the same disks, with nothing else left.
# shellcheck source=test/vm/_power-cut.sh
. "$(dirname "$0")/_power-cut.sh"

a=$(disk a)
b=$(disk b)
c=$(disk c)
d=$(disk d)

# Only a part of the array was in use when the power was cut.
resyncs_a_part() {
  event resync-started | jq -e '.regions > 0 and .regions * 2 < .regions_total'
  happens resync-finished
  event resync-finished | jq -e '.lost_blocks == 0'
}

starts() {
  blank a b c d
  note 0
  mkfs.ext4 -q "$states"
  mount_states
  bandstand create tank --raid raid1 --yes "$a" "$b" "$c"
  put_under_load
  happens resync-finished
  # What mkfs wrote is let go of five seconds after its last write.
  sleep 8
  files_are_written
  load_goes_on
}

survives_a_cut() {
  mount_states
  equal $device "$(bandstand export tank)" stdout
  resyncs_a_part
  files_are_intact
  members_agree
}

rebuild_runs() {
  needs fio
  mount $device "$mount_point"
  start_load
  bandstand member fail tank "$c"
  bandstand member remove tank 2
  slow_down
  bandstand member add tank "$d"
  eventually 60 has_copied $((40 << 20))
  files_are_written
  load_is_well
}

rebuild_is_resumed() {
  local durable before written
  mount_states
  durable=$(checkpoint "$d")
  echo "$durable bytes were durable"
  ((durable >= 16 << 20))
  before=$(bytes_written "$d")
  equal $device "$(bandstand export tank)" stdout
  resyncs_a_part
  happens array-healthy
  health_is healthy
  event rebuild-started | jq -e '.slot == 2 and .resumed and (.delta | not)'
  written=$(($(bytes_written "$d") - before))
  echo "$written bytes were written to the target after that"
  ((written <= (191 << 20) - durable + (48 << 20)))
}

nothing_was_lost() {
  files_are_intact
  members_agree
  bandstand stop tank
  cmp -i $data_at "$a" "$b"
  cmp -i $data_at "$a" "$d"
  umount $state_folder
}

case $POWER_CUTS in
  0)
    foundation 'a mirror takes files until the power is cut' starts
    ;;
  1)
    foundation 'only what was in use is resynced, and durable files are intact' survives_a_cut
    foundation 'a rebuild runs under load until the power is cut again' rebuild_runs
    ;;
  2)
    foundation 'the rebuild goes on where it was' rebuild_is_resumed
    scenario 'durable files are intact, ext4 is clean and all members are equal' nothing_was_lost
    ;;
esac
[[ $POWER_CUTS == 2 || $missing_foundation$skipped_foundation ]] || cut_power
