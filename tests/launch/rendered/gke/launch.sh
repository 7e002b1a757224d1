#!/usr/bin/env bash
set -euo pipefail
name=ddad
at=(
  --cluster=pods
  --zone=us-west4-a
  --project=my-project
)
create=(
  --tpu-type=v5litepod-16
  --priority=medium
  --max-restarts=5
  --num-slices=2
  --restart-on-exit-codes=1
  --base-docker-image=python:3.11-bookworm
  --script-dir=source
)
wait_s=
keep=
send_code=1
checkout=/home/me/ddad_jax
buckets=(
  my-bucket
)
workdir_bucket=my-bucket
workdir_url='gs://my-bucket/runs/it'"'"'s here'
role=roles/storage.objectUser

fail() { # what went wrong and how to mend it; the status
  printf 'error: %s\n' "$1" >&2
  exit "${2:-2}"
}

# A signal to this script alone must not wait for hours until a command has ended: bash hears it while it waits.
child=''
patiently() {
  "$@" &
  child=$!
  local status=0
  wait "$child" || status=$?
  child=''
  return "$status"
}
stop_child() {
  [ -z "$child" ] || kill "$child" 2>/dev/null || true
}

# Only what carries $launch is this launch's, and only that may be deleted: a name may be somebody else's.
absent() { # whether these words of gcloud or kubectl say that there is no such thing, and not that they do not know
  case $1 in *NOT_FOUND* | *NotFound* | *"not found"*) return 0 ;; *) return 1 ;; esac
}

look_s=2
whose() { # the launch's status; the command that describes what a create may have made. Leaves ours: 1, '' or unknown
  local status=$1 seen tries
  shift
  for tries in 1 2 3; do
    if seen=$("$@" 2>&1); then
      case $seen in
      *"$launch"*) ours=1 ;;
      *) ours='' && echo "$name is another launch's; it is left as it is" >&2 ;;
      esac
      return 0
    elif absent "$seen"; then
      ours=''
      [ "$status" -gt 128 ] || return 0 # a create that a signal cut off may show a little later
    else
      ours=unknown
    fi
    sleep "$look_s"
  done
}

pack_source() { # checkout, archive, where to write down what was packed
  git -C "$1" rev-parse --verify --quiet HEAD >/dev/null 2>&1 ||
    fail "$1 is no git checkout with a commit: the code that is sent is what git tracks"
  local changed untracked
  changed=$(git -C "$1" status --porcelain --untracked-files=no)
  untracked=$(git -C "$1" ls-files --others --exclude-standard)
  {
    printf 'commit %s\n' "$(git -C "$1" rev-parse HEAD)"
    [ -z "$changed" ] || printf 'changed since, sent as they are:\n%s\n' "$changed"
    [ -z "$untracked" ] || printf 'not tracked by git, not sent:\n%s\n' "$untracked"
  } | tee "$3" >&2
  # A tracked file that was deleted is not there to be sent.
  (
    cd "$1" && git ls-files -z | while IFS= read -r -d '' file; do
      if [ -e "$file" ] || [ -L "$file" ]; then printf '%s\0' "$file"; fi
    done | tar --null --no-recursion -T - -czf "$2"
  ) || fail "$1 could not be packed into $2"
}

check_buckets_here() { # what can be known before anything is paid for
  local bucket folders
  for bucket in ${buckets[@]+"${buckets[@]}"}; do
    gcloud storage ls "gs://$bucket" >/dev/null ||
      fail "gs://$bucket does not exist, or $(gcloud config get account 2>/dev/null) may not look into it ($role)"
  done
  [ -n "$workdir_bucket" ] || return 0
  # Who may not describe the bucket learns it from the workers' own check.
  folders=$(gcloud storage buckets describe "gs://$workdir_bucket" --raw \
    --format='value(hierarchicalNamespace.enabled)' 2>/dev/null) || return 0
  case $folders in [Tt]rue) return 0 ;; esac
  fail "$workdir_url: the bucket has no hierarchical namespace, so its folders cannot be renamed, which ends every
  checkpoint. It is chosen when a bucket is made:
  gcloud storage buckets create gs://BUCKET --location=REGION --uniform-bucket-level-access --enable-hierarchical-namespace"
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here" # so that no path of a user is in what xpk hands to a shell
ours=''
launch=launch-$(date +%s)-$$-$RANDOM # in what the workload runs

to_delete=(xpk workload delete --workload="$name" "${at[@]}" --force)

leave() {
  local status=$?
  trap - EXIT
  trap '' INT TERM HUP
  stop_child
  # xpk has turned kubectl to the cluster before it makes anything there.
  [ "$ours" != maybe ] || whose "$status" kubectl get jobsets "$name" --output=yaml
  if [ "$ours" = unknown ]; then
    printf 'error: it could not be found out whether %s was created. If it was, delete it:\n  %s\n' \
      "$name" "${to_delete[*]}" >&2
    status=3
  elif [ -n "$ours" ] && [ -n "$keep" ]; then
    echo "$name stays in the cluster: ${to_delete[*]}" >&2
  elif [ -n "$ours" ]; then
    "${to_delete[@]}" || {
      printf 'error: %s could not be deleted and may go on running. Delete it:\n  %s\n' "$name" "${to_delete[*]}" >&2
      status=3
    }
  fi
  exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

check_buckets_here
if [ -n "$send_code" ]; then
  pack_source "$checkout" "$here/source.tar.gz" "$here/source.txt"
  rm -rf source
  mkdir source
  tar -xzf source.tar.gz -C source
fi

# Kubernetes changes $( and $$ in a command, and a line break would end it: neither is in base64.
worker=$(base64 <worker.sh | tr -d '\n')
ours=maybe
patiently xpk workload create --workload="$name" "${at[@]}" "${create[@]}" \
  --command="echo $worker | base64 -d >ddad-$launch.sh && bash ddad-$launch.sh" ||
  fail "xpk could not create $name (what it says is above). If the name is taken, choose another --gke_name, or
  ${to_delete[*]}"
ours=1

status=0
patiently xpk workload list "${at[@]}" --wait-for-job-completion="$name" ${wait_s:+--timeout="$wait_s"} || status=$?
kubectl logs --selector="xpk.google.com/workload=$name" --all-containers --prefix --tail=-1 \
  --max-log-requests=1000 >"logs.txt" || echo "the logs could not be fetched; Cloud Logging has them" >&2
echo "logs: $here/logs.txt" >&2
case $status in
0) ;;
124) fail "$name did not end within --gke_wait_minutes; raise it, or take --gke_keep and look later" 1 ;;
125) fail "$name failed: see the last lines of each worker in $here/logs.txt" 1 ;;
*) fail "xpk could not wait for $name (status $status, its words are above)" 1 ;;
esac
