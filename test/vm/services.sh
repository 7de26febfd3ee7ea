#!/bin/bash
# A stack as a service of systemd, with a block device: systemd runs in namespaces of the guest, and
# a trial prints what it has seen there (test/_fixtures/systemd/ublk.sh).
# shellcheck source=test/vm/_lib.sh
. "$(dirname "$0")/_lib.sh"

results=$work/systemd/results

# $1: a fact; $2: what it has to be
told() { equal "$2" "$(sed -n "s/^$1: //p" "$results/facts")" "$1"; }

runs_as_a_service() {
  local node
  needs fio jq
  [[ -x /lib/systemd/systemd ]] || skip 'systemd is not installed'
  node=$(readlink -f "$(command -v node)")
  modprobe ublk_drv
  blank e f
  mkdir "$work/systemd"
  timeout -k 5 400 unshare -pfmCiu --kill-child --propagation private \
    bash test/_fixtures/systemd/boot.sh "$work/systemd" "$PWD" "$node" ublk || true
  cat "$results"/{log,servers,facts}
  told started active
  told status 'exported as /dev/ublkb0'
  told end reached
}

device_outlives_its_server() {
  told 'without a server' 'tank /dev/ublkb0'
  told 'same device, without' yes
  told 'a reader waits' yes
}

next_server_goes_on() {
  told 'after a kill' 'active 1'
  told 'another process' yes
  told 'same device, after' yes
  told 'the reader ends with' 0
  told 'the load ends with' 0
}

end_is_clean() {
  told stopped 'inactive success'
  told 'devices left' 0
  no_ublk_nodes
}

foundation 'systemd starts a stack that is a block device' runs_as_a_service
scenario 'a killed server leaves the same device, whose I/O waits' device_outlives_its_server
scenario 'systemd starts the next one, which goes on with it, and no I/O fails' next_server_goes_on
scenario 'the end of the service removes the device' end_is_clean
