#!/bin/bash
# The ublk exporter alone, over a memory or null device (bench/ublk.ts): what the kernel sends
# arrives with its flags, and every shape of queue moves the right bytes.
# shellcheck source=test/vm/_lib.sh
. "$(dirname "$0")/_lib.sh"

modprobe ublk_drv

# The options, then --, then a command that finds the device in $UBLK_DEVICE.
serve() { timeout -k 5 240 node --import=tsx bench/ublk.ts "$@"; }

# Serves with --record and leaves the numbers of each operation in $work/seen.
record() {
  serve --record "$@" 2>"$work/server" || { cat "$work/server"; return 1; }
  jq -ec 'select(.seen).seen' "$work/server" | tee "$work/seen"
}

# $1: a condition over the counts, as jq has it
seen() { jq -e "$1" "$work/seen" >/dev/null || { echo "not so: $1"; return 1; }; }

queues_of_any_shape_verify() {
  needs fio
  local shape
  # shellcheck disable=SC2016
  for shape in '1 1' '1 3' '2 2' '2 64'; do
    echo "queues and depth: $shape"
    serve --queues "${shape% *}" --depth "${shape#* }" --size-mib 32 -- bash -c '
      fio --name=verify --filename="$UBLK_DEVICE" --ioengine=io_uring --direct=1 --iodepth=16 \
        --rw=randwrite --bsrange=4k-128k --numjobs=2 --cpus_allowed=0,1 --cpus_allowed_policy=split \
        --size=12M --offset_increment=16M --verify=crc32c --verify_fatal=1 --minimal'
  done
}

small_blocks_verify() {
  needs fio
  # shellcheck disable=SC2016
  serve --block-bytes 512 --size-mib 16 -- bash -ec '
    [[ $(blockdev --getss "$UBLK_DEVICE") == 512 ]]
    fio --name=verify --filename="$UBLK_DEVICE" --ioengine=io_uring --direct=1 --iodepth=8 \
      --rw=randwrite --bs=512 --size=2M --verify=crc32c --verify_fatal=1 --minimal'
}

flush_and_fua_arrive() {
  # shellcheck disable=SC2016
  record --size-mib 16 -- bash -ec '
    dd if=/dev/zero of="$UBLK_DEVICE" bs=4k count=3 oflag=direct conv=notrunc,fsync status=none
    dd if=/dev/zero of="$UBLK_DEVICE" bs=4k count=5 oflag=direct,dsync conv=notrunc status=none'
  seen '."write" == 3'
  seen '."write+fua" == 5'
  seen '."flush" >= 1'
}

zeroes_keep_their_flag() {
  # shellcheck disable=SC2016
  record --size-mib 16 -- bash -ec '
    blkdiscard -o 1M -l 2M "$UBLK_DEVICE"
    blkdiscard -z -o 4M -l 2M "$UBLK_DEVICE"
    fallocate --punch-hole -o 8M -l 2M "$UBLK_DEVICE"'
  seen '."trim" >= 1'
  seen '."write-zeroes+nounmap" >= 1'
  seen '."write-zeroes" >= 1'
}

discards_of_many_gibibytes() {
  # shellcheck disable=SC2016
  serve --device null --size-mib 20480 -- bash -ec '
    blkdiscard "$UBLK_DEVICE"
    blkdiscard -z "$UBLK_DEVICE"'
}

nothing_is_left() { equal '' "$(ublk_nodes)" nodes; }

scenario 'fio verifies whatever the number of queues and their depth' queues_of_any_shape_verify
scenario 'fio verifies in blocks of 512 bytes' small_blocks_verify
scenario 'flush and FUA arrive as such' flush_and_fua_arrive
scenario 'discard and both kinds of write-zeroes arrive as such' zeroes_keep_their_flag
scenario 'discards and zeroes of many GiB succeed' discards_of_many_gibibytes
scenario 'no device is left afterwards' nothing_is_left
