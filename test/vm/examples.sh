#!/bin/bash
# The scripts in docs/examples do what they say, as they stand there.
# shellcheck source=test/vm/_lib.sh
. "$(dirname "$0")/_lib.sh"

# Programs by their names, as where bandstand is installed.
mkdir "$work/bin"
ln -s "$PWD/bin/bandstand.js" "$work/bin/bandstand"

mirror_lives_as_told() {
  local first second spare
  needs jq
  first=$(disk a) second=$(disk b) spare=$(disk c)
  blank a b c
  PATH=$work/bin:$PATH timeout 300 bash docs/examples/mirror.sh "$first" "$second" "$spare" |
    tee "$work/told"
  grep "^tank: .*rebuild of slot 0 onto $spare is complete" "$work/told"
  equal "slot 0: $spare slot 1: $second" "$(grep '^slot ' "$work/told" | xargs)" members
  grep '/data: OK$' "$work/told"
  equal 'stopped tank' "$(tail -n 1 "$work/told")" 'the last line'
  no_ublk_nodes
  # Behind the metadata, of which each has its own; not all of it, as that takes long here.
  cmp -i $((1 << 20)) -n $((48 << 20)) "$second" "$spare"
}

scenario 'the mirror of docs/examples loses a disk, is whole again, and is stopped' mirror_lives_as_told
