#!/bin/bash
# An array whose members grow, under a file system: an export keeps its size until the next one.
# shellcheck source=test/vm/_lib.sh
. "$(dirname "$0")/_lib.sh"

modprobe loop
device=/dev/ublkb0
declare -a loops=()

size_of() { blockdev --getsize64 "$device"; }
told() { bandstand status wide --json | jq -e "$1"; }

has_grown() { (($(told .data.size_bytes) == $(<"$work/before") + (32 << 20))); }

creates() {
  bandstand create wide --raid raid1 --yes "${loops[@]}"
  equal "$device" "$(bandstand export wide)" stdout
  mkfs.ext4 -q "$device"
  mount "$device" "$mount_point"
  make_content "$work/content" 8
  cp "$work/content" "$mount_point"
  sync -f "$mount_point"
  size_of >"$work/before"
}

one_member_is_not_enough() {
  truncate -s 64M "$work/grow0"
  losetup -c "${loops[0]}"
  # The server looks every ten seconds.
  sleep 12
  equal "$(<"$work/before")" "$(told .data.size_bytes)" 'size of the array'
}

grows_while_mounted() {
  truncate -s 64M "$work/grow1"
  losetup -c "${loops[1]}"
  eventually 30 has_grown
  equal "$(<"$work/before")" "$(size_of)" 'size of the export'
  equal "$(<"$work/before")" "$(told '.data.exports[0].size_bytes')" 'size in status'
  told '.data.action | contains("unexport")'
  cmp "$work/content" "$mount_point/content"
}

next_export_has_it() {
  umount "$mount_point"
  bandstand unexport wide
  equal "$device" "$(bandstand export wide)" stdout
  equal $(($(<"$work/before") + (32 << 20))) "$(size_of)" 'size of the export'
  e2fsck -fp "$device"
  resize2fs "$device"
  mount "$device" "$mount_point"
  cmp "$work/content" "$mount_point/content"
  make_content "$work/more" 40
  cp "$work/more" "$mount_point"
  umount "$mount_point"
  e2fsck -fn "$device"
}

both_mirrors_have_it() {
  bandstand stop wide
  cmp -i 1M "${loops[@]}"
}

prepare() {
  local index
  for index in 0 1; do
    truncate -s 32M "$work/grow$index"
    loops+=("$(losetup -f --show --direct-io=on "$work/grow$index")")
  done
}

prepare
foundation 'a mirror of loop devices carries a file system' creates
foundation 'one member that has grown changes nothing' one_member_is_not_enough
foundation 'the array grows with its last member, the export does not' grows_while_mounted
foundation 'the next export has the new size, and the file system takes it' next_export_has_it
scenario 'both mirrors hold the same bytes in what was added' both_mirrors_have_it
losetup -d "${loops[@]}"
