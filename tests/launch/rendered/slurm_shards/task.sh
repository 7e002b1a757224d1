#!/usr/bin/env bash
set -euo pipefail
workdir=/tmp/ddad-buckets/my-bucket/runs/demo
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
workdir_url=gs://my-bucket/runs/demo
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

# One process of the job, which needs its buckets first. A mount ends with the step it was made in.
mount_buckets
check_workdir "$workdir"
status=0
"$@" || status=$?
for bucket in "${buckets[@]}"; do
  fusermount -u "$mounts/$bucket" 2>/dev/null || true
done
exit "$status"
