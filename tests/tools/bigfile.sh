#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# One large file copied in and out; the daemon's memory stays bounded.

set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

size=${TOOL_BIGFILE_MIB:-512}
if [[ -n $TOOL_LONG ]]; then
  size=4096
fi
limit_mib=${TOOL_MEMORY_LIMIT_MIB:-200}

memory_within() {
  local peak
  if on_mount; then
    peak=$(memory_peak_mib)
    echo "  $TOOL: daemon's memory at its largest while $1: $peak MiB"
    if grep -qE '__(asan|tsan)_init' "$QUAYFS"; then
      skip "memory while $1" "a sanitizer takes memory for itself"
      return
    fi
    check "memory while $1 at most $limit_mib MiB" test "$peak" -gt 0 -a "$peak" -le "$limit_mib"
  fi
}

timed() {
  local name=$1 start=$EPOCHREALTIME elapsed
  shift
  must "$name" "$@"
  elapsed=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.2f", b - a}')
  echo "  $TOOL: $name took $elapsed s, $(awk -v m="$size" -v t="$elapsed" 'BEGIN {printf "%.0f", m / (t + 0.001)}') MiB/s"
}

in_and_settled() {
  cp -- "$TOOL_SCRATCH/big" "$TOOL_DIR/big"
  settle
}

random_file "$TOOL_SCRATCH/big" "$size"
if on_mount; then
  reset_memory_peak
fi
timed "$size MiB into the bucket" in_and_settled
memory_within "writing"
check "size is right" test "$(stat -c %s "$TOOL_DIR/big")" -eq $((size << 20))
must "mount again with an empty cache" remount_cold
timed "$size MiB out of the bucket" cp -- "$TOOL_DIR/big" "$TOOL_SCRATCH/back"
memory_within "reading"
check "the same bytes came back" cmp "$TOOL_SCRATCH/big" "$TOOL_SCRATCH/back"

# A few bytes in the middle.
printf 'quay' | dd of="$TOOL_DIR/big" bs=1 seek=$((size << 19)) conv=notrunc status=none
printf 'quay' | dd of="$TOOL_SCRATCH/big" bs=1 seek=$((size << 19)) conv=notrunc status=none
must "a change in the middle reaches the bucket" settle
must "mount again with an empty cache, once more" remount_cold
check "the change is there and nothing else" cmp "$TOOL_SCRATCH/big" "$TOOL_DIR/big"
