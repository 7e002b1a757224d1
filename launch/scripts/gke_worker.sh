# In the container of every worker.
cd "$folder" || fail "$(hostname): $folder is not in the image; --gke_folder is where the code is"
if [ -n "$install" ]; then
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$(hostname): the image has no Python 3.11 or newer; choose another --gke_base_image"
  python3 -m venv .venv
  .venv/bin/python -m pip install --quiet ".[experiments,$extras]" -c constraints.txt ||
    fail "$(hostname): the packages could not be installed"
fi
if [ -n "${buckets[*]-}" ]; then
  install_gcsfuse
  mount_buckets
fi
check_workdir "$workdir"
exec "${command[@]}"
