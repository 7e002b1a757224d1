#!/usr/bin/env bash
set -euo pipefail
command=(
  .venv/bin/python
  -u
  -m
  experiments.sweep
  '--workdir=/tmp/ddad-buckets/my-bucket/runs/it'"'"'s here'
  --config=experiments/configs/demo.py
  --coordinator=auto
)
extras=tpu
workdir='/tmp/ddad-buckets/my-bucket/runs/it'"'"'s here'
buckets=(
  my-bucket
)
mounts=/tmp/ddad-buckets
mount_options=(
  --implicit-dirs
  --metadata-cache-ttl-secs=0
  --metadata-cache-negative-ttl-secs=0
)
workdir_bucket=my-bucket
workdir_url='gs://my-bucket/runs/it'"'"'s here'
role=roles/storage.objectUser

fail() { # what went wrong and how to mend it; the status
  printf 'error: %s\n' "$1" >&2
  exit "${2:-2}"
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

install_gcsfuse() { # for Debian and Ubuntu, from Google's own packages
  ! command -v gcsfuse >/dev/null || return 0
  local keys=/usr/share/keyrings/cloud.google.asc packages=https://packages.cloud.google.com/apt codename
  codename=$(. /etc/os-release && printf %s "${VERSION_CODENAME-}")
  {
    curl -fsSL "$packages/doc/apt-key.gpg" | as_root tee "$keys" >/dev/null &&
      echo "deb [signed-by=$keys] $packages gcsfuse-$codename main" |
      as_root tee /etc/apt/sources.list.d/gcsfuse.list >/dev/null &&
      as_root apt-get -o DPkg::Lock::Timeout=600 -qq update &&
      as_root apt-get -o DPkg::Lock::Timeout=600 -qq -y install gcsfuse
  } || fail "$(hostname): gcsfuse could not be installed; take a machine or an image that has it"
}

account() { # that this machine acts for, in words
  curl -fs -m 5 -H 'Metadata-Flavor: Google' \
    http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/email 2>/dev/null ||
    printf 'the account of this machine'
}

mount_buckets() {
  local bucket
  for bucket in ${buckets[@]+"${buckets[@]}"}; do
    mkdir -p "$mounts/$bucket"
    ! mountpoint -q "$mounts/$bucket" || continue
    command -v gcsfuse >/dev/null ||
      fail "$(hostname): gs://$bucket cannot be mounted, gcsfuse is not there. Load or install it, or use a folder"
    gcsfuse "${mount_options[@]}" "$bucket" "$mounts/$bucket" ||
      fail "$(hostname): gs://$bucket cannot be mounted. Does it exist? $(account) needs $role on it"
  done
}

check_workdir() { # its folder: do all that a run will do there, before anything is computed
  [ -n "$workdir_bucket" ] || return 0
  local try
  try="$1/.write-check-$(hostname)-$$"
  {
    mkdir -p "$try/inner" && echo one >"$try/inner/a" && echo two >>"$try/inner/a" && echo old >"$try/inner/b" &&
      mv -f "$try/inner/a" "$try/inner/b"
  } || fail "$workdir_url cannot be written on $(hostname). Give $(account) the role $role:
  gcloud storage buckets add-iam-policy-binding gs://$workdir_bucket --member=serviceAccount:ACCOUNT --role=$role"
  mv "$try" "$try-moved" || {
    rm -rf "$try"
    fail "$workdir_url: folders cannot be renamed, which ends every checkpoint. Take a bucket made with
  gcloud storage buckets create gs://BUCKET --location=REGION --uniform-bucket-level-access --enable-hierarchical-namespace"
  }
  [ "$(cat "$try-moved/inner/b")" = "one
two" ] || fail "$workdir_url does not give back what was written to it"
  rm -rf "$try-moved" || fail "$workdir_url: nothing can be deleted there. Give $(account) the role $role"
}

# On every worker, in the folder of the code: worker.sh setup | run LAUNCH | pack
cd "$(dirname "${BASH_SOURCE[0]}")"
case $workdir in "~" | "~/"*) workdir=$HOME${workdir#"~"} ;; esac # as the program reads it

install() {
  local candidate python=
  [ ! -x .venv/bin/python ] || return 0
  for candidate in python3.12 python3.11; do
    if [ -z "$python" ] && "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then python=$candidate; fi
  done
  if [ -n "$python" ]; then
    "$python" -m venv .venv
  else # the images of Cloud TPU come with Python 3.10, which is too old
    python3 -m pip install --quiet --user uv && "$HOME/.local/bin/uv" venv --quiet --seed --python 3.11 .venv
  fi || fail "$(hostname): no Python 3.11 or 3.12 could be set up"
}

alive() { [ -s run.pid ] && kill -0 "$(cat run.pid)" 2>/dev/null; }

# The run outlives the connection: gcloud connects again when one breaks, and this must then not start a second run.
run() {
  local this from=+1
  this=$(printf '%s\0' "${command[@]}" | cksum)
  if alive; then
    [ "$(cat run.command)" = "$this" ] || fail "$(hostname): another run is going on here; wait for it, or delete the TPU"
    from=20
  elif [ ! -s run.status ] || [ "$(cat run.launch)" != "$1" ]; then
    rm -f run.status
    printf '%s' "$this" >run.command
    printf '%s' "$1" >run.launch
    : >run.log
    nohup setsid bash -c 'status=0; "$@" >>run.log 2>&1 || status=$?; echo "$status" >run.status' run "${command[@]}" \
      </dev/null >/dev/null 2>&1 &
    echo "$!" >run.pid
  fi
  tail -n "$from" -f -s 0.2 --pid="$(cat run.pid)" run.log
  if [ -n "$workdir_bucket" ]; then
    { mkdir -p "$workdir/launch" && cp run.log "$workdir/launch/$(hostname).log"; } || true
  fi
  [ -s run.status ] || fail "$(hostname): the run was killed" 1
  return "$(cat run.status)"
}

case $1 in
setup)
  ! alive || exit 0 # nothing is changed below a run that goes on
  tar -xzf ../source.tar.gz
  install
  .venv/bin/python -m pip install --quiet ".[experiments,$extras]" -c constraints.txt ||
    fail "$(hostname): the packages could not be installed"
  [ -z "$workdir_bucket${buckets[*]-}" ] || install_gcsfuse
  mount_buckets
  check_workdir "$workdir"
  ;;
run)
  mount_buckets
  run "$2"
  ;;
pack)
  mkdir -p "$workdir" # a run that was refused has none
  tar -czf "$HOME/ddad-workdir.tar.gz" -C "$workdir" .
  ;;
esac
