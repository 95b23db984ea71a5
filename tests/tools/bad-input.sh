#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What people get wrong: each must give one readable line, a non-zero status, no mount and no process left behind.
# Needs an S3 server; what only one that checks regions can show is skipped on others (TOOL_CHECKS_REGION).

set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

on_mount || { skip "bad input" "needs a quayfs program" && exit 0; }
has_s3 || { skip "bad input" "needs an S3 server" && exit 0; }

config=$TOOL_SCRATCH/bad.toml
mount_point=$TOOL_SCRATCH/mnt
cache=$TOOL_SCRATCH/cache
tls_server=

end_tls_server() {
  if [[ -n $tls_server ]]; then
    kill "$tls_server" 2>/dev/null || true
  fi
}
trap end_tls_server EXIT

# write_config [LINE...]: a good one; each LINE replaces the line that sets the same key.
write_config() {
  local line
  local -A lines=(
    [provider]='provider = "s3"'
    [endpoint]="endpoint = \"$S3_ENDPOINT\""
    [bucket]="bucket = \"$S3_BUCKET\""
    [region]='region = "us-east-1"'
    [access_key_id]="access_key_id = \"$S3_ACCESS_KEY\""
    [secret_access_key]="secret_access_key = \"$S3_SECRET_KEY\""
    [extra]=''
  )
  for line in "$@"; do
    lines[${line%% *}]=$line
  done
  rm -f -- "$config"
  (
    umask 077
    cat >"$config" <<CONFIG
${lines[provider]}
${lines[endpoint]}
${lines[bucket]}
${lines[region]}
${lines[extra]#extra }

[credentials]
${lines[access_key_id]}
${lines[secret_access_key]}

# Nobody waits minutes to learn of a typing mistake; what matters here is the message.
[extended]
RetryInterval = 100
RetryCount = 1

[cache]
directory = "$cache"
size = "64MiB"
CONFIG
  )
}

# refused NAME PATTERN [MOUNT_POINT]: mounting fails with one line that matches PATTERN (without case).
refused() {
  local name=$1 pattern=$2 point=${3:-$mount_point} status=0 output lines
  output=$(timeout 100 "$QUAYFS" mount "$config" "$point" 2>&1 </dev/null) || status=$?
  lines=$(grep -c . <<<"$output" || true)
  if ((status == 0)); then
    "$QUAYFS" umount "$point" >/dev/null 2>&1 || umount -l "$point" || true
    fail "$name" "it was mounted"
  elif ((status == 124)); then
    fail "$name" "no answer in 100 s"
  elif ((lines != 1)); then
    fail "$name" "$lines lines instead of one"
    printf '          | %s\n' "${output//$'\n'/$'\n          | '}"
  elif ! grep -qiE -- "$pattern" <<<"$output"; then
    fail "$name" "the message does not say so: $output"
  elif grep -qF -- "$S3_SECRET_KEY" <<<"$output"; then
    fail "$name" "the message holds the secret"
  elif [[ $point == "$mount_point" ]] && mountpoint -q "$mount_point"; then
    fail "$name" "something is mounted"
  elif [[ -n $(TOOL_CONFIG=$config daemon_pids) ]]; then
    fail "$name" "a process is left"
  else
    pass "$name"
    echo "          $output"
  fi
}

# Starts a test server that speaks TLS with a certificate nobody knows; sets TLS_PORT.
start_tls_server() {
  local out=$TOOL_SCRATCH/tls.out
  "$TESTSERVER" --exit-with-parent --tls >"$out" 2>&1 </dev/null &
  tls_server=$!
  wait_until 10 grep -qo 'https://127.0.0.1:[0-9]*' "$out" || return 1
  TLS_PORT=$(grep -o 'https://127.0.0.1:[0-9]*' "$out" | head -n 1)
  TLS_PORT=${TLS_PORT##*:}
}

mkdir "$mount_point"

write_config
check "the config is good as it is" "$QUAYFS" mount "$config" "$mount_point"
check "and unmounts" "$QUAYFS" umount "$mount_point"

write_config 'access_key_id = "no-such-key"'
refused "wrong access key" 'no-such-key'
write_config 'secret_access_key = "wrong"'
refused "wrong secret" 'secret|signature'
write_config 'bucket = "no-such-bucket-here"'
refused "missing bucket" 'no-such-bucket-here'
write_config 'region = "Nowhere at all"'
refused "wrong region" 'region'
if [[ -n ${TOOL_CHECKS_REGION:-} ]]; then
  # A server that says where the bucket is makes it right.
  write_config 'region = "eu-nowhere-7"'
  check "another region than the bucket's is put right" "$QUAYFS" mount "$config" "$mount_point"
  check "and it can be unmounted" "$QUAYFS" umount "$mount_point"
else
  skip "another region than the bucket's is put right" "this server does not check it"
fi
write_config 'endpoint = "http://127.0.0.1:1"'
refused "nobody listens there" '127\.0\.0\.1:1|connect|refused'
write_config 'endpoint = "http://no-such-host.invalid"'
refused "unknown host" 'no-such-host\.invalid|resolve'
write_config "endpoint = \"https://${S3_ENDPOINT#http://}\""
refused "https to a server that speaks http" 'tls|ssl|certificate|https'
if [[ -x ${TESTSERVER:-} ]] && start_tls_server; then
  write_config "endpoint = \"https://127.0.0.1:$TLS_PORT\""
  refused "a certificate that nobody vouches for" 'certificate'
else
  skip "a certificate that nobody vouches for" "no test server program"
fi

write_config 'extra this is not TOML'
refused "not TOML" 'bad\.toml.*[0-9]'
write_config 'extra bukcet = "x"'
refused "a misspelt key" 'bukcet.*bucket'
write_config 'provider = "s4"'
refused "an unknown provider" 's4'
write_config 'bucket = 5'
refused "a value of the wrong type" 'bucket'
write_config
chmod 644 "$config"
refused "a secret that others may read" 'chmod'
printf '%s\n' "$S3_SECRET_KEY" >"$TOOL_SCRATCH/secret"
chmod 644 "$TOOL_SCRATCH/secret"
write_config "secret_access_key = { file = \"$TOOL_SCRATCH/secret\" }"
refused "a secret file that others may read" 'chmod'
write_config "secret_access_key = { file = \"$TOOL_SCRATCH/none\" }"
refused "a secret file that is not there" "$TOOL_SCRATCH/none"
rm -f -- "$config"
refused "a config that is not there" 'bad\.toml'

write_config
refused "a mount point that is not there" 'nowhere' "$TOOL_SCRATCH/nowhere"
: >"$TOOL_SCRATCH/file"
refused "a mount point that is a file" 'director|folder' "$TOOL_SCRATCH/file"
refused "a mount point that is mounted already" 'already|busy|mounted' "$TOOL_MOUNT"
printf 'x' >"$TOOL_SCRATCH/not-a-folder"
sed -i "s|^directory = .*|directory = \"$TOOL_SCRATCH/not-a-folder\"|" "$config"
refused "a cache directory that cannot be one" 'not-a-folder'
sed -i "s|^directory = .*|directory = \"$TOOL_CACHE\"|" "$config"
refused "a cache directory that another mount uses" 'in use|another|locked'
