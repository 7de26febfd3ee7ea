#!/bin/bash
# The main path: a raid1 over two virtio disks, exported by ublk, from create to stop.
# shellcheck source=test/vm/_lib.sh
. "$(dirname "$0")/_lib.sh"

a=$(disk a)
b=$(disk b)
device=/dev/ublkb0
queue=/sys/block/ublkb0/queue

features_name_ublk() {
  bandstand features | tee "$work/features"
  grep -qi ublk "$work/features"
}

creates() {
  blank a b
  bandstand create tank --raid raid1 --yes "$a" "$b"
  equal SPDKRAID "$(head -c 8 "$a")" signature
  no_ublk_nodes
}

create_refuses_what_it_made() {
  fails_with 1 bandstand create other --raid raid1 --yes "$a" "$b"
  grep -q "$a" "$work/error"
}

exports_by_ublk() {
  equal "$device" "$(bandstand export tank)" stdout
  [[ -b $device && -c /dev/ublkc0 ]]
}

exporting_again_changes_nothing() {
  local before
  before=$(server_pid tank)
  equal "$device" "$(bandstand export tank)" stdout
  equal "$before" "$(server_pid tank)" 'server pid'
}

size_matches() {
  local bytes
  bytes=$(node test/vm/_reference.js size "$a" "$b")
  equal "$bytes" "$(blockdev --getsize64 $device)" blockdev
  equal "$bytes" "$(lsblk -bdno SIZE $device | tr -d ' ')" lsblk
}

attributes_match() {
  equal 512 "$(<$queue/logical_block_size)" logical_block_size
  equal 'write back' "$(<$queue/write_cache)" write_cache
  equal 1 "$(<$queue/fua)" fua
  equal 0 "$(<$queue/../ro)" ro
  equal "$(<"/sys/block/$(basename "$a")/queue/rotational")" "$(<$queue/rotational)" rotational
  (($(<$queue/max_sectors_kb) >= 64))
}

status_tells_the_truth() {
  bandstand status tank --json >"$work/status"
  jq . "$work/status"
  jq -e '
    .schema == "bandstand.status/1" and (.data
    | .name == "tank" and .health == "healthy" and .block_size == 512
      and .exports == [{kind: "ublk", address: "/dev/ublkb0", read_only: false, size_bytes}]
      and .array.level == "raid1" and [.array.members[].slot] == [0, 1]
      and [.array.members[].health] == ["ok", "ok"])' "$work/status"
  # The names of members are the ones that outlive a reboot, links to the nodes.
  equal "$a $b" "$(jq -r '.data.array.members[].device' "$work/status" | xargs readlink -f | xargs)"
  equal "$(blockdev --getsize64 $device)" "$(jq .data.size_bytes "$work/status")" size_bytes
  [[ -d /proc/$(jq -er .data.server.pid "$work/status") ]]
}

list_shows_it() {
  bandstand list | tee "$work/list"
  grep -q "^tank .*$device" "$work/list"
  bandstand list --json | jq -e '.data | tostring | contains("tank")'
}

fio_verifies() {
  needs fio
  fio --name=random --filename=$device --ioengine=io_uring --direct=1 --iodepth=16 \
    --rw=randwrite --bs=4k --size=16M --verify=crc32c --verify_fatal=1 --minimal
  fio --name=mixed --filename=$device --ioengine=io_uring --direct=1 --iodepth=8 --fsync=16 \
    --rw=randwrite --bsrange=512-256k --blockalign=512 --offset=16M --size=16M \
    --verify=crc32c --verify_fatal=1 --minimal
}

discards() {
  make_content "$work/content" 8
  dd if="$work/content" of=$device bs=1M oflag=direct status=none
  (($(<$queue/discard_max_bytes) > 0)) || skip 'the device does not offer discard'
  blkdiscard -o $((2 << 20)) -l $((4 << 20)) $device
  cmp -n $((2 << 20)) "$work/content" $device
  cmp -i $((6 << 20)) -n $((2 << 20)) "$work/content" $device
}

zeroes() {
  make_content "$work/content" 8
  dd if="$work/content" of=$device bs=1M oflag=direct status=none
  blkdiscard -z -o $((1 << 20)) -l $((6 << 20)) $device
  cmp -n $((1 << 20)) "$work/content" $device
  dd if=$device bs=1M skip=1 count=6 iflag=direct status=none | cmp -n $((6 << 20)) - /dev/zero
  cmp -i $((7 << 20)) -n $((1 << 20)) "$work/content" $device
}

file_system_works() {
  [[ -b $device ]]
  mkfs.ext4 -q $device
  mkdir "$work/tree"
  make_content "$work/content" 32
  mount $device "$mount_point"
  cp -r src test scripts "$work/tree"
  cp -r "$work/tree" "$work/content" "$mount_point"
  sync "$mount_point"/content
  umount "$mount_point"
  e2fsck -fn $device
}

stop_refuses_while_mounted() {
  mount $device "$mount_point"
  fails_with 1 bandstand stop tank
  grep -q "$device" "$work/error"
  cmp "$work/content" "$mount_point/content"
  touch "$mount_point/still-writable"
  umount "$mount_point"
}

stops() {
  local pid
  pid=$(server_pid tank)
  bandstand stop tank
  eventually 5 no_process "$pid"
  equal '' "$(ublk_nodes)" 'nodes left'
  equal '' "$(bandstand_pids)" 'processes left'
}

stopping_again_is_fine() {
  bandstand stop tank
  bandstand status tank --json | jq -e '.data.server == null and .data.health == "stopped"'
}

mirrors_are_equal() {
  equal SPDKRAID "$(head -c 8 "$b")" signature
  cmp -n $((160 << 20)) -i 1M "$a" "$b"
}

content_survives() {
  equal "$device" "$(bandstand export tank)" stdout
  [[ -b $device ]]
  e2fsck -fn $device
  mount -o ro $device "$mount_point"
  cmp "$work/content" "$mount_point/content"
  diff -r "$work/tree" "$mount_point/tree"
  umount "$mount_point"
}

unexport_keeps_the_server() {
  local pid
  pid=$(server_pid tank)
  bandstand unexport tank
  no_ublk_nodes
  equal "$pid" "$(server_pid tank)" 'server pid'
  equal "$device" "$(bandstand export tank)" stdout
  e2fsck -fn $device
  bandstand stop tank
}

scenario 'features names ublk' features_name_ublk
foundation 'create writes superblocks and exports nothing' creates
scenario 'create refuses the members of an array' create_refuses_what_it_made
foundation 'export prints the device and returns when it is there' exports_by_ublk
scenario 'a second export prints the same and starts no server' exporting_again_changes_nothing
scenario 'the device has the size that the superblock says' size_matches
scenario 'the queue attributes say what the members are' attributes_match
scenario 'status describes the export' status_tells_the_truth
scenario 'list shows the export' list_shows_it
scenario 'fio writes and verifies' fio_verifies
scenario 'discard leaves what lies around the range' discards
scenario 'write-zeroes reads back as zeroes, and only there' zeroes
scenario 'ext4 takes a tree and is clean afterwards' file_system_works
scenario 'stop refuses a mounted device and says which' stop_refuses_while_mounted
scenario 'stop leaves no node and no process' stops
scenario 'stop of a stopped stack succeeds' stopping_again_is_fine
scenario 'both mirrors hold the same bytes' mirrors_are_equal
scenario 'the tree is intact after a new export' content_survives
scenario 'unexport removes the device and keeps the server' unexport_keeps_the_server
