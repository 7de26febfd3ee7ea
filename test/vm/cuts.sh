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

make_file_system() {
  needs mkfs.xfs
  if [[ $next == ext4 ]]; then mkfs.ext4 -qF $device; else mkfs.xfs -qf $device; fi
}

starts() {
  blank a b c d
  mkfs.ext4 -q "$states"
  mount_states
  bandstand create tank --raid raid5f --strip-size 64KiB --yes "${members[@]}"
  equal $device "$(bandstand export tank)" stdout
  make_file_system
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

# Mounting replays the journal; after that there is nothing to repair.
is_intact() {
  local n last
  mount_states
  equal $device "$(bandstand export tank)" stdout
  last=$(noted)
  ((last >= 10))
  mount $device "$mount_point"
  for ((n = 1; n <= last; n++)); do cmp <(content_of $n) "$mount_point/$n"; done
  umount "$mount_point"
  if [[ $current == ext4 ]]; then e2fsck -fn $device; else xfs_repair -n $device; fi
  if [[ $next != "$current" ]]; then make_file_system; fi
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
