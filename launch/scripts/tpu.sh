here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here"
ours='' agent='' why='' collected='' ready='' started=''
launch=launch-$(date +%s)-$$-$RANDOM # a label of what is asked for

tpus() { gcloud compute tpus "$@" --zone="$zone" ${project:+--project="$project"} --quiet; }
state() { tpus queued-resources describe "$name" --format='value(state.state)' 2>/dev/null; }
node() { tpus tpu-vm describe "$name" --format='value(state)' 2>/dev/null; }
told_to_delete() {
  printf 'gcloud compute tpus queued-resources delete %s --force --zone=%s%s' "$name" "$zone" "${project:+ --project=$project}"
}
on() { # which workers, what they run: without a word of the user, who is in worker.sh alone
  patiently tpus tpu-vm ssh "$name" --worker="$1" --command="$2" \
    --ssh-flag=-oServerAliveInterval=30 --ssh-flag=-oServerAliveCountMax=6
}

remove() {
  echo "deleting $name" >&2
  if tpus queued-resources delete "$name" --force; then
    ours=
    echo "deleted $name; nothing of it costs any more" >&2
  else
    printf 'error: %s could not be deleted and may go on costing. Delete it:\n  %s\n' "$name" "$(told_to_delete)" >&2
    return 1
  fi
}

leave() {
  local status=$?
  trap - EXIT
  trap '' INT TERM HUP # a second Ctrl-C must not leave something that costs
  stop_child
  [ -z "$agent" ] || ssh-agent -k >/dev/null || true
  [ "$ours" != maybe ] || whose "$status" tpus queued-resources describe "$name"
  if [ "$ours" = unknown ]; then
    printf 'error: it could not be found out whether %s was made. If it was, it costs; delete it:\n  %s\n' \
      "$name" "$(told_to_delete)" >&2
    status=3
  elif [ -n "$ours" ] && [ -n "$keep" ]; then
    printf '%s is kept and goes on costing until you delete it:\n  %s\n' "$name" "$(told_to_delete)" >&2
  elif [ -n "$ours" ]; then
    [ -z "$(to_collect)" ] || echo "the workdir on $name was not copied and is deleted with it" >&2
    remove || status=3
  fi
  exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

ask_for() {
  ours=maybe ready='' started=''
  tpus queued-resources create "$name" "${create[@]}" --labels="${labels:+$labels,}ddad_launch=$launch" ||
    fail "$name could not be asked for (what gcloud says is above)"
  ours=1
}

await_active() { # 1: pre-empted before it began
  local until=$((SECONDS + wait_s)) now last=
  while :; do
    now=$(state) || now=
    [ "$now" = "$last" ] || printf '%s %s: %s\n' "$(date +%T)" "$name" "${now:-no answer}" >&2
    last=$now
    case $now in
    ACTIVE) return 0 ;;
    SUSPENDING | SUSPENDED) if [ -n "$spot" ]; then return 1; fi ;;
    esac
    case $now in
    FAILED | SUSPENDING | SUSPENDED | DELETING)
      tpus queued-resources describe "$name" >&2 || true
      fail "$name is $now (above is why). Try another --tpu_zone, another --tpu_type, or later"
      ;;
    esac
    [ "$SECONDS" -lt "$until" ] ||
      fail "$name was not ACTIVE within --tpu_wait_minutes (${now:-no answer}). Try another zone or type, or wait longer"
    sleep "$poll_s"
  done
}

lost() { # whether the machine is gone: pre-empted, or taken for maintenance
  local now='' tries
  for tries in 1 2 3 4 5 6 7 8 9 10; do
    sleep "$poll_s" # the state follows the machine a little later
    now=$(state) || now=
    [ -z "$now" ] || break
  done
  [ "$now" = ACTIVE ] || return 0
  now=$(node) || now=
  case $now in READY | "") return 1 ;; *) return 0 ;; esac
}

keys() { # gcloud reaches several workers only by a key that an agent holds; its first call has made the key
  if [ -z "${SSH_AUTH_SOCK-}" ]; then
    eval "$(ssh-agent -s)" >/dev/null
    agent=1
  fi
  ssh-add "$HOME/.ssh/google_compute_engine" ||
    echo "~/.ssh/google_compute_engine is not in the SSH agent; gcloud may refuse several workers" >&2
}

run_on_workers() {
  if [ -z "$ready" ]; then
    why="worker 0 cannot be reached by SSH"
    on 0 true || return
    keys
    why="the code could not be copied to all workers"
    tpus tpu-vm scp source.tar.gz worker.sh "$name": --worker=all || return
    why="a worker could not be set up"
    # What runs there already keeps the script it was started from.
    on all 'mkdir -p ddad && mv -f worker.sh ddad/worker.sh && bash ddad/worker.sh setup' || return
    ready=1
  fi
  why="the run failed, or a worker did not start" started=1
  on all "bash ddad/worker.sh run $launch" || return
}

to_collect() { # a word where the machine alone has what a run has written
  if [ -n "$local_workdir" ] && [ -n "$started" ] && [ -z "$collected" ]; then echo results; fi
}

collect() { # worker 0's workdir, where it is not in a bucket
  [ -n "$(to_collect)" ] || return 0
  local tries
  for tries in 1 2 3; do
    if on 0 'bash ddad/worker.sh pack' && tpus tpu-vm scp "$name":ddad-workdir.tar.gz . --worker=0 &&
      tar -xzf ddad-workdir.tar.gz -C "$collect_to"; then
      collected=1
      echo "the workdir is in $collect_to" >&2
      return 0
    fi
    sleep "$poll_s"
  done
  return 1
}

keep_results() { # hours of a TPU are in them; an hour more of it costs less than they did
  keep=1
  echo "error: the workdir could not be copied to $collect_to, so $name IS NOT DELETED AND GOES ON COSTING.
Mend what is said above; the same launch with --tpu_reuse then copies the workdir and deletes $name" >&2
}

there=
if said=$(tpus queued-resources describe "$name" 2>&1); then
  [ -n "$reuse" ] || fail "$name exists already. Take it with --tpu_reuse, choose another --tpu_name, or delete it:
  $(told_to_delete)"
  there=1 started=1 # it may have the workdir of a launch before
elif ! absent "$said"; then
  fail "whether $name exists already could not be found out; nothing was asked for. gcloud says:
$said"
fi
[ -z "$local_workdir" ] || mkdir -p "$collect_to" || fail "$collect_to cannot be made, where the workdir would come to"
check_buckets_here
pack_source "$checkout" "$here/source.tar.gz" "$here/source.txt"
reconnected=0

for ((attempt = 0; ; attempt++)); do
  if [ -n "$there" ]; then ours=1; else ask_for; fi
  there=
  status=0
  if await_active; then
    run_on_workers || status=$?
    if [ "$status" = 0 ] && collect; then exit 0; fi
    if ! lost; then
      if [ "$status" = 255 ] && [ "$reconnected" -lt 3 ]; then # SSH's own status: the run itself goes on
        reconnected=$((reconnected + 1)) attempt=$((attempt - 1)) there=1
        echo "the connection broke; connecting again" >&2
        continue
      fi
      if [ "$status" = 0 ]; then
        keep_results
        exit 1
      fi
      collect || keep_results
      fail "$why (status $status; the worker is named above, as in: Command execution on worker 1 failed)" "$status"
    fi
  fi
  [ "$attempt" -lt "$retries" ] || fail "$name was pre-empted $((attempt + 1)) times: --tpu_retries=$retries" 1
  goes_on="goes on from the workdir"
  [ -z "$local_workdir" ] || goes_on="begins anew: its workdir was on the machine"
  echo "$name was pre-empted; it is asked for again, and the run $goes_on" >&2
  remove || fail "$name could not be asked for again" 3
done
