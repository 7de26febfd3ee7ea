#!/bin/bash
# Disks that go away or return errors under load: a virtio disk is pulled from the PCI bus and comes
# back, and another one, below device-mapper, begins to fail.
# shellcheck source=test/vm/_redundancy.sh
. "$(dirname "$0")/_redundancy.sh"

a=$(disk a)
b=$(disk b)
c=$(disk c)
failing=/dev/mapper/failing

# There is no udev in the guest: libdevmapper makes the nodes itself.
export DM_DISABLE_UDEV=1

starts() {
  needs dmsetup
  modprobe dm_flakey || skip 'the kernel has no device-mapper'
  blank a b c
  dmsetup create failing --table "$(table linear)"
  bandstand create tank --raid raid1 --yes "$a" "$b" $failing
  put_under_load
  happens resync-finished
  load_goes_on
}

# $1: a target of device-mapper → a table that puts it over c
table() { echo "0 $(blockdev --getsz "$c") $1 $c 0"; }

# Puts another target below what is in use.
change_table() {
  dmsetup load failing --table "$1"
  dmsetup suspend --noflush --nolockfs failing
  dmsetup resume failing
}

pulled_disk_is_survived() {
  pull_disk b
  happens array-degraded
  event member-failed | jq -e '.slot == 1'
  bandstand status tank --json | jq -e '
    .data.health == "degraded" and
      ([.data.array.members[].health] |
        . == ["ok", "failed", "ok"] or . == ["ok", "missing", "ok"])'
  load_goes_on
}

pulled_disk_is_back() {
  local back before written
  plug_disk b
  back=$(disk b)
  before=$(bytes_written "$back")
  forget_events
  bandstand member add tank "$back" | tee "$work/out"
  grep -q 'rebuild of slot 1 started, of what it missed' "$work/out"
  happens array-healthy
  written=$(($(bytes_written "$back") - before))
  ((written < 96 << 20)) || { echo "$written bytes were written to $back"; return 1; }
  load_goes_on
}

read_errors_are_repaired() {
  forget_events
  # It is never well; reads fail, and writes work.
  change_table "$(table flakey) 0 1 1 error_reads"
  eventually 60 is_repaired
  load_goes_on
  change_table "$(table linear)"
  event member-error | jq -e '.slot == 2 and .op == "read" and .errno == "EIO"'
  has_not_happened member-failed
}
is_repaired() { [[ $(event blocks-repaired | jq .slot) == 2 ]]; }

failing_disk_is_left() {
  forget_events
  change_table "0 $(blockdev --getsz "$c") error"
  happens array-degraded
  event member-failed | jq -e '.slot == 2'
  load_goes_on
}

failing_disk_is_well_again() {
  change_table "$(table linear)"
  forget_events
  bandstand member remove tank $failing
  bandstand member add tank $failing | tee "$work/out"
  grep -q 'rebuild of slot 2 started, of what it missed' "$work/out"
  happens array-healthy
  load_goes_on
}

nothing_was_lost() {
  all_is_well "$a" "$(disk_with_serial b)" "$c"
  dmsetup remove failing
}

foundation 'a mirror of two disks and a device-mapper device carries ext4 under load' starts
foundation 'a disk that is pulled under load leaves the array degraded' pulled_disk_is_survived
foundation 'the disk gets only what it missed when it is back' pulled_disk_is_back
scenario 'read errors are repaired from the other members' read_errors_are_repaired
foundation 'a disk that returns nothing but errors is left alone' failing_disk_is_left
foundation 'the disk gets only what it missed when it is well again' failing_disk_is_well_again
scenario 'no error was seen, ext4 is clean and all members are equal' nothing_was_lost
