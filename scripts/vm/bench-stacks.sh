#!/bin/bash
# A guest's part of `npm run bench:vm`: real stacks over disks that are memory and cost next to
# nothing (null_blk), made, exported and stopped by the commands that a user types. One line per
# job, as scripts/vm/bench.sh prints it.
set -euo pipefail

bandstand() { timeout 600 node bin/bandstand.js "$@"; }

# $1: a name, $2: MiB → the node of a new disk
memory_disk() {
  local item=/sys/kernel/config/nullb/$1
  mkdir "$item"
  echo 1 >"$item/memory_backed"
  echo "$2" >"$item/size"
  echo 512 >"$item/blocksize"
  echo 1 >"$item/power"
  if [[ -e /dev/$1 ]]; then echo "/dev/$1"; else echo "/dev/nullb$(<"$item/index")"; fi
}

# $1: the stack, $2: seconds of random writes before anything is measured, $3: seconds of each
# measurement; the rest is what `create` is told
measure_stack() {
  local device
  bandstand create "$1" --yes "${@:4}" >&2
  device=$(bandstand export "$1" --via ublk)
  fio --name=warm-up --filename="$device" --ioengine=io_uring --direct=1 --norandommap \
    --rw=randwrite --bs=4k --iodepth=32 --time_based --runtime="$2" >&2
  bash scripts/vm/bench.sh "bandstand-$1" "$device" 6 "$3"
  bandstand stop "$1" >&2
}

mount -t configfs none /sys/kernel/config 2>/dev/null || true
members=()
for name in bench-a bench-b bench-c bench-d; do members+=("$(memory_disk $name 192)"); done
cache=$(memory_disk bench-g 128)

measure_stack raid0 2 2 --raid raid0 "${members[@]}"
bandstand wipe --yes "${members[@]}" >&2
# Until the cache is full, bands are relocated, and the code of the server is compiled. What is
# drained and relocated comes in bursts of seconds.
measure_stack raid5f-ftl-cache 15 12 --raid raid5f --cache "$cache" "${members[@]}"
