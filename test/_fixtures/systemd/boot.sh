#!/bin/bash
# Boots systemd in namespaces of its own, on a root of its own, for one run of a trial; called in new
# mount, PID, cgroup, IPC and UTS namespaces by test/system/services.ts and test/vm/services.sh.
# $1: an empty folder; $2: the clone; $3: Node; $4: nbd or ublk, the export and the trial of it.
# Results are left in $1/results. With ublk the trial has all devices of the machine.
set -euo pipefail
folder=$1 clone=$2 node=$3 via=$4
root=$folder/root

mkdir -p "$root" "$folder/results"
mount -t tmpfs -o size=256m tmpfs "$root"
cd "$root"
mkdir -p usr etc/systemd/system proc sys dev run tmp var/lib root clone results
for name in bin sbin lib lib64; do ln -s "usr/$name" "$name"; done
if [[ $via == ublk ]]; then
  mount -t devtmpfs devtmpfs dev
else
  for name in null zero random urandom full tty; do
    : >"dev/$name"
    mount --bind "/dev/$name" "dev/$name"
  done
  mkdir dev/shm
  ln -s /proc/self/fd dev/fd
fi
mount --rbind /usr usr
mount --bind "$clone" clone
mount --bind "$folder/results" results
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs tmpfs sys/fs/cgroup
mount -t cgroup2 cgroup2 sys/fs/cgroup
cp -a /etc/passwd /etc/group /etc/nsswitch.conf etc
cp -a /etc/ld.so.* /etc/alternatives etc 2>/dev/null || true
: >etc/machine-id

units=etc/systemd/system
sed "s|^ExecStart=bandstand |ExecStart=$node /clone/bin/bandstand.js |" \
  "$clone/packaging/systemd/bandstand@.service" >"$units/bandstand@.service"
# The unit that bandstand-metrics(8) shows, at a port that is free.
sed -n '/^\[Unit\]$/,/^\.Ed$/p' "$clone/man/bandstand-metrics.8" | sed "\$d
  s|^ExecStart=bandstand \(.*\):[0-9]*$|ExecStart=$node /clone/bin/bandstand.js \1:0|" \
  >"$units/bandstand-metrics.service"
mkdir "$units"/bandstand{@,@stuck,-metrics}.service.d
cat >"$units/bandstand-metrics.service.d/trial.conf" <<-END
	[Unit]
	DefaultDependencies=no
	[Service]
	StandardOutput=append:/results/metrics
	StandardError=append:/results/metrics
END
# Nothing else of a system is there to wait for.
cat >"$units/bandstand@.service.d/trial.conf" <<-END
	[Unit]
	DefaultDependencies=no
	[Service]
	Environment="OPTIONS=--via $via"
	StandardOutput=append:/results/servers
	StandardError=append:/results/servers
END
printf '[Service]\nWatchdogSec=5s\n' >"$units/bandstand@stuck.service.d/trial.conf"
printf '[Unit]\nDefaultDependencies=no\nWants=trial.service\n' >"$units/trial.target"
cat >"$units/trial.service" <<-END
	[Unit]
	DefaultDependencies=no
	[Service]
	Type=oneshot
	Environment=NODE=$node
	ExecStart=/bin/bash /clone/test/_fixtures/systemd/$via.sh
	StandardOutput=file:/results/facts
	StandardError=file:/results/log
END
exec chroot . /usr/bin/env -i container=other PATH=/usr/sbin:/usr/bin \
  /lib/systemd/systemd --system --unit=trial.target
