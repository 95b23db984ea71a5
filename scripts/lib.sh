# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Helpers shared by the shell scripts; sourced, not run. Sets ROOT to the top of the source tree.

# shellcheck disable=SC2034 # for those who source this
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck disable=SC2034
readonly ROOT

# The first word of every message: the script's name.
readonly SCRIPT_NAME=${0##*/}

say() {
  echo "$SCRIPT_NAME: $*"
}

die() {
  echo "$SCRIPT_NAME: $*" >&2
  exit 1
}

# The comment block at the head of the script that was started, without the marks: its usage text.
print_usage() {
  awk 'NR > 1 && !/^#/ {exit} NR > 2 {sub(/^# ?/, ""); print}' "$0" | sed '1{/^$/d}'
}

# as_root COMMAND...: with sudo where that is needed and there is one.
as_root() {
  if ((EUID == 0)); then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "this needs root: run it as root, or install sudo"
  fi
}

# quietly LOG COMMAND...: output goes to LOG; its end is shown if the command fails, whose status is returned.
quietly() {
  local log=$1 status=0
  shift
  "$@" >"$log" 2>&1 </dev/null || status=$?
  if ((status != 0)); then
    echo "$SCRIPT_NAME: failed with status $status: $*" >&2
    tail -n 60 "$log" | sed 's/^/  | /' >&2
    echo "$SCRIPT_NAME: the whole log is $log" >&2
  fi
  return "$status"
}

# Mount points below a folder, innermost first.
mounts_below() {
  local point
  while read -r _ _ _ _ point _; do
    printf '%b\n' "$point"
  done </proc/self/mountinfo | grep -F -- "$1/" | sort -r || true
}

# Detaches every mount below a folder, however it is. For cleaning up, not for ending a mount whose data counts.
detach_mounts_below() {
  local point
  mounts_below "$1" | while IFS= read -r point; do
    umount -l -- "$point" 2>/dev/null || fusermount3 -uz -- "$point" 2>/dev/null || true
  done
}

# Pids of processes whose command line holds a text that only ours can hold (a path made by mktemp), ourselves left out.
processes_of() {
  local text=$1 entry pid
  for entry in /proc/[0-9]*/cmdline; do
    pid=${entry#/proc/}
    pid=${pid%/cmdline}
    if ((pid != $$ && pid != BASHPID)) && tr '\0' '\n' 2>/dev/null <"$entry" | grep -qF -- "$text"; then
      echo "$pid"
    fi
  done
}

# Ends them: asks first, insists after `$2` seconds (10 by default).
end_processes_of() {
  local text=$1 deadline=$((SECONDS + ${2:-10})) pid signal=TERM
  local -a pids
  while :; do
    mapfile -t pids < <(processes_of "$text")
    ((${#pids[@]} > 0)) || return 0
    if ((SECONDS >= deadline)); then
      signal=KILL
    fi
    for pid in "${pids[@]}"; do
      kill -"$signal" "$pid" 2>/dev/null || true
    done
    sleep 0.2
    if [[ $signal == KILL ]] && ((SECONDS >= deadline + 10)); then
      return 1
    fi
  done
}

# Mebibytes free where a folder lies.
free_mib() {
  df --output=avail -BM -- "$1" | tail -n 1 | tr -dc '0-9'
}

# 95 -> 1m35s
human_time() {
  local seconds=$1
  if ((seconds < 60)); then
    echo "${seconds}s"
  else
    echo "$((seconds / 60))m$((seconds % 60))s"
  fi
}
