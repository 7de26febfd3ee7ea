#!/bin/bash
# A parity array with an NV cache in front of its FTL, under a file system: its server is killed,
# the cache leaves and joins under load, the machine loses power again and again (each second time
# while the cache is being detached, or right after), and at last the disk of the cache is pulled.
# BANDSTAND_VM_CUTS says how many cuts; 2 if it does not. The first half is ext4, then xfs.
# In a power cut disks lose their caches.
# shellcheck source=test/vm/_power-cut.sh
. "$(dirname "$0")/_power-cut.sh"

cuts=${BANDSTAND_VM_CUTS:-2}
members=("$(disk a)" "$(disk b)" "$(disk c)" "$(disk d)")
ssd=$(disk g)

if ((POWER_CUTS < (cuts + 1) / 2)); then next=ext4; else next=xfs; fi
if ((POWER_CUTS <= (cuts + 1) / 2)); then current=ext4; else current=xfs; fi

# Longer than by default: the first start of a program in an emulated machine takes its time.
exported() { equal $device "$(bandstand export tank --timeout 110)" stdout; }

cache_is() { bandstand status tank --json | jq -e ".data.cache | $1"; }

starts() {
  blank a b c d g
  mkfs.ext4 -q "$states"
  mount_states
  bandstand create tank --raid raid5f --strip-size 64KiB --yes "${members[@]}" --cache "$ssd"
  exported
  cache_is '.health == "ok" and .epoch == 1 and .undrained_bytes == 0'
  make_file_system "$next"
}

# The kernel holds the operations that the dead server had, and gives them to the next one.
goes_on_after_a_kill() {
  local pid
  mount $device "$mount_point"
  start_load
  sleep 5
  pid=$(server_pid tank)
  kill -9 "$pid"
  eventually 10 no_process "$pid"
  exported
  load_goes_on
  cache_is '.health == "ok" and .lost_blocks == 0'
  stop_load
  umount "$mount_point"
  e2fsck -fn $device
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

# Whether the cache has been drained into the FTL by more than the $1 blocks it had been.
has_drained() { cache_is ". == null or .drained_blocks > $1"; }

# In each second round the cache is leaving when the power is cut, or has just left.
cache_changes() {
  local drained
  if ((POWER_CUTS % 2 == 0)); then
    bandstand cache detach tank
    load_goes_on
    bandstand cache attach tank "$ssd"
    load_goes_on
    cache_is '.health == "ok" and .user_blocks_written > 0'
  else
    drained=$(cache_is .drained_blocks)
    bandstand cache detach tank &
    eventually 30 has_drained "$drained"
  fi
}

is_intact() {
  mount_states
  exported
  noted_is 10
  files_are_intact
  # Where the power was cut while the cache was leaving, the stack has it or has none.
  if ! cache_is '.health == "ok" and .lost_blocks == 0'; then
    cache_is '. == null'
    bandstand cache attach tank "$ssd"
  fi
  if [[ $next != "$current" ]]; then make_file_system "$next"; fi
}

versions() { node test/vm/_versions.js "$1" $device "$work/versions"; }

# Reads all blocks from the device itself.
what_is_read() {
  blockdev --flushbufs $device
  versions read >"$work/found" || { cat "$work/found"; return 1; }
  cat "$work/found"
  jq -e "$1" "$work/found"
}

has_gone_round() { cache_is ".drained_blocks > $1 and .undrained_bytes > 0"; }

cache_is_pulled() {
  local drained
  drained=$(cache_is .drained_blocks)
  touch "$work/versions"
  versions write >"$work/writer" 2>&1 &
  echo $! >"$work/writer-pid"
  eventually 60 has_gone_round $((drained + 1024))
  forget_events
  pull_disk g
  happens cache-failed
  event cache-failed | jq -e '.action | contains("bandstand cache detach tank")'
  eventually 30 no_process "$(<"$work/writer-pid")"
  grep -q 'ended: EIO' "$work/writer"
}

# What only the cache has is an error; nothing older shows in its place.
nothing_old_is_read() {
  what_is_read '.errors > 0 and .right > 0 and .wrong == 0'
  bandstand status tank | tee "$work/status"
  grep -q 'health: failed' "$work/status"
  grep -q 'only read: its cache has failed, with blocks that nothing else has' "$work/status"
  has_not_happened array-failed
  event cache-lost | jq -e '.action | contains("--discard-cache")'
  fails_with 1 bandstand cache detach tank
  grep -q 'is back and well' "$work/error"
}

cache_is_needed() {
  bandstand stop tank
  fails_with 1 bandstand export tank
  grep -q 'its NV cache .* is not there' "$work/error"
  grep -q -- '--discard-cache' "$work/error"
  no_ublk_nodes
}

cache_is_back() {
  plug_disk g
  exported
  cache_is '.health == "ok" and .lost_blocks == 0'
  what_is_read '.errors == 0 and .wrong == 0 and .written > 256'
  bandstand cache detach tank
  what_is_read '.errors == 0 and .wrong == 0'
}

stops() {
  bandstand check tank
  happens check-finished
  event check-finished | jq -e '.mismatched_blocks == 0 and .lost_blocks == 0'
  bandstand stop tank
  umount $state_folder
}

if ((POWER_CUTS == 0)); then
  foundation 'raid5f with an FTL and an NV cache carries a file system' starts
  foundation 'it goes on when the server is killed' goes_on_after_a_kill
else
  foundation 'after a power cut what was durable is there, and the file system is clean' is_intact
fi
if ((POWER_CUTS < cuts)); then
  foundation 'it is under load' is_under_load
  foundation 'the cache leaves under load, and joins if the power is not cut before' cache_changes
  [[ $missing_foundation$skipped_foundation ]] || cut_power
else
  foundation 'the stack says so when the disk of the cache is pulled under load' cache_is_pulled
  scenario 'what only the cache has is an error, and nothing older shows' nothing_old_is_read
  foundation 'the stack is not exported without its cache' cache_is_needed
  scenario 'with the disk back everything is there that was acknowledged' cache_is_back
  scenario 'a check finds nothing wrong' stops
fi
