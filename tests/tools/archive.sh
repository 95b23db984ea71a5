#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A tar archive streamed onto the mount, read back before and after it went to the bucket, and unpacked.

set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

size=256
if [[ -n $TOOL_LONG ]]; then
  size=2048
fi
mkdir "$TOOL_SCRATCH/source"
# Four files: their sum is the size.
for i in 1 2 3 4; do
  random_file "$TOOL_SCRATCH/source/$i" $((size / 4))
done

write_archive() {
  tar -C "$TOOL_SCRATCH" -cf - source | tee >(sha256sum >"$TOOL_SCRATCH/sum") >"$TOOL_DIR/archive.tar"
}

unpack() {
  mkdir "$TOOL_SCRATCH/unpacked"
  tar -C "$TOOL_SCRATCH/unpacked" -xf "$TOOL_DIR/archive.tar"
  diff -r "$TOOL_SCRATCH/source" "$TOOL_SCRATCH/unpacked/source"
}

must "tar writes $size MiB" write_archive
# The process that sums ends a moment after the pipeline.
wait_until 30 test -s "$TOOL_SCRATCH/sum"
expected=$(<"$TOOL_SCRATCH/sum")
check_same "read back at once" "$expected" "$(file_sum "$TOOL_DIR/archive.tar")"
must "everything reaches the bucket" settle
must "mount again with an empty cache" remount_cold
check_same "read back from the bucket" "$expected" "$(file_sum "$TOOL_DIR/archive.tar")"
check "tar unpacks it" unpack
check "tar appends to it" tar -C "$TOOL_SCRATCH" -rf "$TOOL_DIR/archive.tar" sum
check_same "the appended file is in it" "$expected" "$(tar -xOf "$TOOL_DIR/archive.tar" sum)"
