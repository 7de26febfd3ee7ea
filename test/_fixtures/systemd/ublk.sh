#!/bin/bash
# What becomes of a block device whose service is killed while it is read and written. Run by boot.sh
# for test/vm/services.sh.
# shellcheck source=test/_fixtures/systemd/facts.sh
. "$(dirname "$0")/facts.sh"

device=/dev/ublkb0

# A failed trial leaves no device behind.
trap '[[ ! -b $device ]] || bandstand stop tank --stop-in-use >&2' EXIT

# The next server says that its time has come and waits, so that the device can be looked at that has
# none. Two FIFOs, because whoever looks again and again in a guest takes its time from the others.
come=/run/come go=/run/go
mkdir /etc/systemd/system/bandstand@tank.service.d
cat >/etc/systemd/system/bandstand@tank.service.d/gate.conf <<-END
	[Service]
	ExecStartPre=/bin/sh -c '[ ! -p $come ] || { echo >$come; read -r line <$go; }'
END

# Writes, and reads back what it has written, until it is to stop. An error ends it.
load() {
  local round=0
  until [[ -e stop ]]; do
    round=$((round + 1))
    fio --name=load --filename=$device --ioengine=io_uring --direct=1 --iodepth=4 --rw=randwrite \
      --bs=16k --size=4M --randseed=$round --verify=crc32c --verify_fatal=1 --minimal || return
    touch round
  done
}

# Numbers of the device, and which one of its name it is since the boot.
identity() { echo "$(stat -c '%t:%T' $device) $(<"/sys/block/${device##*/}/diskseq")"; }

bandstand create tank --raid raid1 /dev/disk/by-id/virtio-{e,f} >&2
systemctl start bandstand@tank
fact started "$(of tank ActiveState)"
fact status "$(of tank StatusText)"
before=$(identity)
pid=$(of tank MainPID)
load >&2 &
load_pid=$!
eventually 60 test -e round

mkfifo $come $go
kill -9 "$pid"
read -r <$come
fact 'without a server' "$(bandstand list --json | jq -r '.data.orphans[] | "\(.stack) \(.device)"')"
dd if=$device of=read bs=4k count=1 iflag=direct status=none &
reader_pid=$!
fact 'same device, without' "$([[ $(identity) == "$before" ]] && echo yes)"
fact 'a reader waits' "$(kill -0 $reader_pid && echo yes)"
echo >$go
# Returns when the start that is under way has ended.
systemctl start bandstand@tank
fact 'after a kill' "$(of tank ActiveState) $(of tank NRestarts)"
fact 'another process' "$([[ $(of tank MainPID) != "$pid" ]] && echo yes)"
fact 'same device, after' "$([[ $(identity) == "$before" ]] && echo yes)"
wait $reader_pid
fact 'the reader ends with' $?
touch stop
wait $load_pid
fact 'the load ends with' $?

systemctl stop bandstand@tank
fact stopped "$(of tank ActiveState) $(of tank Result)"
fact 'devices left' "$(find /dev -maxdepth 1 -name 'ublk[bc]*' | wc -l)"
fact end reached
systemctl --no-block exit 0
