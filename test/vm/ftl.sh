#!/bin/bash
# A parity array under the FTL, exported by ublk: a file system on it goes on when the server is
# killed, loses no durable file when the power is cut, and when a disk is lost.
# In a power cut disks lose their caches.
# shellcheck source=test/vm/_power-cut.sh
. "$(dirname "$0")/_power-cut.sh"

a=$(disk a)
b=$(disk b)
c=$(disk c)
d=$(disk d)
queue=/sys/block/ublkb0/queue

starts() {
  blank a b c d
  note 0
  mkfs.ext4 -q "$states"
  mount_states
  bandstand create tank --raid raid5f --strip-size 64KiB --yes "$a" "$b" "$c" "$d"
  equal $device "$(bandstand export tank)" stdout
  equal 4096 "$(<$queue/logical_block_size)" logical_block_size
  bandstand status tank --json | jq -e '.data.ftl.bands.total > 100 and .data.ftl.valid_blocks == 0'
}

fio_verifies() {
  needs fio
  fio --name=random --filename=$device --ioengine=io_uring --direct=1 --iodepth=16 \
    --rw=randwrite --bs=4k --size=16M --verify=crc32c --verify_fatal=1 --minimal
  fio --name=mixed --filename=$device --ioengine=io_uring --direct=1 --iodepth=8 --fsync=16 \
    --rw=randwrite --bsrange=4k-256k --blockalign=4k --offset=16M --size=16M \
    --verify=crc32c --verify_fatal=1 --minimal
}

is_thin() {
  blkdiscard $device
  bandstand status tank --json | jq -e '.data.ftl.valid_blocks == 0'
  dd if=$device bs=1M count=32 iflag=direct status=none | cmp -n $((32 << 20)) - /dev/zero
}

# The kernel holds the operations that the dead server had, and gives them to the next one.
goes_on_after_kills() {
  local pid round
  mkfs.ext4 -q $device
  mount $device "$mount_point"
  start_load
  for round in 1 2 3; do
    sleep 3
    pid=$(server_pid tank)
    kill -9 "$pid"
    eventually 10 no_process "$pid"
    equal $device "$(bandstand export tank)" "stdout, round $round"
    load_is_well
  done
  stop_load
  umount "$mount_point"
  e2fsck -fn $device
}

files_are_durable() {
  mount $device "$mount_point"
  files_are_written
}

survives_a_cut() {
  mount_states
  equal $device "$(bandstand export tank)" stdout
  files_are_intact
}

loses_a_disk() {
  bandstand stop tank
  fails_with 1 bandstand export tank --device "$a" --device "$b" --device "$d"
  equal $device "$(bandstand export tank --degraded --device "$a" --device "$b" --device "$d")" stdout
  files_are_intact
  bandstand stop tank
  umount $state_folder
}

case $POWER_CUTS in
  0)
    foundation 'raid5f gets an FTL and is exported for writing' starts
    scenario 'fio writes and verifies' fio_verifies
    scenario 'what is discarded takes no space and reads as zeroes' is_thin
    foundation 'ext4 goes on when the server is killed three times' goes_on_after_kills
    foundation 'ext4 takes files until the power is cut' files_are_durable
    ;;
  1)
    foundation 'durable files are intact and ext4 is clean' survives_a_cut
    scenario 'they are, too, without one of the disks' loses_a_disk
    ;;
esac
[[ $POWER_CUTS == 1 || $missing_foundation$skipped_foundation ]] || cut_power
