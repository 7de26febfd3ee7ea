#!/bin/bash
# A parity array under the FTL loses power again and again while a file system on it is under load:
# ext4 for the first half of the cuts, then xfs. BANDSTAND_VM_CUTS says how many; 4 if it does not.
# In a power cut disks lose their caches.
# shellcheck source=test/vm/_power-cut.sh
. "$(dirname "$0")/_power-cut.sh"

cuts=${BANDSTAND_VM_CUTS:-4}
members=("$(disk a)" "$(disk b)" "$(disk c)" "$(disk d)")

if ((POWER_CUTS < (cuts + 1) / 2)); then next=ext4; else next=xfs; fi
if ((POWER_CUTS <= (cuts + 1) / 2)); then current=ext4; else current=xfs; fi

starts() {
  blank a b c d
  mkfs.ext4 -q "$states"
  mount_states
  bandstand create tank --raid raid5f --strip-size 64KiB --yes "${members[@]}"
  equal $device "$(bandstand export tank)" stdout
  make_file_system "$next"
}

is_under_load() {
  needs fio
  note 0
  mount $device "$mount_point"
  rm -rf "${mount_point:?}"/*
  start_load
  files_are_written
  load_is_well
}

is_intact() {
  mount_states
  equal $device "$(bandstand export tank)" stdout
  noted_is 10
  files_are_intact
  if [[ $next != "$current" ]]; then make_file_system "$next"; fi
}

stops() {
  bandstand check tank
  happens check-finished
  event check-finished | jq -e '.mismatched_blocks == 0 and .lost_blocks == 0'
  bandstand stop tank
  umount $state_folder
}

if ((POWER_CUTS == 0)); then
  foundation 'raid5f with an FTL carries a file system' starts
else
  foundation 'after a power cut what was durable is there, and the file system is clean' is_intact
fi
if ((POWER_CUTS < cuts)); then
  foundation 'it is under load until the power is cut' is_under_load
  [[ $missing_foundation$skipped_foundation ]] || cut_power
else
  scenario 'after the last cut a check finds nothing wrong' stops
fi
