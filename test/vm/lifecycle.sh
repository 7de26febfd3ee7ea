#!/bin/bash
# Servers and devices: options, signals, sudden death, a missing member, a missing driver.
# shellcheck source=test/vm/_lib.sh
. "$(dirname "$0")/_lib.sh"

a=$(disk a)
b=$(disk b)

creates_mirror() {
  blank a b
  bandstand create pair --raid raid1 --yes "$a" "$b"
}

options_are_obeyed() {
  equal /dev/ublkb7 "$(bandstand export pair --id 7 --queues 2 --depth 32)" stdout
  equal 2 "$(find /sys/block/ublkb7/mq -mindepth 1 -maxdepth 1 | wc -l)" queues
  equal 32 "$(</sys/block/ublkb7/queue/nr_requests)" nr_requests
  make_content "$work/content" 4
  dd if="$work/content" of=/dev/ublkb7 bs=1M oflag=direct status=none
  taskset 1 cmp -n $((4 << 20)) "$work/content" /dev/ublkb7
  taskset 2 dd if=/dev/ublkb7 bs=1M count=4 iflag=direct status=none | cmp - "$work/content"
}

nbd_serves_it_too() {
  needs nbdinfo nbdcopy
  local uri pid
  pid=$(server_pid pair)
  uri=$(bandstand export pair --via nbd --read-only)
  equal "$pid" "$(server_pid pair)" 'the server'
  equal 2 "$(bandstand status pair --json | jq '.data.exports | length')" exports
  cmp -n $((4 << 20)) <(nbdcopy "$uri" -) "$work/content"
  bandstand unexport pair /dev/ublkb7
  no_ublk_nodes
  nbdinfo --size "$uri"
  equal /dev/ublkb7 "$(bandstand export pair --via ublk --id 7)" stdout
  bandstand unexport pair "$uri"
  dd if=/dev/ublkb7 bs=1M count=4 iflag=direct status=none | cmp - "$work/content"
}

sigterm_stops() {
  local pid
  pid=$(server_pid pair)
  kill "$pid"
  eventually 20 no_process "$pid"
  eventually 5 no_ublk_nodes
  bandstand status pair --json | jq -e '.data.server == null'
}

export_recovers_after_a_kill() {
  local pid
  equal /dev/ublkb0 "$(bandstand export pair)" stdout
  pid=$(server_pid pair)
  mkfs.ext4 -q /dev/ublkb0
  mount /dev/ublkb0 "$mount_point"
  cp "$work/content" "$mount_point"
  kill -9 "$pid"
  eventually 5 no_process "$pid"
  [[ -b /dev/ublkb0 ]]
  sync -f "$mount_point" &
  equal /dev/ublkb0 "$(bandstand export pair)" stdout
  timeout 30 tail --pid=$! -f /dev/null
  [[ $(server_pid pair) != "$pid" ]]
  umount "$mount_point"
  e2fsck -fn /dev/ublkb0
  mount -o ro /dev/ublkb0 "$mount_point"
  cmp "$work/content" "$mount_point/content"
  umount "$mount_point"
}

stop_cleans_up_after_a_kill() {
  local pid
  pid=$(server_pid pair)
  kill -9 "$pid"
  eventually 5 no_process "$pid"
  equal 'ublkb0 ublkc0' "$(ublk_nodes)" nodes
  bandstand stop pair
  equal '' "$(ublk_nodes)" 'nodes left'
}

# The virtio device behind b, and what to write to make it disappear and come back.
virtio=$(basename "$(readlink -f "/sys/block/$(basename "$b")/device")")
pull() { echo "$virtio" >/sys/bus/virtio/drivers/virtio_blk/unbind; }
plug() { echo "$virtio" >/sys/bus/virtio/drivers/virtio_blk/bind; }

degraded_has_to_be_asked_for() {
  pull
  [[ ! -e $b ]]
  fails_with 1 bandstand export pair
  grep -qi 'missing' "$work/error"
  grep -q -- '--degraded' "$work/error"
  no_ublk_nodes
}

degraded_export_works() {
  equal /dev/ublkb0 "$(bandstand export pair --degraded)" stdout
  bandstand status pair --json | jq -e '
    .data.health == "degraded" and [.data.array.members[].health] == ["ok", "missing"]'
  fails_with 3 bandstand status pair --exit-code
  e2fsck -fn /dev/ublkb0
  mount /dev/ublkb0 "$mount_point"
  cmp "$work/content" "$mount_point/content"
  cp "$work/content" "$mount_point/second"
  umount "$mount_point"
  bandstand stop pair
}

stale_member_catches_up() {
  plug
  eventually 5 test -b "$b"
  bandstand export pair
  mount -o ro /dev/ublkb0 "$mount_point"
  cmp "$work/content" "$mount_point/second"
  bandstand wait pair --for rebuild
  bandstand status pair --json | jq -e '
    .data.health == "healthy" and [.data.array.members[].health] == ["ok", "ok"]'
  cmp "$work/content" "$mount_point/second"
  umount "$mount_point"
  bandstand stop pair
  cmp -i $((1 << 20)) "$a" "$b"
}

falls_back_to_nbd() {
  needs nbdinfo nbdcopy
  local modules uri
  modules=/lib/modules/$(uname -r)
  blank c d
  bandstand create net --raid raid0 --yes "$(disk c)" "$(disk d)"
  rmmod ublk_drv
  mv "$modules" "$modules.hidden"
  uri=$(bandstand export net --via auto 2>"$work/error") || { cat "$work/error"; return 1; }
  mv "$modules.hidden" "$modules"
  cat "$work/error"
  [[ $uri == nbd+unix:///* ]]
  grep -qi ublk "$work/error"
  nbdinfo --size "$uri"
  nbdcopy "$work/content" "$uri"
  cmp -n $((4 << 20)) <(nbdcopy "$uri" -) "$work/content"
  bandstand stop net
  no_ublk_nodes
}

via_ublk_loads_the_driver() {
  [[ ! -e /dev/ublk-control ]]
  equal /dev/ublkb0 "$(bandstand export net --via ublk)" stdout
  cmp -n $((4 << 20)) "$work/content" /dev/ublkb0
  bandstand stop net
}

foundation 'a mirror is made for what follows' creates_mirror
scenario 'export obeys --id, --queues and --depth' options_are_obeyed
scenario 'a block device is exported over NBD, too, and each is removed alone' nbd_serves_it_too
scenario 'SIGTERM stops the server and removes the device' sigterm_stops
scenario 'export recovers a killed server under a mounted file system' export_recovers_after_a_kill
scenario 'stop removes what a killed server left' stop_cleans_up_after_a_kill
scenario 'a missing member is refused without --degraded' degraded_has_to_be_asked_for
scenario 'a degraded mirror serves and says so' degraded_export_works
scenario 'a member that missed writes gets them when it is back' stale_member_catches_up
scenario 'export falls back to NBD where ublk cannot be had, and says so' falls_back_to_nbd
scenario 'export --via ublk loads the driver' via_ublk_loads_the_driver
