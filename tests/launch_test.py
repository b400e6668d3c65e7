"""The files of launch/ are those that are written, and hold together.

What a schema cannot say is looked up in the files. Compose, Kubernetes and
Slurm themselves run in no test; slurm_test runs the scripts without Slurm.
"""

import shutil
import signal
import subprocess
import sys

import jsonschema
import kubernetes_validate
import launched
import pytest

from dreamerv2_tfa.distributed import invocation

_COMMON = ['--task=atari_pong', '--precision=32']
_SWEEP = 'kubernetes_sweep.yaml'
_ENDED = 128 + signal.SIGTERM  # exit status of a run that was told to end


def arguments(role, **options):
  root_dir = None if role == 'collector' else '/runs/pong'
  return invocation.arguments(
      role, 'replay:8008', root_dir, _COMMON, **options)


def schema_of_compose(path):
  """Exit status and output of the check by the Compose specification."""
  process = subprocess.run(
      [sys.executable, '-m', 'check_jsonschema', '--builtin-schema',
       'vendor.compose-spec', path], capture_output=True, text=True,
      check=False)
  return process.returncode, process.stdout


# What is written --------------------------------------------------------------


def test_the_files_are_those_that_are_written(tmp_path):
  subprocess.run(
      [sys.executable, launched.LAUNCH / 'write.py', f'--out={tmp_path}'],
      check=True, env={'PYTHONPATH': str(launched.ROOT)})
  files = {path.name for path in launched.LAUNCH.glob('*.*')} - {'write.py'}
  assert {path.name for path in tmp_path.iterdir()} == files
  for name in files:
    assert (tmp_path / name).read_text() == (
        launched.LAUNCH / name).read_text(), 'run bin/python launch/write.py'


@pytest.mark.parametrize('role', launched.ROLES)
def test_each_role_has_the_arguments_of_all_launchers(role):
  number = {'collector': 7} if role == 'collector' else {}
  assert launched.compose_arguments(role) == arguments(role)
  assert launched.kubernetes_arguments(role, 7) == arguments(role, **number)
  assert set(launched.services()) == set(launched.pods()) == set(
      launched.ROLES)


def test_a_run_of_ones_own_is_written_literally(tmp_path, monkeypatch):
  write = launched.writer()
  odd = '--gin_bindings=A.b = "$(date) $HOME $$ é"'
  write.write(tmp_path, "/runs/it's $(a)", ['catch', odd], 'r.io/a:1', 16)
  monkeypatch.setattr(launched, 'LAUNCH', tmp_path)
  for found in (launched.compose_arguments('learner'),
                launched.kubernetes_arguments('learner')):
    assert found[:3] == ['catch', odd, "--root_dir=/runs/it's $(a)"]
  assert launched.services()['collector']['deploy']['replicas'] == 16
  job = launched.objects()['Job', 'collector']['spec']
  assert job['completions'] == job['parallelism'] == 16
  said = subprocess.run(
      ['bash', '-c', 'root_dir=here; address=there\n'
       + (tmp_path / 'slurm.sh').read_text().split('learner=(')[1].join(
           ['learner=(', '']).split('\n)')[0]
       + '\n)\nprintf "%s\\n" "${learner[@]}"'],
      capture_output=True, text=True, check=True).stdout
  assert said.splitlines() == ['catch', odd, *invocation.arguments(
      'learner', 'there', 'here')]
  assert odd not in (launched.ROOT / 'launch' / 'slurm.sh').read_text()


def test_slurm_has_the_folder_and_the_tasks_of_a_run_of_ones_own(tmp_path):
  folder = "/shared/it's $(a) }"
  launched.writer().write(tmp_path, folder, ['catch'], 'image', 16)
  text = (tmp_path / 'slurm.sh').read_text()
  assert '\n#SBATCH --ntasks=19  # written: ntasks\n' in text
  (line,) = [x for x in text.splitlines() if x.startswith('root_dir=')]
  for given, wanted in (('', folder), ('runs/other', 'runs/other')):
    assert subprocess.run(
        ['bash', '-c', f'{line}\nprintf %s "$root_dir"'], check=True,
        capture_output=True, text=True, env={'ROOT_DIR': given},
    ).stdout == wanted


@pytest.mark.parametrize('given, said', [
    (['--collectors=0'], '--collectors must be a whole number of 1 or more'),
    (['--steps=1e6', '--root_dir=/runs/mine'],
     'Got --steps=1e6 without a task. Name it too, such as atari_pong.'),
    (['crafter_reward', '--precision', '16'],
     'Got crafter_reward --precision 16 without --root_dir.'),
])
def test_arguments_that_are_no_whole_run_are_refused(tmp_path, given, said):
  process = subprocess.run(
      [sys.executable, launched.LAUNCH / 'write.py', f'--out={tmp_path}',
       *given], capture_output=True, text=True, check=False,
      env={'PYTHONPATH': str(launched.ROOT)})
  assert process.returncode == 2
  assert said in process.stderr
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    'given', [['--task=x'], ['--task', 'x'], ['--seed=1', 'dmc_cheetah_run']])
def test_a_task_is_a_flag_or_a_word(given):
  launched.writer().check(given, 'runs/mine')


# Compose ----------------------------------------------------------------------


def test_compose_fits_its_specification_and_a_planted_fault_does_not(tmp_path):
  path = launched.LAUNCH / 'compose.yaml'
  code, said = schema_of_compose(path)
  assert code == 0, said
  planted = tmp_path / 'compose.yaml'
  planted.write_text(path.read_text().replace('replicas:', 'replica:'))
  code, said = schema_of_compose(planted)
  assert code == 1 and 'replica' in said


def test_compose_publishes_nothing_and_lets_every_service_save_and_resume():
  (document,) = launched.read('compose.yaml')
  assert document['networks'] == {'run': {'internal': True}}
  for name, service in document['services'].items():
    assert service['networks'] == ['run'], name
    assert 'ports' not in service and 'network_mode' not in service, name
    assert service['restart'].startswith('on-failure'), name
    assert service['stop_grace_period'].endswith('m'), name
    if name != 'collector':
      assert service['volumes'] == ['runs:/runs'], name
    if name != 'replay':
      assert service['depends_on'] == {
          'replay': {'condition': 'service_healthy'}}


# Kubernetes -------------------------------------------------------------------


@pytest.mark.parametrize('name', ['kubernetes.yaml', _SWEEP])
@pytest.mark.parametrize('version', ['1.33', '1.37'])
def test_kubernetes_knows_every_field(name, version):
  for each in launched.read(name):
    kubernetes_validate.validate(each, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_found():
  service = launched.objects()['Service', 'replay']
  service['spec']['clusterIp'] = 'None'
  with pytest.raises(jsonschema.ValidationError, match='clusterIp'):
    kubernetes_validate.validate(service, '1.33', strict=True)


def test_only_the_pods_of_the_run_reach_the_replay_server():
  policy = launched.objects()['NetworkPolicy', 'replay']['spec']
  labels = {role: pod['metadata']['labels']
            for role, pod in launched.pods().items()}
  assert policy['podSelector']['matchLabels'] == labels['replay']
  assert policy['policyTypes'] == ['Ingress']
  (rule,) = policy['ingress']
  (peer,) = rule['from']
  assert set(peer) == {'podSelector'}  # of this namespace
  (roles,) = peer['podSelector']['matchExpressions']
  assert roles['values'] == ['learner', 'collector', 'evaluator']
  for role in roles['values']:
    assert labels[role] == {**peer['podSelector']['matchLabels'], 'role': role}
  assert rule['ports'] == [{'protocol': 'TCP', 'port': 8008}]


def test_the_service_gives_the_replay_server_its_name():
  found = launched.objects()
  service, server = (
      found[kind, 'replay']['spec'] for kind in ('Service', 'StatefulSet'))
  labels = server['template']['metadata']['labels']
  assert service['clusterIP'] == 'None'
  assert server['serviceName'] == 'replay'
  assert service['selector'] == server['selector']['matchLabels'] == labels
  (container,) = server['template']['spec']['containers']
  (port,) = container['ports']
  assert port['containerPort'] == service['ports'][0]['port'] == 8008
  for probe in ('startupProbe', 'readinessProbe', 'livenessProbe'):
    assert container[probe]['tcpSocket'] == {'port': port['name']}


@pytest.mark.parametrize('role', ['learner', 'evaluator', 'collector', 'sweep'])
def test_a_job_that_saved_at_a_signal_is_started_again(role):
  name = _SWEEP if role == 'sweep' else 'kubernetes.yaml'
  job = launched.objects(name)['Job', role]['spec']
  assert job['template']['spec']['restartPolicy'] == 'Never'
  ignored = [rule for rule in job['podFailurePolicy']['rules']
             if rule['action'] == 'Ignore']
  assert any(_ENDED in rule.get('onExitCodes', {}).get('values', ())
             for rule in ignored)
  assert any(rule.get('onPodConditions', [{}])[0].get(
      'type') == 'DisruptionTarget' for rule in ignored)
  assert job.get('backoffLimit', 0) + job.get('backoffLimitPerIndex', 0) > 0
  assert ('backoffLimitPerIndex' in job) == (
      job.get('completionMode') == 'Indexed')


def test_every_pod_is_confined_and_has_the_volumes_that_it_needs():
  sweep = launched.objects(_SWEEP)['Job', 'sweep']['spec']['template']
  for role, pod in {**launched.pods(), 'sweep': sweep}.items():
    spec = pod['spec']
    (container,) = spec['containers']
    assert spec['securityContext']['runAsNonRoot'], role
    assert spec['automountServiceAccountToken'] is False, role
    assert container['securityContext'] == {
        'allowPrivilegeEscalation': False, 'readOnlyRootFilesystem': True,
        'capabilities': {'drop': ['ALL']}}, role
    assert spec['terminationGracePeriodSeconds'] >= 30, role
    mounts = {each['name']: each['mountPath']
              for each in container['volumeMounts']}
    assert mounts == {
        'temporary': '/tmp', **({} if role == 'collector' else {
            'runs': '/runs'})}, role
    assert {volume['name'] for volume in spec['volumes']} == set(mounts), role
    assert {'cpu', 'memory'} <= set(container['resources']['requests']), role


def test_a_sweep_runs_the_line_of_its_index():
  job = launched.objects(_SWEEP)['Job', 'sweep']['spec']
  (container,) = job['template']['spec']['containers']
  assert container['command'] == ['/opt/dreamerv2_tfa/bin/sweep']
  assert container['args'] == [
      '--sweep_dir=/runs/sweep', '--index=$(JOB_COMPLETION_INDEX)']
  assert job['completionMode'] == 'Indexed'


# Slurm ------------------------------------------------------------------------


@pytest.mark.parametrize('name', ['slurm.sh', 'slurm_sweep.sh'])
def test_a_script_of_slurm_is_bash_and_asks_for_a_signal_and_a_requeue(name):
  bash = shutil.which('bash')
  subprocess.run([bash, '-n', launched.LAUNCH / name], check=True)
  lines = (launched.LAUNCH / name).read_text().splitlines()
  assert lines[0] == '#!/bin/bash'
  options = [line.split()[1] for line in lines if line.startswith('#SBATCH ')]
  assert any(option.startswith('--signal=B:TERM@') for option in options)
  assert '--requeue' in options and '--open-mode=append' in options
