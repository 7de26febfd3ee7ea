#!/bin/bash
# What a service does under systemd: it starts, is killed, hangs, and is stopped. Run by boot.sh for
# test/system/services.ts.
# shellcheck source=test/_fixtures/systemd/facts.sh
. "$(dirname "$0")/facts.sh"

for name in tank stuck; do
  truncate -s 16M "$name.a" "$name.b"
  bandstand create "$name" --raid raid1 "$name.a" "$name.b" >&2
done

systemctl start bandstand@tank
fact started "$(of tank ActiveState)"
fact status "$(of tank StatusText)"
pid=$(of tank MainPID)
fact privileges "$(sed -n 's/^NoNewPrivs:\t//p' "/proc/$pid/status")"
fact filter "$(sed -n 's/^Seccomp:\t//p' "/proc/$pid/status")"

systemctl start bandstand-metrics
fact metrics "$(systemctl show bandstand-metrics -p ActiveState --value)"
owner=$(stat -c %u "/proc/$(systemctl show bandstand-metrics -p MainPID --value)")
fact 'metrics by root' "$( ((owner == 0)) && echo yes || echo no)"
read -r url </results/metrics
asks='fetch(process.argv[1]).then((answer) => answer.text()).then((text) => console.log(text))'
fact 'metrics of tank' "$("$NODE" -e "$asks" "$url" | grep '^bandstand_stack_up{stack="tank"}')"
systemctl stop bandstand-metrics
fact 'metrics stopped' "$(systemctl show bandstand-metrics -p Result --value)"

head -c 1M /dev/urandom >data
nbdcopy data "$(bandstand export tank)"
kill -9 "$pid"
eventually 60 again tank
fact 'after a kill' "$(of tank ActiveState)"
fact 'another process' "$([[ $(of tank MainPID) != "$pid" ]] && echo yes)"
bandstand wait tank >&2
nbdcopy "$(bandstand export tank)" whole
fact 'same data' "$(cmp -n 1048576 whole data && echo yes)"
systemctl stop bandstand@tank
fact stopped "$(of tank ActiveState) $(of tank Result)"
fact clean "$(bandstand examine --json tank.a tank.b | grep -o '"state":"clean"' | wc -l)"

systemctl start bandstand@tank
bandstand stop tank >&2
eventually 30 is tank ActiveState inactive
sleep 1
fact 'stopped by the command' "$(of tank ActiveState) $(of tank Result)"

mv tank.b away
systemctl start bandstand@tank
fact 'a member is missing' "$(of tank Result)"
systemctl stop bandstand@tank
mv away tank.b

systemctl start bandstand@stuck
kill -STOP "$(of stuck MainPID)"
eventually 60 again stuck
fact 'stuck, and started anew' "$(of stuck ActiveState) $(of stuck NRestarts)"
systemctl stop bandstand@stuck
fact end reached
systemctl --no-block exit 0
