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
