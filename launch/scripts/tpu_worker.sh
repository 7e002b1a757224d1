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
