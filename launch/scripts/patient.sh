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
