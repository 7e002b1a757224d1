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
