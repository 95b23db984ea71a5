#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A git repository that lives on the mount: commits, gc, fsck, clones from and to it.

set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
need git

export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
export GIT_AUTHOR_NAME=test GIT_AUTHOR_EMAIL=test@example.invalid
export GIT_COMMITTER_NAME=test GIT_COMMITTER_EMAIL=test@example.invalid

repo=$TOOL_DIR/repo
commits=8

make_commits() {
  local i
  for ((i = 1; i <= commits; i++)); do
    mkdir -p "$repo/part$i"
    cp -r /usr/include/linux/[a-d]* "$repo/part$i/"
    echo "line $i" >>"$repo/journal"
    git -C "$repo" add -A
    git -C "$repo" commit -q -m "commit $i"
  done
}

clones_equal() {
  git clone -q "$repo" "$TOOL_SCRATCH/clone"
  diff -r --exclude=.git "$repo" "$TOOL_SCRATCH/clone"
  git clone -q "$TOOL_SCRATCH/clone" "$TOOL_DIR/clone"
  diff -r --exclude=.git "$repo" "$TOOL_DIR/clone"
}

must "init" git init -q -b main "$repo"
must "$commits commits" make_commits
check "status is clean" test -z "$(git -C "$repo" status --porcelain)"
check "fsck" git -C "$repo" fsck --full --strict
check "gc" git -C "$repo" gc -q --aggressive --prune=now
check "fsck after gc" git -C "$repo" fsck --full --strict
must "everything reaches the bucket" settle
must "mount again with an empty cache" remount_cold
check "fsck from the bucket" git -C "$repo" fsck --full --strict
check_same "the log is whole" "$commits" "$(git -C "$repo" rev-list --count HEAD)"
check "status is clean from the bucket" test -z "$(git -C "$repo" status --porcelain)"
check "clones are equal" clones_equal
check "a branch is switched and back" git -C "$repo" checkout -q -b other HEAD~3
check "and back" git -C "$repo" checkout -q main
check "status is clean again" test -z "$(git -C "$repo" status --porcelain)"
