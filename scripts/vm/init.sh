# shellcheck shell=bash
# The guest's process 1. The file that guest.js writes for each run sets the variables in capitals
# and sources this one, twice: first on the host's root (read-only, over virtiofs), where a tmpfs
# overlay is laid over it, then inside that overlay, where the command runs. It reports over
# virtio-serial ports:
#   control         `started`, `failed REASON`, `exited STATUS`, one per line
#   stdout, stderr  the bytes, then $END_MARK
set -u
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# $1: the port's name. Ports appear asynchronously after boot.
port() {
  local name _
  for _ in {1..200}; do
    for name in /sys/class/virtio-ports/*/name; do
      if [[ -r $name && $(<"$name") == "$1" ]]; then
        name=${name%/name}
        echo "/dev/${name##*/}"
        return
      fi
    done
    sleep 0.05
  done
  fail "no virtio-serial port $1"
}

fail() {
  echo "guest init: $*" >/dev/console
  echo "failed $*" >&3
  sleep 3600
}

lay_overlay() {
  mount -t proc proc /proc
  mount -t sysfs sysfs /sys
  mount -t devtmpfs devtmpfs /dev
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir -p /run/guest/{upper,work,root}
  modprobe -d "$KERNEL_TREE" overlay
  cd /run/guest || exit
  mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work,xino=off overlay root
  local at
  for at in proc sys dev; do mount --move "/$at" "root/$at"; done
  mount -t tmpfs -o mode=755 tmpfs root/run
  cd root || exit
  mount --move . /
  exec chroot . "$INIT" inside
}

bring_up() {
  # As on any machine with systemd: mounts and unmounts propagate to namespaces made later.
  mount --make-rshared /
  mkdir -p /dev/pts /dev/shm /dev/disk/by-id /run/lock /lib/modules
  mount -t devpts devpts /dev/pts
  mount -t tmpfs -o mode=1777 tmpfs /dev/shm
  ln -s /proc/self/fd /dev/fd
  ln -s fd/0 /dev/stdin
  ln -s fd/1 /dev/stdout
  ln -s fd/2 /dev/stderr
  echo 1 >/proc/sys/kernel/sysrq
  ln -sfn "$KERNEL_TREE/lib/modules/$(uname -r)" "/lib/modules/$(uname -r)"
  # The kernel boots on one CPU (qemu.js says why); the others join here.
  local cpu
  for cpu in /sys/devices/system/cpu/cpu[1-9]*/online; do [[ -e $cpu ]] && echo 1 >"$cpu"; done
  ip link set lo up 2>/dev/null
}

load_modules() {
  local line
  while read -r line; do
    # The line is a module and its parameters, to be split into words.
    # shellcheck disable=SC2086
    [[ -z $line ]] || modprobe $line || fail "modprobe $line"
  done <<<"$MODULES"
}

# Gives each virtio disk the name udev would give it, from its serial number.
name_disks() {
  local disk
  for disk in /sys/block/vd*; do
    [[ -r $disk/serial ]] && ln -s "../../${disk##*/}" "/dev/disk/by-id/virtio-$(<"$disk/serial")"
  done
}

# $1: a FIFO; $2: a port. Children of the command may hold the FIFO open after it ended, so the
# copy can be stopped from outside and still ends with the mark.
relay() {
  cat <"$1" &
  echo $! >"$1.pid"
  wait $!
  printf '%s' "$END_MARK"
} >"$2"

run_command() {
  mkfifo /run/guest.out /run/guest.err
  relay /run/guest.out "$(port stdout)" &
  local out=$!
  relay /run/guest.err "$(port stderr)" &
  local err=$! status _
  # Shows what is stuck, on the console, before the host's own timeout kills the machine.
  (sleep "$WATCHDOG_SECONDS" && echo w >/proc/sysrq-trigger && echo l >/proc/sysrq-trigger) &
  echo started >&3
  cd "$CLONE" || fail "no directory $CLONE"
  setsid bash "$COMMAND_FILE" </dev/null >/run/guest.out 2>/run/guest.err 3>&-
  status=$?
  for _ in {1..20}; do
    kill -0 $out 2>/dev/null || kill -0 $err 2>/dev/null || break
    sleep 0.05
  done
  kill "$(</run/guest.out.pid)" "$(</run/guest.err.pid)" 2>/dev/null
  sync
  echo "exited $status" >&3
  sleep 3600
}

if [[ ${1-} != inside ]]; then
  lay_overlay
else
  bring_up
  exec 3>"$(port control)"
  load_modules
  name_disks
  run_command
fi
