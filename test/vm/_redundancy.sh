# shellcheck shell=bash
# What the scripts about lost members share: a mirror called tank whose ext4 is under a load that
# verifies itself, and what has to hold when all is over.
# shellcheck source=test/vm/_lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/_lib.sh"

device=/dev/ublkb0

# The members' data begins here.
data_at=$((1 << 20))

# Exports tank, makes ext4 on it with a file of known content, and starts the load.
put_under_load() {
  needs fio
  equal $device "$(bandstand export tank)" stdout
  # What ext4 would write in the background would be written at moments that no test knows.
  mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 $device
  mount $device "$mount_point"
  make_content "$work/content" 24
  cp "$work/content" "$mount_point"
  sync -f "$mount_point"
  start_load
}

# Writes to a file in rounds, each with other content, and reads back after each what it wrote. The
# load goes on through the next scenarios until stop_load; an error ends it.
start_load() {
  rm -f "$work/load-stop" "$work/load-failed"
  echo 0 >"$work/load-rounds"
  (
    set +eE
    trap - ERR
    round=0
    until [[ -e $work/load-stop ]]; do
      round=$((round + 1))
      if ! fio --name=load --filename="$mount_point/load" --ioengine=io_uring --direct=1 \
        --iodepth=4 --rw=randwrite --bsrange=4k-64k --size=4M --rate_iops=200 --fsync=32 \
        --randseed=$round --verify=crc32c --verify_fatal=1 --minimal; then
        touch "$work/load-failed"
        break
      fi
      echo $round >"$work/load-rounds"
    done
  ) >"$work/load" 2>&1 &
  echo $! >"$work/load-pid"
}

# Before the server is stopped, because what waits for it could not end any more. A writer is what a
# script may have started besides the load.
end_background() {
  [[ ! -e $work/writer-pid ]] || kill "$(<"$work/writer-pid")"
  touch "$work/load-stop"
  # After a test that failed between a kill and an export.
  [[ ! -b $device ]] || bandstand export tank
  [[ ! -e $work/load-pid ]] || eventually 30 no_process "$(<"$work/load-pid")"
} >/dev/null 2>&1
trap 'end_background || true; clean_up' EXIT

load_is_beyond() { (($(<"$work/load-rounds") > $1)) || [[ -e $work/load-failed ]]; }

load_is_well() {
  [[ ! -e $work/load-failed ]] || { cat "$work/load"; return 1; }
}

# Returns when a round that began after the call has been written and verified.
load_goes_on() {
  eventually 100 load_is_beyond $(($(<"$work/load-rounds") + 1))
  load_is_well
}

stop_load() {
  touch "$work/load-stop"
  eventually 60 no_process "$(<"$work/load-pid")"
  load_is_well
}

health_is() { equal "$1" "$(bandstand status tank --json | jq -er .data.health)" health; }

# The log has every event, outlives the servers, and costs less to look at than a command does.
server_log=/run/bandstand/tank.log

# What has happened up to now is nothing that has_happened, happens and event look at.
forget_events() { wc -l <$server_log >"$work/forgotten"; }
new_events() { tail -n +$(($(<"$work/forgotten") + 1)) $server_log; }
echo 0 >"$work/forgotten"

# $1: the kind of an event → the newest one
event() { new_events | jq -c "select(.kind == \"$1\")" | tail -n 1; }
has_happened() { new_events | grep "\"kind\":\"$1\"" >/dev/null; }
has_not_happened() { if has_happened "$1"; then echo "has happened: $1"; return 1; fi; }
happens() { eventually 110 has_happened "$1"; }

# The disk of the serial number $1, under whatever name the kernel gave it now.
disk_with_serial() {
  local name
  for name in /sys/block/vd*; do
    if [[ $(<"$name/serial") == "$1" ]]; then
      echo "/dev/${name##*/}"
      return
    fi
  done
  return 1
}

# Pulls the disk of the serial number $1 from the PCI bus.
pull_disk() {
  local node slot
  node=$(disk_with_serial "$1")
  slot=$(readlink -f "/sys/block/${node##*/}/device/..")
  [[ -e $slot/remove ]] || skip 'the disk is not on the PCI bus'
  echo 1 >"$slot/remove"
  [[ ! -b $node ]]
}

# Puts it back, perhaps under another name.
plug_disk() {
  local node
  echo 1 >/sys/bus/pci/rescan
  eventually 20 disk_with_serial "$1"
  node=$(disk_with_serial "$1")
  # What udev would do.
  ln -sfn "$node" "/dev/disk/by-id/virtio-$1"
}

# $1: a device → bytes that were written to it since the boot
bytes_written() { awk '{print $7 * 512}' "/sys/block/$(basename "$(readlink -f "$1")")/stat"; }

# A rebuild at this rate is still running when a test wants to interrupt it.
slow_rate=$((4 << 20))
slow_down() { bandstand rebuild tank --rate $slow_rate; }

# Whether the rebuild has copied $1 bytes; how much it was is left in $work/copied.
has_copied() {
  bandstand status tank --json | jq -er '.data.activity.done_bytes // 0' >"$work/copied"
  (($(<"$work/copied") >= $1))
}

# $1: the target of a rebuild → how much of it is there to stay, as its label says
checkpoint() {
  bandstand examine "$1" --json |
    jq -er '.data.devices[0] | .member.process.block * .block_size'
}

members_agree() {
  forget_events
  bandstand check tank
  happens check-finished
  event check-finished | jq -e '.mismatched_blocks == 0 and .lost_blocks == 0'
}

# Ends the load, and shows that nothing was lost: file system, content, check. The rest are the
# members: their data has to be equal byte for byte.
all_is_well() {
  local member
  stop_load
  umount "$mount_point"
  e2fsck -fn $device
  mount -o ro $device "$mount_point"
  cmp "$work/content" "$mount_point/content"
  umount "$mount_point"
  health_is healthy
  members_agree
  bandstand stop tank
  for member in "${@:2}"; do cmp -i $data_at "$1" "$member"; done
}
