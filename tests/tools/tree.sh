#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A tree of some thousand small files, copied in by rsync, looked at by rsync, diff and another S3 client.

set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

readonly FILES=2500

source_dir=$TOOL_SCRATCH/source
mkdir "$source_dir"

# Real files: headers and documentation; half of each, so that code, compressed text, links and folders are among them.
collect_tree() {
  local top list=$TOOL_SCRATCH/list
  for top in usr/include usr/share/doc; do
    (cd / && find "$top") >"$list.all"
    if [[ -n $TOOL_LONG ]]; then
      cat "$list.all"
    else
      head -n $((FILES / 2)) "$list.all"
    fi
  done >"$list"
  rsync -a --files-from="$list" / "$source_dir/"
}

# What such a tree never has enough of.
make_odd_files() {
  local odd=$source_dir/odd
  mkdir -p "$odd/empty folder" "$odd/a/b/c/d/e/f"
  : >"$odd/empty"
  printf 'x' >"$odd/one byte"
  printf 'plus' >"$odd/a+b&c=d?e#f%41;g"
  printf 'quotes' >"$odd/it's \"quoted\" <&> \\"
  printf 'unicode' >"$odd/Grüße 北京 🚢"
  printf 'long' >"$odd/$(printf 'n%.0s' {1..200})"
  printf 'newline' >"$odd/two
lines"
  printf 'deep' >"$odd/a/b/c/d/e/f/deep"
  printf 'dot' >"$odd/.hidden"
  ln -s '../usr' "$odd/link to a folder"
  ln -s 'no such target' "$odd/dangling"
  printf 'mode' >"$odd/mode 0400" && chmod 0400 "$odd/mode 0400"
  printf 'mode' >"$odd/mode 0751" && chmod 0751 "$odd/mode 0751"
  mkdir -m 2775 "$odd/setgid folder"
  printf 'old' >"$odd/old" && touch -d '1999-12-31 23:59:59.123456789' "$odd/old"
  printf 'before the epoch' >"$odd/ancient" && touch -d '1961-04-12 06:07:00' "$odd/ancient"
  truncate -s 3M "$odd/sparse"
  if ((EUID == 0)); then
    printf 'owner' >"$odd/owner" && chown 1234:5678 "$odd/owner"
    mkfifo "$odd/fifo"
  fi
}

itemized_changes() {
  rsync -anc --delete --itemize-changes "$source_dir/" "$TOOL_DIR/tree/" 2>&1
}

same_as_source() {
  check_same "$1: rsync finds nothing to do" "" "$(itemized_changes)"
  # diff takes two fifos for different; rsync has compared them.
  check "$1: diff finds no difference" diff -r --no-dereference --exclude=fifo "$source_dir" "$TOOL_DIR/tree"
}

# Links, special files and folders are objects too; only what is a regular file in the source counts here.
sums_of_fetched() {
  (cd "$source_dir" && find . -type f -print0) | sort -z | (cd "$1" && xargs -0 -r sha256sum 2>&1)
}

other_client_agrees() {
  local fetched=$TOOL_SCRATCH/fetched
  if ! have_other_client; then
    skip "another client reads the same bytes" "none installed"
    return
  fi
  check "another client fetches every object" fetch_all "$fetched"
  ((CHECKED == 0)) || return 0
  check_same "another client reads the same bytes" "$(sums "$source_dir")" "$(sums_of_fetched "$fetched/tree")"
  rm -rf -- "$fetched"
}

foreign_object_appears() {
  if ! have_other_client || ! on_mount; then
    skip "an object put by another client appears" "nothing to put it with"
    return
  fi
  printf 'put by another client\n' >"$TOOL_SCRATCH/foreign"
  check "another client puts an object" put_object "foreign/new/object.txt" "$TOOL_SCRATCH/foreign"
  ((CHECKED == 0)) || return 0
  # At the latest when what the mount knows of the folder has expired.
  check "an object put by another client appears" \
    wait_until 90 cmp -s "$TOOL_SCRATCH/foreign" "$TOOL_DIR/foreign/new/object.txt"
}

collect_tree
make_odd_files
echo "  $(find "$source_dir" | wc -l) files and folders, $(du -sm "$source_dir" | cut -f1) MiB"

must "rsync copies the tree" rsync -a "$source_dir/" "$TOOL_DIR/tree/"
same_as_source "just written"
must "everything reaches the bucket" settle
other_client_agrees
must "mount again with an empty cache" remount_cold
same_as_source "from the bucket"
foreign_object_appears

# One file changes, one goes, one is new: rsync sends these and the result is the same again.
printf 'changed' >>"$source_dir/odd/one byte"
rm "$source_dir/odd/old"
printf 'new' >"$source_dir/odd/new file"
check "rsync updates the tree" rsync -a --delete "$source_dir/" "$TOOL_DIR/tree/"
same_as_source "updated"
check "the tree is removed" rm -rf "$TOOL_DIR/tree"
check_same "nothing is left of it" "" "$(find "$TOOL_DIR" -mindepth 1 -maxdepth 1 ! -name foreign)"
