#!/bin/bash
# The life of a mirror: made, exported, formatted and mounted; it loses a disk, is whole again on
# its spare, and is stopped.
#
#   mirror.sh DISK DISK SPARE      as root, with ublk; a disk that holds something is refused
#
# It builds on what is documented and stays: exit statuses, by which it ends where a step fails;
# what `export` prints, the path of the device and nothing else; and a field of --json, of which
# the folder schemas has all.
set -euo pipefail
first=$1 second=$2 spare=$3
folder=$(mktemp -d)

bandstand create tank --raid raid1 "$first" "$second" --spare "$spare"
device=$(bandstand export tank)
mkfs.ext4 -q "$device"
mount "$device" "$folder"
head -c 8M /dev/urandom >"$folder/data"
sum=$(sha256sum "$folder/data")

# A new mirror is first made equal. Then a disk fails, and the rebuild begins by itself.
bandstand wait tank --for resync
bandstand member fail tank "$first"
bandstand wait tank --for rebuild
# Ends with 0 where the stack is healthy.
bandstand status tank --exit-code
bandstand status tank --json | jq -r '.data.array.members[] | "slot \(.slot): \(.device)"'

# Mounted anew, it is read from the disks.
umount "$folder"
mount "$device" "$folder"
sha256sum --check <<<"$sum"
umount "$folder"
bandstand stop tank
