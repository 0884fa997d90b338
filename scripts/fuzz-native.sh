#!/bin/bash
# Runs the fuzz targets of native/packet-io side by side, from their committed corpus. Usage: scripts/fuzz-native.sh [SECONDS]
# SECONDS: for each target, 62 unless given. What broke one, and what it said, is left in .run/fuzz-native/.
# New inputs are not kept: to add some, see native/packet-io/README.md.
set -u
cd "$(dirname "$0")/.." || exit 1
seconds=${1:-62}
out=.run/fuzz-native
rm -rf "$out"
make -s -C native/packet-io fuzz || exit 1

running=()
trap 'kill "${running[@]}" 2>/dev/null; exit 130' INT TERM HUP
for target in cut join; do
  mkdir -p "$out/$target"
  native/packet-io/build/fuzz-$target -max_total_time="$seconds" -max_len=2048 -timeout=10 -rss_limit_mb=1024 -use_value_profile=1 \
    -print_final_stats=1 -artifact_prefix="$out/$target-" "$out/$target" "native/packet-io/fuzz/corpus/$target" \
    >"$out/$target.log" 2>&1 </dev/null &
  running+=($!)
done

broken=0
for i in 0 1; do
  target=$([ $i = 0 ] && echo cut || echo join)
  if wait "${running[$i]}"; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$out/$target.log")
    echo "fuzz $target: $runs inputs in $seconds s, nothing found"
    # A target that does nothing finds nothing.
    if [ "${runs:-0}" -lt 1000 ]; then
      echo "fuzz $target: that is too few" >&2
      broken=1
    fi
  else
    tail -n 25 "$out/$target.log" >&2
    echo "fuzz $target: FOUND SOMETHING, see $out" >&2
    broken=1
  fi
done
exit $broken
