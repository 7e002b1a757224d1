#!/usr/bin/env bash
set -euo pipefail
checkout=/shared/ddad_jax
logs=/shared/ddad_jax/runs/demo/launch
shards=
max_parallel=

fail() { # what went wrong and how to mend it; the status
  printf 'error: %s\n' "$1" >&2
  exit "${2:-2}"
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$checkout" || fail "$checkout is not there; --slurm_checkout is the code's folder on the shared file system"
[ -n "$logs" ] || logs=$here/logs
mkdir -p "$logs" || fail "$logs cannot be made, where the jobs' output would go"
pattern=${logs//%/%%}
submitted=()

submit() { # the script; how its output is named; options. Leaves the job's number in id
  local script=$1 output=$2
  shift 2
  id=$(sbatch --parsable --chdir="$checkout" --output="$pattern/$output.log" "$@" "$here/$script" "$here") || {
    [ -z "${submitted[*]-}" ] || scancel "${submitted[@]}" || true
    fail "sbatch refused $script (its words are above); nothing is left in the queue"
  }
  id=${id%%;*} # a federation of clusters adds its name
  submitted+=("$id")
}

if [ -z "$shards" ]; then
  submit run.sbatch '%x-%j'
else # one job waits for the other; if one fails, those behind it are taken out of the queue
  submit models.sbatch '%x-models-%j'
  submit shards.sbatch '%x-shard-%A-%a' --array="0-$((shards - 1))${max_parallel:+%$max_parallel}" \
    --dependency="afterok:$id" --kill-on-invalid-dep=yes
  submit collect.sbatch '%x-collect-%j' --dependency="afterok:$id" --kill-on-invalid-dep=yes
fi
echo "submitted: ${submitted[*]}"
echo "output:    $logs"
echo "watch:     squeue --me"
echo "stop:      scancel ${submitted[*]}"
