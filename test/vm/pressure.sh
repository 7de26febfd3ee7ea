#!/bin/bash
# Memory runs short while ext4 writes back to the very device that a process serves: reclaim waits
# for the server, so the server must not wait for reclaim. BANDSTAND_VM_PRESSURE says for how many
# seconds; half a minute if it does not.
# shellcheck source=test/vm/_lib.sh
. "$(dirname "$0")/_lib.sh"

seconds=${BANDSTAND_VM_PRESSURE:-30}
device=/dev/ublkb0
hog=$work/hog
mkdir "$hog"

mebibytes() { awk -v field="$1:" '$1 == field { print int($2 / 1024) }' "${2:-/proc/meminfo}"; }
vmstat() { awk -v field="$1" '$1 == field { print $2 }' /proc/vmstat; }

is_mounted() {
  blank a b c d g
  bandstand create tank --raid raid5f --strip-size 64KiB --cache "$(disk g)" --yes \
    "$(disk a)" "$(disk b)" "$(disk c)" "$(disk d)"
  equal $device "$(bandstand export tank)" stdout
  mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 $device
  mount $device "$mount_point"
  server_pid tank >"$work/pid"
}

is_protected() {
  local pid
  pid=$(<"$work/pid")
  equal -1000 "$(<"/proc/$pid/oom_score_adj")" oom_score_adj
  echo "locked: $(mebibytes VmLck "/proc/$pid/status") MiB of $(mebibytes VmRSS "/proc/$pid/status")"
  (($(mebibytes VmLck "/proc/$pid/status") > 50))
}

# Memory that can be neither written back nor swapped, all but so many MiB of it.
take_memory() {
  local left=$1 available
  mount -t tmpfs -o size=100% hog "$hog"
  available=$(mebibytes MemAvailable)
  head -c $(((available - left) << 20)) /dev/zero >"$hog/most"
}

# $1: a round → its content
content_of() {
  head -c $((64 << 20)) /dev/zero |
    openssl enc -aes-128-ctr -nosalt -K "$(printf '%032x' "$1")" -iv "$(printf '%032x' 1)"
}

# A file that is written anew gives its pages back first, so it takes several in turn, three times of
# what memory is left, for the kernel to have to look for pages.
files=3

# $1: a round → the file that it writes
file_of() { echo "$mount_point/dirty-$(($1 % files))"; }

# More dirty pages than there is memory for, again and again, each time with other content.
writes_under_pressure() {
  local round=0 until slowest=0 begin scanned
  scanned=$(vmstat pgscan_kswapd)
  take_memory 64
  until=$((SECONDS + seconds))
  while ((SECONDS < until)); do
    round=$((round + 1))
    begin=$SECONDS
    # A hang is for ever; anything else is over by then.
    content_of $round | timeout 300 dd of="$(file_of $round)" bs=1M status=none
    echo $round >"$work/round"
    # Clean pages come and go, too: the program of every command that starts has to be read anew.
    timeout 120 cat bin/bandstand.js dist/program/*.js >/dev/null
    ((SECONDS - begin <= slowest)) || slowest=$((SECONDS - begin))
  done
  timeout 300 sync -f "$mount_point"
  echo "$round rounds of 64 MiB, the slowest in $slowest s;" \
    "$(mebibytes MemAvailable) MiB available," \
    "$(($(vmstat pgscan_kswapd) - scanned)) pages scanned by kswapd," \
    "$(vmstat pgscan_direct) by whoever needed memory" >"$work/told"
  cat "$work/told"
  (($(vmstat pgscan_kswapd) > scanned))
}

server_is_the_same() {
  umount "$hog"
  equal "$(<"$work/pid")" "$(server_pid tank)" 'the server'
  if dmesg | grep -i 'out of memory\|oom-kill' | grep -F "$(<"$work/pid")"; then return 1; fi
  bandstand status tank --json | jq -e '.data.health == "healthy"'
}

nothing_is_lost() {
  echo 3 >/proc/sys/vm/drop_caches
  local round last
  last=$(<"$work/round")
  for ((round = last; round > 0 && round > last - files; round--)); do
    content_of $round | cmp - "$(file_of $round)"
  done
  umount "$mount_point"
  e2fsck -fn $device
  bandstand stop tank
  bandstand check tank
}

foundation 'ext4 is mounted from raid5f with an FTL and a cache' is_mounted
scenario 'the server is locked in memory, and nothing kills it for the sake of memory' is_protected
scenario 'writes go on while the kernel reclaims what it can' writes_under_pressure
[[ ! -e $work/told ]] || echo "# $(<"$work/told")"
scenario 'the server is the same, and well' server_is_the_same
scenario 'nothing is lost' nothing_is_lost
