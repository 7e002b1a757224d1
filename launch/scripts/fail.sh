fail() { # what went wrong and how to mend it; the status
  printf 'error: %s\n' "$1" >&2
  exit "${2:-2}"
}
