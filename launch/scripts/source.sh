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
