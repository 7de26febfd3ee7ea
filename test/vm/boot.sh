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

# Needs CAP_SYS_RESOURCE, which a container may lack; here it is there for certain.
io_flusher_is_set_and_read_back() {
  equal '[0,0,1,0,0]' "$(node test/_fixtures/addon-child.js \
    "$PWD/native/ublk/build/Release/bandstand.node" ioFlusher)" 'I/O flusher before, set, after'
}

scenario 'the guest runs a 6.12 kernel' kernel_is_612
scenario 'the guest writes to an overlay, as root' root_is_thrown_away
scenario 'the ublk driver loads' driver_loads
scenario 'virtio disks have the asked sizes and caches' disks_are_there
scenario 'the I/O flusher state can be set and read back' io_flusher_is_set_and_read_back
