#!/bin/bash
# What doctor and list say of servers of block devices: their memory, and what is left of killed ones.
# shellcheck source=test/vm/_lib.sh
. "$(dirname "$0")/_lib.sh"

a=$(disk a)
b=$(disk b)

creates_mirror() {
  blank a b
  bandstand create pair --raid raid1 --yes "$a" "$b"
  equal /dev/ublkb0 "$(bandstand export pair)" stdout
}

# $1: a check; its state as doctor tells it of pair, or of the machine
state_of() { jq -er --arg name "$1" '.data.checks[] | select(.name == $name) | .state' "$work/told"; }

server_is_in_order() {
  local check
  bandstand doctor pair --json >"$work/told" || { cat "$work/told"; return 1; }
  cat "$work/told"
  for check in ublk io-uring answer health locked-memory swap io-flusher oom-score \
    mount-namespace direct-io log run-directory; do
    equal ok "$(state_of $check)" "$check"
  done
}

run_directory_on_an_export_is_told() {
  mkfs.ext4 -q /dev/ublkb0
  mount /dev/ublkb0 "$mount_point"
  mkdir "$mount_point/run"
  # The stack is known by its own directory; the one on its device is for others.
  bandstand doctor --json >"$work/told"
  equal ok "$(state_of run-directory)" 'the usual one'
  cp -a /run/bandstand/. "$mount_point/run/"
  ln -sf /run/bandstand/pair.status.sock "$mount_point/run/pair.status.sock"
  fails_with 1 bandstand doctor --json --run-dir "$mount_point/run" >"$work/told"
  equal problem "$(state_of run-directory)" 'one on the export'
  grep -q 'is on /dev/ublkb0, which the stack pair exports' "$work/told"
  umount "$mount_point"
}

orphan_is_offered() {
  local pid
  pid=$(server_pid pair)
  kill -9 "$pid"
  eventually 5 no_process "$pid"
  bandstand list | tee "$work/list"
  grep -q '^pair: /dev/ublkb0 waits for a server' "$work/list"
  bandstand list --json | jq -e '.data.orphans == [{stack: "pair", device: "/dev/ublkb0",
    take_over: "bandstand export pair", remove: "bandstand stop pair"}]'
  bandstand status pair --json | jq -e '.data.action | test("take the device over: bandstand export pair")'
  fails_with 1 bandstand doctor pair --json >"$work/told"
  cat "$work/told"
  equal problem "$(state_of orphan)" orphan
  grep -q 'quiesced' "$work/told"
  equal ok "$(state_of start)" start
}

notes_that_are_lost_are_told() {
  mv /run/bandstand/pair.ublk "$work/pair.ublk"
  fails_with 1 bandstand doctor --json >"$work/told"
  jq -e '.data.checks[] | select(.name == "orphan") | .state == "problem" and .stack == null' "$work/told"
  mv "$work/pair.ublk" /run/bandstand/pair.ublk
}

offer_is_taken() {
  rm -f /run/bandstand/pair.status.sock /run/bandstand/pair.control.sock
  bandstand list | grep -q '^pair: /dev/ublkb0 waits'
  equal /dev/ublkb0 "$(bandstand export pair)" stdout
  e2fsck -fn /dev/ublkb0
  bandstand doctor pair --json >"$work/told"
  equal ok "$(state_of leftovers)" leftovers
  bandstand stop pair
  no_ublk_nodes
}

foundation 'a mirror is made and exported' creates_mirror
scenario 'the server of a block device has what memory reclaim needs' server_is_in_order
scenario 'a run directory on an export is a problem' run_directory_on_an_export_is_told
scenario 'the device of a killed server is offered' orphan_is_offered
scenario 'a device that no note is about is told' notes_that_are_lost_are_told
scenario 'what list offers takes the device over' offer_is_taken
