here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here" # so that no path of a user is in what xpk hands to a shell
ours=''
launch=launch-$(date +%s)-$$-$RANDOM # in what the workload runs

to_delete=(xpk workload delete --workload="$name" "${at[@]}" --force)

leave() {
  local status=$?
  trap - EXIT
  trap '' INT TERM HUP
  stop_child
  # xpk has turned kubectl to the cluster before it makes anything there.
  [ "$ours" != maybe ] || whose "$status" kubectl get jobsets "$name" --output=yaml
  if [ "$ours" = unknown ]; then
    printf 'error: it could not be found out whether %s was created. If it was, delete it:\n  %s\n' \
      "$name" "${to_delete[*]}" >&2
    status=3
  elif [ -n "$ours" ] && [ -n "$keep" ]; then
    echo "$name stays in the cluster: ${to_delete[*]}" >&2
  elif [ -n "$ours" ]; then
    "${to_delete[@]}" || {
      printf 'error: %s could not be deleted and may go on running. Delete it:\n  %s\n' "$name" "${to_delete[*]}" >&2
      status=3
    }
  fi
  exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

check_buckets_here
if [ -n "$send_code" ]; then
  pack_source "$checkout" "$here/source.tar.gz" "$here/source.txt"
  rm -rf source
  mkdir source
  tar -xzf source.tar.gz -C source
fi

# Kubernetes changes $( and $$ in a command, and a line break would end it: neither is in base64.
worker=$(base64 <worker.sh | tr -d '\n')
ours=maybe
patiently xpk workload create --workload="$name" "${at[@]}" "${create[@]}" \
  --command="echo $worker | base64 -d >ddad-$launch.sh && bash ddad-$launch.sh" ||
  fail "xpk could not create $name (what it says is above). If the name is taken, choose another --gke_name, or
  ${to_delete[*]}"
ours=1

status=0
patiently xpk workload list "${at[@]}" --wait-for-job-completion="$name" ${wait_s:+--timeout="$wait_s"} || status=$?
kubectl logs --selector="xpk.google.com/workload=$name" --all-containers --prefix --tail=-1 \
  --max-log-requests=1000 >"logs.txt" || echo "the logs could not be fetched; Cloud Logging has them" >&2
echo "logs: $here/logs.txt" >&2
case $status in
0) ;;
124) fail "$name did not end within --gke_wait_minutes; raise it, or take --gke_keep and look later" 1 ;;
125) fail "$name failed: see the last lines of each worker in $here/logs.txt" 1 ;;
*) fail "xpk could not wait for $name (status $status, its words are above)" 1 ;;
esac
