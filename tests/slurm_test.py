"""The scripts of launch/ for Slurm, with programs in place of Slurm's.

`srun` runs its program here, as its child: at SIGTERM and SIGHUP it kills the
step, and it sends SIGUSR1 to all of the step's processes, as Slurm's does
(src/srun/srun_job.c). `scontrol` notes what it is asked. `bin/train` and
`bin/sweep` note their arguments, and end when the file END is there, with
status 143 at SIGTERM, or as the file named after the role says. The files
SECONDS, STATUS and STATUS-ROLE change how they end at SIGTERM.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time

import launched
import pytest

_SRUN = """#!/bin/bash
options=()
while :; do case $1 in -*) options+=("$1") && shift ;; *) break ;; esac; done
echo "${SLURM_GPUS:+everywhere }${options[*]} $(printf '%s ' "${@: -5}")" >>srun
trap 'kill -KILL -- -$!' TERM HUP
trap 'kill -USR1 -- -$!' USR1
set -m  # the step's processes are a group
"$@" &
step=$!
echo $step >>groups
while kill -0 $step 2>/dev/null; do wait $step; done
wait $step
"""
_SCONTROL = """#!/bin/sh
echo "$*" >>scontrol
"""
_PROGRAM = """#!/bin/sh
role=run
for each; do case $each in --role=*) role=${each#--role=} ;; esac; done
trap 'sleep "$(cat SECONDS)"; echo $role >>ended
  exit "$(cat "STATUS-$role" 2>/dev/null || cat STATUS)"' TERM
echo "$*" >>"calls-$role"
until [ -e "$role" ] || { [ -e END ] && [ "$role" != replay ]; }; do
  sleep 0.05
done
[ ! -e "$role" ] || exit "$(cat "$role")"
"""


@pytest.fixture
def checkout(tmp_path):
  """A folder with the scripts, and the programs of Slurm and of the package."""
  (tmp_path / 'bin').mkdir()
  shutil.copytree(launched.LAUNCH, tmp_path / 'launch')
  for name, text in {'srun': _SRUN, 'scontrol': _SCONTROL, 'train': _PROGRAM,
                     'sweep': _PROGRAM}.items():
    path = tmp_path / 'bin' / name
    path.write_text(text)
    path.chmod(0o755)
  (tmp_path / 'SECONDS').write_text('0')
  (tmp_path / 'STATUS').write_text('143')
  return tmp_path


@pytest.fixture
def submit(checkout):
  """Starts a script as Slurm would, with the variables of its own."""
  started = []

  def run(name, **variables):
    process = subprocess.Popen(
        ['bash', checkout / 'launch' / name], cwd=checkout, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True, env={
            'PATH': f'{checkout / "bin"}:{os.environ["PATH"]}',
            'SLURM_SUBMIT_DIR': str(checkout), **variables})
    started.append(process)
    return process

  yield run
  groups = [process.pid for process in started]
  for group in groups + list(map(int, lines(checkout, 'groups'))):
    with contextlib.suppress(ProcessLookupError):
      os.killpg(group, signal.SIGKILL)
  for process in started:
    process.wait()
    process.stdout.close()


def run_of(submit, checkout, collectors=2):
  """A run of all roles, once all have started."""
  process = submit('slurm.sh', SLURM_JOB_ID='31337', ROOT_DIR='runs/a b',
                   SLURM_NTASKS=str(3 + collectors), SLURM_CPUS_PER_TASK='2',
                   SLURM_GPUS='1')
  until(lambda: len(lines(checkout, 'calls-collector')) == collectors)
  until(lambda: all(lines(checkout, f'calls-{role}')
                    for role in ('replay', 'learner', 'evaluator')))
  return process


def lines(checkout, name):
  path = checkout / name
  return path.read_text().splitlines() if path.exists() else []


def until(condition):
  end = time.monotonic() + 60
  while not condition():
    assert time.monotonic() < end
    time.sleep(0.02)


def stopped(submit, checkout, role, status):
  """How a job ends whose time is over, where a role ends with a status."""
  (checkout / f'STATUS-{role}').write_text(str(status))
  process = run_of(submit, checkout)
  process.send_signal(signal.SIGTERM)
  return end(process)


def end(process):
  said, _ = process.communicate(timeout=60)
  return process.returncode, said


def test_a_job_runs_each_role_once_and_the_collectors_by_number(
    submit, checkout):
  process = run_of(submit, checkout)
  (checkout / 'END').write_text('')
  assert end(process) == (0, '')
  host = os.uname().nodename
  where = f'--replay_address={host}:21337'
  common = '--task=atari_pong --precision=32'
  for role in ('replay', 'learner', 'evaluator'):
    assert lines(checkout, f'calls-{role}') == [
        f'{common} --root_dir=runs/a b {where} --role={role}']
  assert sorted(lines(checkout, 'calls-collector')) == [
      f'{common} {where} --role=collector --collector={number}'
      for number in range(2)]
  steps = lines(checkout, 'srun')
  assert [x.split()[0] for x in steps] == ['--exact'] * 5
  (learner,) = [x for x in steps if '--gpus=1' in x.split()]
  assert '--role=learner' in learner
  assert len([x for x in steps if '--gres=none' in x.split()]) == 4
  assert f'--nodelist={host}' in ' '.join(
      x for x in steps if '--role=replay' in x)


def test_a_job_ends_with_the_learner_and_evaluator_and_stops_the_others(
    submit, checkout):
  process = run_of(submit, checkout)
  (checkout / 'learner').write_text('0')
  time.sleep(1.5)
  assert process.poll() is None
  (checkout / 'evaluator').write_text('0')
  assert end(process)[0] == 0
  assert lines(checkout, 'ended') == ['collector', 'collector', 'replay']
  assert lines(checkout, 'scontrol') == []


def test_a_job_whose_time_is_over_saves_and_is_queued_again(submit, checkout):
  process = run_of(submit, checkout)
  process.send_signal(signal.SIGTERM)
  code, said = end(process)
  assert (code, said) == (0, 'The run has saved, and is queued again.\n')
  *others, last = lines(checkout, 'ended')
  assert sorted(others) == ['collector', 'collector', 'evaluator', 'learner']
  assert last == 'replay'
  assert lines(checkout, 'scontrol') == ['requeue 31337']


@pytest.mark.parametrize('role', ['replay', 'learner', 'evaluator'])
def test_a_role_that_had_not_begun_has_nothing_to_save(
    role, submit, checkout):
  assert stopped(submit, checkout, role, 138) == (
      0, 'The run has saved, and is queued again.\n')
  assert lines(checkout, 'scontrol') == ['requeue 31337']


@pytest.mark.parametrize('role', ['replay', 'learner', 'evaluator'])
def test_a_job_says_that_it_has_saved_only_if_its_roles_have(
    role, submit, checkout):
  assert stopped(submit, checkout, role, 1) == (
      1, f'{role} has ended with status 1.\n')
  assert len(lines(checkout, 'ended')) == 5
  assert lines(checkout, 'scontrol') == []


def test_a_job_whose_run_ends_as_its_time_is_over_is_not_queued_again(
    submit, checkout):
  for role in ('learner', 'evaluator'):
    (checkout / f'STATUS-{role}').write_text('0')
  process = run_of(submit, checkout)
  process.send_signal(signal.SIGTERM)
  assert end(process) == (0, '')
  assert lines(checkout, 'scontrol') == []


def test_a_job_fails_whose_replay_server_does_not_save_at_the_end(
    submit, checkout):
  (checkout / 'STATUS-replay').write_text('1')
  process = run_of(submit, checkout, collectors=0)
  (checkout / 'END').write_text('')
  assert end(process) == (1, 'replay has ended with status 1.\n')


def test_a_second_signal_does_not_end_a_job_before_it_has_saved(
    submit, checkout):
  (checkout / 'SECONDS').write_text('1')
  process = run_of(submit, checkout, collectors=0)
  process.send_signal(signal.SIGTERM)
  until(lambda: len(lines(checkout, 'ended')) == 2)
  time.sleep(0.4)  # the replay server is saving
  process.send_signal(signal.SIGTERM)
  assert process.wait(60) == 0
  assert lines(checkout, 'ended')[2:] == ['replay']


@pytest.mark.parametrize('role', ['replay', 'learner', 'evaluator'])
def test_a_job_fails_with_a_role_that_it_needs(role, submit, checkout):
  process = run_of(submit, checkout)
  (checkout / role).write_text('3')
  code, said = end(process)
  assert (code, said) == (3, f'{role} has ended with status 3.\n')
  assert len(lines(checkout, 'ended')) == 4
  assert lines(checkout, 'scontrol') == []


def test_a_collector_that_fails_leaves_the_others_alone(submit, checkout):
  process = run_of(submit, checkout)
  (checkout / 'collector').write_text('1')
  time.sleep(1.5)
  assert process.poll() is None
  (checkout / 'END').write_text('')
  assert end(process) == (0, '')


def task_of(submit, checkout):
  process = submit('slurm_sweep.sh', SLURM_ARRAY_JOB_ID='12',
                   SLURM_ARRAY_TASK_ID='7', SWEEP_DIR='runs/a b')
  until(lambda: lines(checkout, 'calls-run'))
  return process


@pytest.mark.parametrize('code', [0, 1])
def test_a_task_of_an_array_runs_its_line_and_ends_as_it_does(
    code, submit, checkout):
  process = task_of(submit, checkout)
  assert lines(checkout, 'calls-run') == ['--sweep_dir=runs/a b --index=7']
  (checkout / 'run').write_text(str(code))
  assert end(process) == (code, '')
  assert lines(checkout, 'scontrol') == []


def test_a_task_whose_time_is_over_saves_and_is_queued_again(submit, checkout):
  process = task_of(submit, checkout)
  process.send_signal(signal.SIGTERM)
  assert end(process) == (143, 'The run has saved, and is queued again.\n')
  assert lines(checkout, 'ended') == ['run']
  assert lines(checkout, 'scontrol') == ['requeue 12_7']


@pytest.mark.parametrize('code', [0, 1])
def test_a_task_that_ends_as_its_time_is_over_is_not_queued_again(
    code, submit, checkout):
  (checkout / 'STATUS').write_text(str(code))
  process = task_of(submit, checkout)
  process.send_signal(signal.SIGTERM)
  assert end(process) == (code, '')
  assert lines(checkout, 'scontrol') == []
