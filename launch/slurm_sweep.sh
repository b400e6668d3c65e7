#!/bin/bash
# A sweep on Slurm: a task of the array a line of its list; docs/launching.md.
#
#   sbatch --array=0-11%4 --export=ALL,SWEEP_DIR=runs/sweep launch/slurm_sweep.sh
#SBATCH --job-name=sweep
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --gpus=1
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@300     # seconds before its end in which it saves
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=sweep-%A_%a.log
set -u
cd "${SLURM_SUBMIT_DIR:-.}" || exit 1

stopped=''
trap 'stopped=yes; kill -TERM "$!"' TERM
bin/sweep --sweep_dir="${SWEEP_DIR:-runs/sweep}" \
  --index="$SLURM_ARRAY_TASK_ID" &
run=$!
while kill -0 "$run" 2>/dev/null; do wait "$run"; done
code=0
wait "$run" || code=$?
if [ -n "$stopped" ] && [ "$code" = 143 ]; then  # at SIGTERM, after its save
  echo 'The run has saved, and is queued again.'
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
fi
exit "$code"
