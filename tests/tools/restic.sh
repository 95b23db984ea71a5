#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# restic keeps its repository on the mount: two backups, a full check, restore, forget and prune.

set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
need restic

source_dir=$TOOL_SCRATCH/source
export RESTIC_REPOSITORY=$TOOL_DIR/repo RESTIC_PASSWORD=quayfs RESTIC_PROGRESS_FPS=0
# Its cache would hide what is read from the mount.
restic=(restic --no-cache --quiet)

mkdir "$source_dir"
rsync -a --exclude '*.gz' /usr/share/doc "$source_dir/" 2>/dev/null
size=64
if [[ -n $TOOL_LONG ]]; then
  size=2048
fi
random_file "$source_dir/random" "$size"

restored_equals_source() {
  rm -rf -- "$TOOL_SCRATCH/restored"
  "${restic[@]}" restore latest --target "$TOOL_SCRATCH/restored" &&
    diff -r --no-dereference "$source_dir" "$TOOL_SCRATCH/restored$source_dir"
}

must "init" "${restic[@]}" init
must "first backup" "${restic[@]}" backup "$source_dir"
check "check --read-data" "${restic[@]}" check --read-data

random_file "$source_dir/random 2" 8
rm -rf -- "$source_dir/doc/"[a-c]*
must "second backup" "${restic[@]}" backup "$source_dir"
must "everything reaches the bucket" settle
must "mount again with an empty cache" remount_cold
check "check --read-data from the bucket" "${restic[@]}" check --read-data
check "restore gives the source back" restored_equals_source
check "forget and prune" "${restic[@]}" forget --keep-last 1 --prune
check "check after prune" "${restic[@]}" check --read-data
check "restore after prune" restored_equals_source
