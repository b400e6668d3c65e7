#!/bin/bash
# A distributed run on Slurm, in one job; docs/launching.md.
#
#   sbatch launch/slurm.sh                                # from the checkout
#   sbatch --ntasks=19 --export=ALL,ROOT_DIR=/shared/pong launch/slurm.sh
#
# The lines below `# written` are those of launch/write.py: run it to change
# them.
#SBATCH --job-name=dreamerv2
# Replay server, learner, evaluator, and collectors:
#SBATCH --ntasks=7  # written: ntasks
#SBATCH --cpus-per-task=4
#SBATCH --mem-per-cpu=4G
#SBATCH --gpus=1                # the learner's
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@600     # seconds before its end in which it saves
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=dreamerv2-%j.log
set -u
cd "${SLURM_SUBMIT_DIR:-.}" || exit 1
root_dir=${ROOT_DIR:-runs/pong}  # written: root_dir
# Who reaches this port can read and change the run: see SECURITY.md.
address=$(hostname):$((20000 + SLURM_JOB_ID % 10000))

# srun would ask for the job's GPU in every step: only the learner's does.
unset SLURM_GPUS SLURM_GPUS_PER_NODE SLURM_GPUS_PER_TASK

declare -A pids=()  # of the roles that run, by name
code=0      # of the first role that has failed
stopped=''  # whether the job's time is over
resumes=''  # whether the learner or the evaluator has saved before its end

# What a step runs: its arguments, which get SIGTERM at SIGUSR1. srun forwards
# SIGUSR1, to all processes of the step; at SIGTERM it kills them.
# shellcheck disable=SC2329  # `start` gives it to bash
role() {
  trap 'kill -TERM "$!"' USR1
  (trap '' USR1 && exec "$@") &
  while kill -0 "$!" 2>/dev/null; do wait "$!"; done
  wait "$!"  # its exit status
}
start() {  # NAME, options of srun, --, arguments of bin/train
  local name=$1 options=()
  shift
  while [ "$1" != -- ]; do options+=("$1") && shift; done
  shift
  srun --exact --nodes=1 --ntasks=1 \
    --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --open-mode=append \
    --output="dreamerv2-%j-$name.log" "${options[@]}" \
    bash -c "$(declare -f role); role \"\$@\"" -- bin/train "$@" &
  pids[$name]=$!
}
running() { kill -0 "${pids[$1]}" 2>/dev/null; }
ended() {  # waits for a role's end; its exit status
  local run=${pids[$1]}
  while running "$1"; do wait "$run"; done
  unset "pids[$1]"
  wait "$run"
}
fail() {  # NAME, STATUS
  echo "$1 has ended with status $2."
  [ "$code" != 0 ] || code=$2
}
stop() {  # tells roles to save and end, and waits for them
  local name status
  for name; do kill -USR1 "${pids[$name]}" 2>/dev/null; done
  for name; do
    status=0
    ended "$name" || status=$?
    case $name:$status in
      collector-* | *:0 | replay:143 | replay:138) ;;
      # 143: it has saved; 138: by SIGUSR1, which it did not know of yet.
      *:143 | *:138) resumes=yes ;;
      *) fail "$name" "$status" ;;
    esac
  done
}
stop_all() {  # the replay server last: the others need it
  local name others=()
  for name in "${!pids[@]}"; do
    [ "$name" = replay ] || others+=("$name")
  done
  stop "${others[@]}"
  if [ -n "${pids[replay]:-}" ]; then stop replay; fi
}
trap 'stopped=yes' TERM

replay=(  # written: replay
  --task=atari_pong
  --precision=32
  --root_dir="$root_dir"
  --replay_address="$address"
  --role=replay
)
learner=(  # written: learner
  --task=atari_pong
  --precision=32
  --root_dir="$root_dir"
  --replay_address="$address"
  --role=learner
)
evaluator=(  # written: evaluator
  --task=atari_pong
  --precision=32
  --root_dir="$root_dir"
  --replay_address="$address"
  --role=evaluator
)
# The replay server is where the others look for it: on this node.
start replay --gres=none --nodelist="${SLURMD_NODENAME:-$(hostname)}" -- "${replay[@]}"
start learner --gpus=1 -- "${learner[@]}"
start evaluator --gres=none -- "${evaluator[@]}"
for ((number = 0; number < SLURM_NTASKS - 3; number++)); do
  collector=(  # written: collector
    --task=atari_pong
    --precision=32
    --replay_address="$address"
    --role=collector
    --collector="$number"
  )
  start "collector-$number" --gres=none -- "${collector[@]}"
done

# Until the learner and the evaluator have ended. Collectors end with the
# learner; one that fails leaves the others alone.
while [ -z "$stopped" ] && [ "$code" = 0 ] &&
    [ -n "${pids[learner]:-}${pids[evaluator]:-}" ]; do
  sleep 1 &
  wait $!
  for name in replay learner evaluator; do
    if [ -z "$stopped" ] && [ -n "${pids[$name]:-}" ] && ! running "$name"; then
      ended "$name" || fail "$name" $?
    fi
  done
done
stop_all
if [ -n "$stopped" ] && [ -n "$resumes" ] && [ "$code" = 0 ]; then
  echo 'The run has saved, and is queued again.'
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
