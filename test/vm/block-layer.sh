#!/bin/bash
# What a kernel does with a block device besides reading and writing it: the scenarios of blktests'
# "block" group that fit a device served by a process, on raid5f with an FTL.
# shellcheck source=test/vm/_lib.sh
. "$(dirname "$0")/_lib.sh"

device=/dev/ublkb0
sysfs=/sys/block/ublkb0
modprobe mq-deadline 2>/dev/null || true

is_there() {
  blank a b c d
  bandstand create tank --raid raid5f --yes "$(disk a)" "$(disk b)" "$(disk c)" "$(disk d)"
  equal $device "$(bandstand export tank --queues 2)" stdout
  make_content "$work/content" 8
}

# Writes and verifies for so many seconds, in the background; `wait` tells how it went.
load() {
  needs fio
  fio --name=load --filename=$device --offset=64M --size=16M --ioengine=io_uring --direct=1 \
    --iodepth=8 --rw=randwrite --bsrange=4k-64k --time_based --runtime="$1" --verify=crc32c \
    --verify_fatal=1 --verify_backlog=64 --randseed=1 --minimal >"$work/fio" 2>&1 &
}

nothing_in_flight() { [[ $(xargs <$sysfs/inflight) == '0 0' ]]; }

scheduler_changes() {
  local scheduler n
  load 10
  for ((n = 0; n < 3; n++)); do
    for scheduler in $(tr -d '[]' <$sysfs/queue/scheduler); do
      echo "$scheduler" >$sysfs/queue/scheduler
      grep -F "[$scheduler]" $sysfs/queue/scheduler
      sleep 1
    done
  done
  wait $! || { cat "$work/fio"; return 1; }
  echo none >$sysfs/queue/scheduler
}

processors_come_and_go() {
  local n processor=/sys/devices/system/cpu/cpu1/online
  [[ -e $processor ]] || skip 'this guest has one processor'
  load 10
  for ((n = 0; n < 3; n++)); do
    echo 0 >$processor
    sleep 1
    echo 1 >$processor
    sleep 1
  done
  wait $! || { cat "$work/fio"; return 1; }
}

counts_add_up() {
  local before after
  eventually 5 nothing_in_flight
  before=$(awk '{ print $1, $3, $5, $7 }' $sysfs/stat)
  dd if="$work/content" of=$device bs=1M oflag=direct status=none
  dd if=$device of=/dev/null bs=1M count=8 iflag=direct status=none
  after=$(awk '{ print $1, $3, $5, $7 }' $sysfs/stat)
  eventually 5 nothing_in_flight
  # Reads, sectors read, writes, sectors written: what was asked for, exactly.
  equal "$((8 << 11)) $((8 << 11))" "$(awk '{ print $6 - $2, $8 - $4 }' <<<"$before $after")" sectors
  awk '$5 <= $1 || $7 <= $3 { exit 1 }' <<<"$before $after"
}

direct_sizes() {
  local block bytes
  block=$(<$sysfs/queue/logical_block_size)
  for bytes in "$block" $((3 * block)) $((128 << 10)) $(((256 << 10) + block)) $((4 << 20)); do
    dd if="$work/content" of=$device bs="$bytes" count=1 oflag=direct status=none
    dd if=$device bs="$bytes" count=1 iflag=direct status=none | cmp -n "$bytes" - "$work/content"
  done
  for bytes in $((block / 2)) $((block + 512)); do
    ((bytes % block == 0)) && continue
    fails_with 1 dd if="$work/content" of=$device bs="$bytes" count=1 oflag=direct
    grep -q 'Invalid argument' "$work/error"
  done
}

discard_is_coherent() {
  dd if="$work/content" of=$device bs=1M conv=fsync status=none
  cmp -n $((8 << 20)) $device "$work/content"
  # All of this is in the page cache now, and must not be read from there again.
  blkdiscard -o $((1 << 20)) -l $((2 << 20)) $device
  cmp -n $((2 << 20)) -i $((1 << 20)):0 $device /dev/zero
  cmp -n $((1 << 20)) $device "$work/content"
  cmp -n $((5 << 20)) -i $((3 << 20)) $device "$work/content"
  blkdiscard -z -o $((4 << 20)) -l $((1 << 20)) $device
  cmp -n $((1 << 20)) -i $((4 << 20)):0 $device /dev/zero
  cmp -n $((1 << 20)) -i $((5 << 20)) $device "$work/content"
}

read_only_device() {
  blockdev --setro $device
  fails_with 1 dd if="$work/content" of=$device bs=1M count=1 oflag=direct
  fails_with 1 blkdiscard $device
  fails_with 1 blkdiscard -z $device
  blockdev --setrw $device
  dd if="$work/content" of=$device bs=1M count=1 oflag=direct status=none
}

# $1: first sector, $2: sectors. An entry of a partition table, for Linux.
entry() {
  local value text=
  for value in "$1" "$2"; do
    text+=$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' $((value & 255)) $((value >> 8 & 255)) \
      $((value >> 16 & 255)) $((value >> 24 & 255)))
  done
  printf '\x00\x00\x02\x00\x83\xff\xff\xff'
  # shellcheck disable=SC2059
  printf "$text"
}

# Sectors of a partition table are logical blocks.
partitions() {
  local block sectors
  block=$(<$sysfs/queue/logical_block_size)
  sectors=$(((16 << 20) / block))
  blkdiscard $device
  { head -c 446 /dev/zero; entry $sectors $sectors; entry $((2 * sectors)) $sectors
    head -c 32 /dev/zero; printf '\x55\xaa'; } >"$work/table"
  equal 512 "$(stat -c %s "$work/table")" 'size of the table'
  head -c $((block - 512)) /dev/zero >>"$work/table"
  dd if="$work/table" of=$device bs="$block" oflag=direct conv=fsync status=none
  blockdev --rereadpt $device
  equal $((16 << 20)) "$(blockdev --getsize64 ${device}p2)" 'size of the second'
  equal 0 "$(<$sysfs/ublkb0p2/alignment_offset)" 'alignment of the second'
  dd if="$work/content" of=${device}p2 bs=1M oflag=direct status=none
  cmp -n $((8 << 20)) -i $((32 << 20)):0 $device "$work/content"
  mkfs.ext4 -q ${device}p1
  mount ${device}p1 "$mount_point"
  fails_with 1 blockdev --rereadpt $device
  grep -qi 'busy' "$work/error"
  fails_with 1 bandstand stop tank
  grep -q "${device}p1\|mounted" "$work/error"
  umount "$mount_point"
}

comes_back_with_partitions() {
  equal $device "$(bandstand stop tank >/dev/null && bandstand export tank --queues 2)" stdout
  eventually 5 test -b ${device}p2
  cmp -n $((8 << 20)) ${device}p2 "$work/content"
  e2fsck -fn ${device}p1
}

one_request_at_a_time() {
  needs fio
  bandstand stop tank
  equal $device "$(bandstand export tank --depth 1)" stdout
  # A scheduler has twice as many.
  echo none >$sysfs/queue/scheduler
  equal 1 "$(<$sysfs/queue/nr_requests)" nr_requests
  load 5
  wait $! || { cat "$work/fio"; return 1; }
}

no_writer_in_the_kernel() { ! pgrep -x dd >/dev/null; }

vanishes_under_a_mount() {
  mkfs.ext4 -q -F $device
  mount $device "$mount_point"
  dd if=/dev/zero of="$mount_point/file" bs=1M count=64 status=none &
  sleep 1
  bandstand stop tank --stop-in-use
  wait $! || true
  eventually 30 no_writer_in_the_kernel
  fails_with 1 dd if=/dev/zero of="$mount_point/other" bs=1M count=1 conv=fsync
  umount "$mount_point"
  eventually 10 no_ublk_nodes
  equal $device "$(bandstand export tank)" stdout
  # Its journal is replayed, and then it is whole.
  mount $device "$mount_point"
  umount "$mount_point"
  e2fsck -fn $device
  bandstand stop tank
}

foundation 'raid5f with an FTL is exported with two queues' is_there
scenario 'the scheduler is changed under load' scheduler_changes
scenario 'processors come and go under load' processors_come_and_go
scenario 'the statistics of the kernel add up, and nothing stays in flight' counts_add_up
scenario 'direct I/O of any size works, and of half a block is refused' direct_sizes
scenario 'what is discarded is not read from the page cache' discard_is_coherent
scenario 'a device that the kernel holds read-only refuses writes, discards and zeroes' read_only_device
scenario 'partitions are found and used, and keep a device from being stopped' partitions
scenario 'partitions are found again by the next export' comes_back_with_partitions
scenario 'one request at a time is enough' one_request_at_a_time
scenario 'a device that is taken away under a mount fails its I/O, and nothing hangs' vanishes_under_a_mount
