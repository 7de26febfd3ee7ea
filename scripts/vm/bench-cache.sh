#!/bin/bash
# The guest's half of `npm run bench:vm:cache`: 4 KiB random writes to the same four disks, with
# mdadm's raid5 and then with raid5f, FTL and NV cache. Prints one line for each:
#   RESULT <target> <writes> <seconds> <writes that no cache holds> <member I/Os> <member bytes>
#     <busy per cent of the CPUs> <ms that 99.9 per cent of the writes took at most>
# on one line. Writes that no cache holds have been sent on, or overwritten there.
# $1: mdadm; $2: MiB that are written to; $3: MiB of the cache; $4: seconds that mdadm is measured;
# $5: seconds that bandstand is measured at most
set -euo pipefail

mdadm=$1 range=$2 cache=$3 seconds=$4 seconds_max=$5
names=(a b c d)
members=()
for name in "${names[@]}" g; do
  node=$(readlink -f "/dev/disk/by-id/virtio-$name")
  blkdiscard -f "$node"
  [[ $name == g ]] || members+=("$node")
done
ssd=$node

# Reads and writes that the members have completed, and bytes.
member_ios() {
  local member
  for member in "${members[@]}"; do cat "/sys/block/${member##*/}/stat"; done |
    awk '{ios += $1 + $5; bytes += ($3 + $7) * 512} END {printf "%d %d\n", ios, bytes}'
}

# Blocks that have left the cache of $1, or were never in one.
settled() {
  [[ $1 == bandstand ]] || { echo 0; return; }
  node bin/bandstand.js status tank --json | jq -er '.data.cache | .drained_blocks + .dropped_blocks'
}

# Ticks in which the CPUs were busy, and all of them.
cpu_ticks() { awk '/^cpu / {print $2 + $3 + $4 + $7 + $8, $2 + $3 + $4 + $5 + $6 + $7 + $8}' /proc/stat; }

# $1: a device, $2: a seed; the rest says how long. Prints fio's report.
random_writes() {
  fio --name=load --filename="$1" --ioengine=io_uring --direct=1 --rw=randwrite --bs=4k \
    --iodepth=32 --size="${range}M" --norandommap --randrepeat=1 --randseed="$2" \
    --output-format=json "${@:3}"
}

# $1: the target's name, $2: its device; the rest says how long.
measure() {
  local ios bytes busy ticks gone ios_after bytes_after busy_after ticks_after writes seconds slow
  gone=$(settled "$1")
  read -r ios bytes < <(member_ios)
  read -r busy ticks < <(cpu_ticks)
  random_writes "$2" 2 "${@:3}" >/tmp/fio.json
  read -r ios_after bytes_after < <(member_ios)
  read -r busy_after ticks_after < <(cpu_ticks)
  read -r writes seconds slow < <(
    jq -er '.jobs[0] | if .error != 0 then halt_error else .write end |
      [.total_ios, .runtime / 1000, (.clat_ns.percentile["99.900000"] / 1e6 | round)] |
      join(" ")' /tmp/fio.json
  )
  gone=$(($(settled "$1") - gone))
  [[ $1 == bandstand ]] || gone=$writes
  echo "RESULT $1 $writes $seconds $gone $((ios_after - ios)) $((bytes_after - bytes))" \
    "$(((busy_after - busy) * 100 / (ticks_after - ticks))) $slow"
}

run_mdadm() {
  modprobe raid456
  # Complete as it is, and without a bitmap: nothing but the writes costs it I/Os.
  "$mdadm" --create /dev/md0 --run --level=5 --raid-devices=4 --chunk=128 --assume-clean \
    --bitmap=none --metadata=1.2 "${members[@]}"
  random_writes /dev/md0 1 --time_based --runtime=5 >/dev/null
  measure mdadm /dev/md0 --time_based --runtime="$seconds"
  "$mdadm" --stop /dev/md0
  "$mdadm" --zero-superblock "${members[@]}"
} 2>&1

run_bandstand() {
  local device
  node bin/bandstand.js create tank --raid raid5f --yes "${members[@]}" --cache "$ssd"
  # A start reads the head of each band, which takes its time on slow disks.
  device=$(node bin/bandstand.js export tank --timeout 300)
  node bin/bandstand.js wait tank --for rebuild --timeout 300
  # Until the ring is as full as it gets, and is drained as fast as it is filled.
  random_writes "$device" 1 --io_size="${cache}M" --runtime="$seconds_max" >/dev/null
  measure bandstand "$device" --io_size="$((cache * 3))M" --runtime="$seconds_max"
  node bin/bandstand.js status tank
  node bin/bandstand.js status tank --json | jq -c '.data.cache, .data.ftl'
  node bin/bandstand.js stop tank
}

run_mdadm
run_bandstand
