# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# A place to mount, with a server behind it, for run-tools and bench/; sourced after scripts/lib.sh.
#
#   find_programs BIN           BIN: where the programs lie, or ''; sets QUAYFS, TESTSERVER, BENCH_TRANSFER,
#                               BENCH_FILES
#   prepare_backend KIND WORK   KIND: local | testserver | radosgw | plain; WORK: an empty folder. Starts what it takes and writes
#                               a mount config; sets TOOL_MOUNT, TOOL_CONFIG, TOOL_CACHE, S3_*, and `prefix`, below which all keys are
#   clean_backend KIND WORK     unmounts, ends and removes everything that was made in WORK
#
# SERVER_OPTIONS (an array) are further options for the test server; CONFIG_LINES further lines for [cache].

SERVER_OPTIONS=()
CONFIG_LINES=('size = "6GiB"')

find_programs() {
  local bin=$1
  if [[ -z $bin ]]; then
    # shellcheck disable=SC2012 # our own two paths
    bin=$(ls -td "$ROOT"/build/{release,test}/bin/quayfs 2>/dev/null | head -n 1 || true)
    bin=${bin%/quayfs}
  fi
  QUAYFS=$bin/quayfs
  TESTSERVER=$bin/quayfs-testserver
  # shellcheck disable=SC2034 # for bench/compare
  BENCH_TRANSFER=$bin/bench_transfer
  # shellcheck disable=SC2034 # for bench/small-files
  BENCH_FILES=$bin/bench_files
  [[ -x $QUAYFS ]] || die "no quayfs program; run scripts/build first, or say --bin DIR"
  export QUAYFS TESTSERVER
}

start_testserver() {
  local work=$1 out=$1/testserver.log deadline=$((SECONDS + 20))
  "$TESTSERVER" --exit-with-parent --dir "$work/bucket" "${SERVER_OPTIONS[@]}" >"$out" 2>&1 </dev/null &
  until grep -qo 'http://127.0.0.1:[0-9]*' "$out"; do
    ((SECONDS < deadline)) || die "the test server did not start: $(tail -n 3 "$out")"
    sleep 0.1
  done
  S3_ENDPOINT=$(grep -o 'http://127.0.0.1:[0-9]*' "$out" | head -n 1)
  S3_BUCKET='test'
  S3_ACCESS_KEY=test-key
  S3_SECRET_KEY=test-secret
  export TOOL_CHECKS_REGION=1
}

use_radosgw() {
  local work=$1
  if [[ -z ${QUAYFS_TEST_RADOSGW_ENDPOINT:-} ]]; then
    "$ROOT/tests/radosgw/radosgw" start "$work/rgw" >"$work/rgw.env"
    # shellcheck disable=SC1091 # made at run time
    . "$work/rgw.env"
  fi
  S3_ENDPOINT=$QUAYFS_TEST_RADOSGW_ENDPOINT
  S3_BUCKET=$QUAYFS_TEST_RADOSGW_BUCKET
  S3_ACCESS_KEY=$QUAYFS_TEST_RADOSGW_ACCESS_KEY
  S3_SECRET_KEY=$QUAYFS_TEST_RADOSGW_SECRET_KEY
}

write_config() {
  local kind=$1 work=$2
  (
    umask 077
    {
      if [[ $kind == local ]]; then
        printf '%s\n' 'provider = "local"' "bucket = \"$work/bucket\""
      else
        printf '%s\n' 'provider = "s3"' "endpoint = \"$S3_ENDPOINT\"" "bucket = \"$S3_BUCKET\"" "prefix = \"$prefix\"" \
          '' '[credentials]' "access_key_id = \"$S3_ACCESS_KEY\"" "secret_access_key = \"$S3_SECRET_KEY\""
      fi
      # Owners and modes come back whole only if the bucket is trusted with set-gid bits and devices.
      printf '%s\n' '' '[mount]' 'trust_special = true'
      printf '%s\n' '' '[cache]' "directory = \"$TOOL_CACHE\"" "${CONFIG_LINES[@]}"
    } >"$TOOL_CONFIG"
  )
}

prepare_backend() {
  local kind=$1 work=$2
  S3_ENDPOINT='' S3_BUCKET='' S3_ACCESS_KEY='' S3_SECRET_KEY='' prefix=''
  TOOL_MOUNT=$work/mnt TOOL_CONFIG=$work/mount.toml TOOL_CACHE=$work/cache
  mkdir "$work/mnt" "$work/bucket" "$work/tmp"
  export TMPDIR=$work/tmp
  case $kind in
    plain) TOOL_MOUNT='' ;;
    testserver) start_testserver "$work" ;;
    radosgw) use_radosgw "$work" ;;
  esac
  if [[ $kind == testserver || $kind == radosgw ]]; then
    # Others may use the bucket too.
    prefix=tools-$$/
  fi
  write_config "$kind" "$work"
  export S3_ENDPOINT S3_BUCKET S3_ACCESS_KEY S3_SECRET_KEY TOOL_MOUNT TOOL_CONFIG TOOL_CACHE
}

clean_backend() {
  local kind=$1 work=$2
  detach_mounts_below "$work"
  if [[ $kind == radosgw && -d $work/rgw ]]; then
    "$ROOT/tests/radosgw/radosgw" stop "$work/rgw" || true
  fi
  end_processes_of "$work/" || true
}
