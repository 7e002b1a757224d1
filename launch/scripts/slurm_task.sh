# One process of the job, which needs its buckets first. A mount ends with the step it was made in.
mount_buckets
check_workdir "$workdir"
status=0
"$@" || status=$?
for bucket in "${buckets[@]}"; do
  fusermount -u "$mounts/$bucket" 2>/dev/null || true
done
exit "$status"
