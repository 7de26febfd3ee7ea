# shellcheck shell=bash
# What scenarios with power cuts share: files of which it is known that they were durable, notes
# outside the stack that outlive the cut, and the cut itself. Uses disks e and f.
# shellcheck source=test/vm/_redundancy.sh
. "$(dirname "${BASH_SOURCE[0]}")/_redundancy.sh"

# Outside the array: the number of the last file that was durable, and what bandstand remembers.
notes=$(disk e)
states=$(disk f)
state_folder=/var/lib/bandstand

mount_states() {
  mkdir -p $state_folder
  mount "$states" $state_folder
}

cut_power() {
  echo '# power cut'
  sleep 60
  echo 'the power is still on'
  exit 1
}

# $1: a number → 64 KiB that belong to it
content_of() {
  openssl enc -aes-128-ctr -nosalt -K "$(printf '%032x' 9)" -iv "$(printf '%032x' "$1")" \
    -in /dev/zero 2>/dev/null | head -c $((64 << 10)) || true
}

note() { printf '%-4096s' "$1" | dd of="$notes" bs=4096 oflag=direct,dsync status=none; }
noted() { dd if="$notes" bs=4096 count=1 iflag=direct status=none | tr -d ' '; }
noted_is() { (($(noted) >= $1)); }

# Writes files for ever, from number $1 on. What is noted was durable before.
write_files() {
  local n
  for ((n = $1; ; n++)); do
    content_of $n >"$mount_point/new"
    sync "$mount_point/new"
    mv "$mount_point/new" "$mount_point/$n"
    sync "$mount_point"
    note $n
  done
}

files_are_written() {
  local first=$(($(noted) + 1))
  write_files $first >"$work/writer" 2>&1 &
  echo $! >"$work/writer-pid"
  eventually 150 noted_is $((first + 10))
}

# Mounting replays the journal, after which there is nothing to repair.
files_are_intact() {
  local n last
  last=$(noted)
  echo "$last files were durable"
  mount $device "$mount_point"
  for ((n = 1; n <= last; n++)); do cmp <(content_of $n) "$mount_point/$n"; done
  umount "$mount_point"
  if [[ $(blkid -p -s TYPE -o value $device) == xfs ]]; then
    xfs_repair -n $device
  else
    e2fsck -fn $device
  fi
}

# $1: ext4 or xfs
make_file_system() {
  needs mkfs.xfs
  if [[ $1 == ext4 ]]; then mkfs.ext4 -qF $device; else mkfs.xfs -qf $device; fi
}
