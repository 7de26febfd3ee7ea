#!/bin/bash
# The guest's half of `npm run bench:vm`: fio over one block device, one line per job:
#   RESULT <target> <job> <IOPS>
# $1: the target's name, $2: its block device, $3: seconds before each measurement in which the
# server's code is compiled for that load; 6 if it is not given, 1 for a device without a server
# $4: seconds of each measurement; 2 if it is not given
set -euo pipefail

ramp=${3:-6}
seconds=${4:-2}

measure() {
  local target=$1 device=$2 job=$3 pattern=$4 size=$5 depth=$6 side
  side='read'
  [[ $pattern != *write ]] || side='write'
  fio --name="$job" --filename="$device" --ioengine=io_uring --direct=1 --norandommap \
    --rw="$pattern" --bs="$size" --iodepth="$depth" --time_based --ramp_time="$ramp" --runtime="$seconds" \
    --output-format=json |
    jq -r ".jobs[0] | if .error == 0 then \"RESULT $target $job \(.$side.iops)\" else halt_error end"
}

measure "$1" "$2" randread-4k-qd1 randread 4k 1
measure "$1" "$2" randread-4k-qd32 randread 4k 32
measure "$1" "$2" randwrite-4k-qd32 randwrite 4k 32
measure "$1" "$2" read-128k-qd8 read 128k 8
measure "$1" "$2" write-128k-qd8 write 128k 8
