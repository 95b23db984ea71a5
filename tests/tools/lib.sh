# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What the tool tests share; sourced by each of them. run-tools sets the environment:
#
#   TOOL_DIR       the folder to work in, empty, on the mount (or any folder: then it is a test of the test)
#   TOOL_SCRATCH   a folder on a local disk for input and for what comes back
#   TOOL_LONG      1: large sizes
#   TOOL_RESULTS   file that takes one line per check: pass|fail|skip, a tab, the name
#   TOOL_MOUNT, TOOL_CONFIG, TOOL_CACHE, QUAYFS
#                  mount point, mount config, cache directory and program, so that a test can mount again;
#                  TOOL_MOUNT is empty when TOOL_DIR is a plain folder
#   TOOL_PREFIX    keys of the objects below TOOL_DIR begin with this
#   S3_ENDPOINT, S3_BUCKET, S3_ACCESS_KEY, S3_SECRET_KEY
#                  how another client reaches the same bucket; S3_ENDPOINT is empty if it is not an S3 server
#
# A test prints one line per check and ends with status 0; checks that failed are in TOOL_RESULTS.

TOOL=${0##*/}
TOOL=${TOOL%.sh}
: "${TOOL_DIR:?}" "${TOOL_SCRATCH:?}"
: "${TOOL_LONG:=}" "${TOOL_RESULTS:=/dev/null}" "${TOOL_MOUNT:=}" "${S3_ENDPOINT:=}" "${TOOL_PREFIX:=}"

pass() {
  printf 'pass\t%s: %s\n' "$TOOL" "$1" >>"$TOOL_RESULTS"
  echo "  ok    $TOOL: $1"
}

fail() {
  printf 'fail\t%s: %s\n' "$TOOL" "$1" >>"$TOOL_RESULTS"
  echo "  FAIL  $TOOL: $1${2:+ ($2)}"
}

skip() {
  printf 'skip\t%s: %s\n' "$TOOL" "$1" >>"$TOOL_RESULTS"
  echo "  skip  $TOOL: $1${2:+ ($2)}"
}

# check NAME COMMAND...: passes if the command succeeds; shows the end of its output if not. Returns 0 either way (so that
# it is never called from a condition, where errexit would be off inside COMMAND) and sets CHECKED to the command's status.
check() {
  local name=$1 log=$TOOL_SCRATCH/check.log
  shift
  set +e
  (
    set -e
    "$@"
  ) >"$log" 2>&1 </dev/null
  CHECKED=$?
  set -e
  if ((CHECKED == 0)); then
    pass "$name"
  else
    fail "$name" "status $CHECKED"
    tail -n 12 "$log" | sed 's/^/          | /'
  fi
}

# must NAME COMMAND...: a check without which the rest of the test makes no sense.
must() {
  check "$@"
  ((CHECKED == 0)) || exit 0
}

# check_same NAME A B: both texts are equal, and if not, where they differ.
check_same() {
  if [[ $2 == "$3" ]]; then
    pass "$1"
  else
    fail "$1"
    { diff <(echo "$2") <(echo "$3") || true; } | sed -n '1,10s/^/          | /p'
  fi
}

# Ends the whole test with one skipped check if a program is missing.
need() {
  local program
  for program in "$@"; do
    if ! command -v "$program" >/dev/null; then
      skip "needs $program" "not installed"
      exit 0
    fi
  done
}

on_mount() {
  [[ -n $TOOL_MOUNT ]]
}

# settle: everything written so far is in the bucket when it returns.
settle() {
  if on_mount; then
    timeout 900 "$QUAYFS" sync "$TOOL_MOUNT" >/dev/null
  fi
}

do_mount() {
  timeout 120 "$QUAYFS" mount "$TOOL_CONFIG" "$TOOL_MOUNT" </dev/null
}

do_unmount() {
  timeout 900 "$QUAYFS" umount "$TOOL_MOUNT" </dev/null >/dev/null
  wait_until 30 daemon_gone
}

# The next look at a file goes to the bucket: unmount, forget the cache, mount.
remount_cold() {
  if on_mount; then
    do_unmount
    rm -rf -- "$TOOL_CACHE"
    do_mount
  fi
}

# Pids of the daemon of this mount.
daemon_pids() {
  local entry pid
  for entry in /proc/[0-9]*/cmdline; do
    pid=${entry#/proc/}
    pid=${pid%/cmdline}
    if tr '\0' '\n' 2>/dev/null <"$entry" | grep -qxF -- "$TOOL_CONFIG" && [[ $(readlink "/proc/$pid/exe") == "$QUAYFS" ]]; then
      echo "$pid"
    fi
  done
}

daemon_gone() {
  [[ -z $(daemon_pids) ]]
}

# wait_until SECONDS COMMAND...
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.1
  done
}

# The daemon's memory at its largest since reset_memory_peak, MiB.
memory_peak_mib() {
  local pid peak=0 value
  for pid in $(daemon_pids); do
    value=$(awk '/^VmHWM/ {print int($2 / 1024)}' "/proc/$pid/status")
    ((value <= peak)) || peak=$value
  done
  echo "$peak"
}

reset_memory_peak() {
  local pid
  for pid in $(daemon_pids); do
    echo 5 >"/proc/$pid/clear_refs"
  done
}

has_s3() {
  [[ -n $S3_ENDPOINT ]]
}

aws_cli() {
  env -u AWS_CA_BUNDLE -u AWS_PROFILE AWS_ACCESS_KEY_ID="$S3_ACCESS_KEY" AWS_SECRET_ACCESS_KEY="$S3_SECRET_KEY" \
    AWS_DEFAULT_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true AWS_CONFIG_FILE=/dev/null \
    AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_PAGER='' NO_PROXY='*' aws --endpoint-url "$S3_ENDPOINT" "$@"
}

s3cmd_cli() {
  local host=${S3_ENDPOINT#*://}
  s3cmd --config=/dev/null --access_key="$S3_ACCESS_KEY" --secret_key="$S3_SECRET_KEY" --host="$host" \
    --host-bucket="$host" --no-ssl --no-progress "$@"
}

# fetch_all DIR: every object below TOOL_DIR, fetched into DIR by a client that is not quayfs.
fetch_all() {
  mkdir -p "$1"
  if command -v aws >/dev/null; then
    aws_cli s3 cp --recursive --only-show-errors "s3://$S3_BUCKET/$TOOL_PREFIX" "$1/"
  else
    s3cmd_cli get --recursive --force "s3://$S3_BUCKET/$TOOL_PREFIX" "$1/"
  fi
}

# put_object KEY FILE: below TOOL_DIR, past the mount.
put_object() {
  if command -v aws >/dev/null; then
    aws_cli s3 cp --only-show-errors "$2" "s3://$S3_BUCKET/$TOOL_PREFIX$1"
  else
    s3cmd_cli put "$2" "s3://$S3_BUCKET/$TOOL_PREFIX$1"
  fi
}

have_other_client() {
  has_s3 && { command -v aws || command -v s3cmd; } >/dev/null
}

# sums DIR: a checksum per regular file, sorted by name.
sums() {
  (cd "$1" && find . -type f -print0 | sort -z | xargs -0 -r sha256sum)
}

file_sum() {
  sha256sum <"$1"
}

# random_file FILE MIB
random_file() {
  head -c "$(($2 << 20))" /dev/urandom >"$1"
}
