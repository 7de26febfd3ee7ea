#!/bin/bash
# The guest itself: that the tests after this one run where they think they do.
# shellcheck source=test/vm/_lib.sh
. "$(dirname "$0")/_lib.sh"

kernel_is_612() {
  uname -a
  [[ $(uname -r) == 6.12.* ]]
}

root_is_thrown_away() {
  grep -q ' / overlay ' /proc/mounts
  equal 0 "$(id -u)" uid
}

driver_loads() {
  modprobe ublk_drv
  [[ -c /dev/ublk-control ]]
}

disks_are_there() {
  equal $((192 << 20)) "$(blockdev --getsize64 "$(disk a)")" 'size of a'
  equal 4096 "$(blockdev --getss "$(disk e)")" 'block size of e'
  equal 'write back' "$(<"/sys/block/$(basename "$(disk a)")/queue/write_cache")" cache
}

scenario 'the guest runs a 6.12 kernel' kernel_is_612
scenario 'the guest writes to an overlay, as root' root_is_thrown_away
scenario 'the ublk driver loads' driver_loads
scenario 'virtio disks have the asked sizes and caches' disks_are_there
