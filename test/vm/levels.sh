#!/bin/bash
# The content of each level, read and written through the kernel, against layouts computed
# independently (_reference.js), over virtio disks and over loop devices.
# shellcheck source=test/vm/_lib.sh
. "$(dirname "$0")/_lib.sh"

modprobe loop

reference() { node test/vm/_reference.js "$@"; }

# $1: a stack, $2: content; the rest are the members. Writes through the export, compares below it.
writes_land_where_they_should() {
  local name=$1 content=$2 device
  shift 2
  device=$(bandstand export "$name")
  equal "$(blockdev --getss "$1")" "$(blockdev --getss "$device")" 'block size'
  dd if="$content" of="$device" bs=1M oflag=direct conv=fsync status=none
  cmp -n "$(stat -c %s "$content")" "$content" "$device"
  equal "$(reference size "$@")" "$(blockdev --getsize64 "$device")" size
  bandstand stop "$name"
  reference join "$content" "$@"
}

# The same, the other way: lays the content below the export, reads it through it.
reads_come_from_where_they_should() {
  local name=$1 content=$2 device
  shift 2
  reference split "$content" "$@"
  device=$(bandstand export "$name" --read-only)
  equal 1 "$(<"/sys/block/$(basename "$device")/ro")" ro
  cmp -n "$(stat -c %s "$content")" "$content" "$device"
  bandstand stop "$name"
}

raid0_on_disks() {
  blank a b c
  make_content "$work/content" 24
  bandstand create striped --raid raid0 --strip-size 64KiB --yes "$(disk a)" "$(disk b)" "$(disk c)"
  writes_land_where_they_should striped "$work/content" "$(disk a)" "$(disk b)" "$(disk c)"
}

raid0_in_4096_byte_blocks() {
  blank e f
  make_content "$work/content" 12
  bandstand create native --raid raid0 --strip-size 16KiB --yes "$(disk e)" "$(disk f)"
  writes_land_where_they_should native "$work/content" "$(disk e)" "$(disk f)"
}

concat_of_unequal_loops() {
  local index
  local -a loops=()
  for index in 1 2 3; do
    truncate -s $((6 * index + 2))M "$work/loop$index"
    loops+=("$(losetup -f --show --direct-io=on "$work/loop$index")")
  done
  make_content "$work/content" 30
  bandstand create chain --raid concat --strip-size 64KiB --yes "${loops[@]}"
  writes_land_where_they_should chain "$work/content" "${loops[@]}"
  losetup -d "${loops[@]}"
}

raid5f_read_only() {
  blank a b c d
  make_content "$work/content" 24
  bandstand create parity --raid raid5f --no-ftl --strip-size 64KiB --yes \
    "$(disk a)" "$(disk b)" "$(disk c)" "$(disk d)"
  reads_come_from_where_they_should parity "$work/content" \
    "$(disk a)" "$(disk b)" "$(disk c)" "$(disk d)"
}

raid5f_degraded() {
  local device
  fails_with 1 bandstand export parity --read-only \
    --device "$(disk a)" --device "$(disk b)" --device "$(disk d)"
  device=$(bandstand export parity --read-only --degraded \
    --device "$(disk a)" --device "$(disk b)" --device "$(disk d)")
  cmp -n "$(stat -c %s "$work/content")" "$work/content" "$device"
  bandstand stop parity
}

raid5f_refuses_writes() {
  fails_with 1 bandstand export parity
  grep -qi 'read-only\|ftl' "$work/error"
  no_ublk_nodes
}

scenario 'raid0 writes land where SPDK puts them' raid0_on_disks
scenario 'raid0 works in 4096-byte blocks' raid0_in_4096_byte_blocks
scenario 'concat runs over loop devices of unequal sizes' concat_of_unequal_loops
foundation 'raid5f reads what the layout says, through a read-only device' raid5f_read_only
scenario 'raid5f reads the same with a member missing, when told to' raid5f_degraded
scenario 'raid5f without the FTL is refused read-write' raid5f_refuses_writes
