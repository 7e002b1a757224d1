# SLURM sends USR1 some minutes before the time limit: the job is queued again, and the same command goes on.
again() {
  if [ -n "$requeue" ] && [ "${SLURM_RESTART_COUNT:-0}" -lt "$max_requeues" ]; then
    echo "the time limit is near: queued again, restart $((${SLURM_RESTART_COUNT:-0} + 1)) of $max_requeues" >&2
    scontrol requeue "$SLURM_JOB_ID" || echo "error: SLURM does not queue this job again; launch it again" >&2
  else
    echo "error: the time limit ends this job; the same launch goes on from what is done" >&2
  fi
}
trap again USR1

[ -z "$shard_of" ] || command+=("--shard=$SLURM_ARRAY_TASK_ID/$shard_of")
[ -z "${buckets[*]-}" ] || command=(bash "$1/task.sh" "${command[@]}")
# Under SLURM, jax.distributed gives a process one GPU, that of its number on the node, unless it is told which.
if [ -n "$all_gpus" ] && [ -z "${JAX_LOCAL_DEVICE_IDS-}" ]; then
  gpus=${gpus:-${SLURM_GPUS_ON_NODE-}}
  [ -z "$gpus" ] || export JAX_LOCAL_DEVICE_IDS="$(seq -s , 0 "$((gpus - 1))")"
fi
srun --kill-on-bad-exit=1 ${srun_options[@]+"${srun_options[@]}"} "${command[@]}" &
step=$!
while :; do # a signal ends wait, and not the step
  status=0
  wait "$step" || status=$?
  kill -0 "$step" 2>/dev/null || break
done
exit "$status"
