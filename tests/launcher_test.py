"""`bin/python` sets up the environment; requirements.lock and setup.py agree.

No test goes to the network: the launcher runs in a small tree of its own with
fake Pythons, shell scripts that note how they are called.
"""

import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent

# As python3.11, `-m venv DIR` makes DIR/bin/python, a copy of this script. As
# that copy, `-m pip` passes or fails, and anything else tells its arguments and
# which Keras it was told to take. It passes for a Python 3.MINOR.
FAKE_PYTHON = r"""#!/bin/sh
echo "$*" >>"$CALLS"
case "$*" in
  *'-m venv '*)
    for venv; do :; done
    mkdir -p "$venv/bin" && cp "$0" "$venv/bin/python" ;;
  *'-m pip '*)
    case "$*" in *require-hashes*) cat >>"$CALLS" ;; esac
    sleep "${PIP_TAKES:-0}"; echo "pip says"; exit "${PIP_RC:-0}" ;;
  *'version_info[1] == MINOR'*) ;;
  *version_info*) exit 1 ;;
  '-I -c '*) ;;
  onednn) echo "$TF_ENABLE_ONEDNN_OPTS" ;;
  *) printf 'ran [%s]\n' "$@" ${TF_USE_LEGACY_KERAS:+Keras 2} ;;
esac
"""
# A Python 3.MINOR as Debian ships it: its module venv is another package.
NO_VENV = r"""#!/bin/sh
case $3 in *venv*) exit 1 ;; *'== MINOR') ;; *) exit 1 ;; esac
"""
TOOLS = ('cat', 'cp', 'date', 'flock', 'mkdir', 'readlink', 'rm', 'sed', 'sh',
         'sha256sum', 'sleep', 'tail')


class Tree:
  """A checkout with just what the launcher reads, and a PATH of its own."""

  def __init__(self, folder):
    self.root = folder / 'a checkout'
    self.tools = folder / 'tools'
    self.calls = folder / 'calls'
    (self.root / 'bin').mkdir(parents=True)
    self.tools.mkdir()
    shutil.copy(ROOT / 'bin' / 'python', self.root / 'bin' / 'python')
    pins = {'requirements': 'default', 'requirements-next': 'next'}
    for name, pin in pins.items():
      (self.root / f'{name}.lock').write_text(
          f'# build: a\n# core: b\n{pin}-pin\n# environments: c\n# gpu: d\n'
      )
    (self.root / 'setup.py').write_text('')
    for tool in TOOLS:
      (self.tools / tool).symlink_to(shutil.which(tool))

  def add_python(self, name='python3.11', script=FAKE_PYTHON, minor=11):
    path = self.tools / name
    path.write_text(script.replace('MINOR', str(minor)))
    path.chmod(0o755)

  def start(self, *arguments, program=None, cwd=None, **variables):
    return subprocess.Popen(
        [program or self.root / 'bin' / 'python', *arguments],
        cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={'PATH': str(self.tools), 'CALLS': str(self.calls),
             'DREAMERV2_TFA_GPU': '0', **variables})

  def run(self, *arguments, **options):
    process = self.start(*arguments, **options)
    output, errors = process.communicate(timeout=30)
    return process.returncode, output, errors

  def installed(self):
    """Which locks' pins were installed, in order."""
    return re.findall('(.*)-pin', self.calls.read_text())

  def setups(self):
    return self.calls.read_text().count('-m venv')


@pytest.fixture
def tree(tmp_path):
  return Tree(tmp_path)


def test_first_start_sets_up_and_then_runs_the_arguments(tree):
  tree.add_python()
  code, output, errors = tree.run('-m', 'a module', '')
  assert (code, output) == (0, 'ran [-m]\nran [a module]\nran []\n')
  assert re.fullmatch(r'Setting up \.venv .*\n\.\.\. done in \d+ s\n', errors)


def test_programs_of_the_package_import_nothing_from_the_working_directory(
    tree):
  tree.add_python()
  for name in ('commands.train', 'reports.scores'):
    module = f'dreamerv2_tfa.{name}'
    _, output, _ = tree.run('-m', module, '--flag')
    assert output == f'ran [-P]\nran [-m]\nran [{module}]\nran [--flag]\n'
  assert tree.run('-m', 'pytest')[1] == 'ran [-m]\nran [pytest]\n'


def test_nothing_is_imported_from_the_working_directory_at_set_up(tree):
  tree.add_python()
  tree.run('one')
  made = [line for line in tree.calls.read_text().splitlines() if ' -' in line]
  assert made and all(line.startswith('-I ') for line in made)


def test_environment_that_is_up_to_date_is_not_made_again(tree):
  tree.add_python()
  tree.run('one')
  assert tree.run('two') == (0, 'ran [two]\n', '')
  assert tree.setups() == 1


def test_onednn_is_on_where_nobody_has_said_otherwise(tree):
  tree.add_python()
  assert tree.run('onednn')[1] == '1\n'
  assert tree.run('onednn', TF_ENABLE_ONEDNN_OPTS='0')[1] == '0\n'


@pytest.mark.parametrize(
    'pins', ['requirements.lock', 'requirements-next.lock', 'setup.py']
)
def test_changed_pins_make_the_environment_again(tree, pins):
  tree.add_python()
  tree.run('one')
  with open(tree.root / pins, 'a') as file:
    file.write('# another version\n')
  tree.run('two')
  assert tree.setups() == 2


def test_moved_checkout_makes_the_environment_again(tree):
  tree.add_python()
  tree.run('one')
  tree.root = tree.root.rename(tree.root.parent / 'elsewhere')
  tree.run('two')
  assert tree.setups() == 2


def test_failed_setup_shows_the_end_of_its_log_and_is_tried_again(tree):
  tree.add_python()
  code, output, errors = tree.run('one', PIP_RC='3')
  assert (code, output) == (1, '')
  assert 'set-up failed' in errors and 'pip says' in errors
  assert tree.run('two')[:2] == (0, 'ran [two]\n')
  assert tree.setups() == 2


def test_two_starts_at_once_set_up_once(tree):
  tree.add_python()
  starts = [tree.start(name, PIP_TAKES='0.3') for name in ('one', 'two')]
  outputs = [start.communicate(timeout=30)[0] for start in starts]
  assert outputs == ['ran [one]\n', 'ran [two]\n']
  assert tree.setups() == 1


def test_start_killed_in_its_setup_is_redone_by_the_next(tree):
  tree.add_python()
  killed = tree.start('one', PIP_TAKES='0.5')
  while not (tree.calls.exists() and '-m pip' in tree.calls.read_text()):
    assert killed.poll() is None
    time.sleep(0.01)
  killed.kill()
  killed.communicate(timeout=30)
  assert tree.run('two')[:2] == (0, 'ran [two]\n')
  assert tree.setups() == 2


def test_start_through_a_link_from_another_folder_finds_the_checkout(tree):
  tree.add_python()
  link = tree.tools / 'link'
  link.symlink_to(tree.root / 'bin' / 'python')
  code, output, _ = tree.run('one', program=link, cwd=tree.tools)
  assert (code, output) == (0, 'ran [one]\n')
  assert (tree.root / '.venv').is_dir()


def test_cuda_libraries_are_installed_only_for_a_gpu(tree):
  tree.add_python()
  tree.run('one')
  without = tree.calls.read_text().count('--require-hashes')
  tree.run('two', DREAMERV2_TFA_GPU='1')
  both = tree.calls.read_text().count('--require-hashes')
  assert (without, both - without) == (2, 3)


# Versions of Python ----------------------------------------------------------


@pytest.mark.parametrize('minors, taken, lock', [
    ((11,), 11, 'default'), ((12,), 12, 'next'), ((13,), 13, 'next'),
    ((11, 12, 13), 11, 'default'), ((12, 13), 12, 'next'),
])
@pytest.mark.parametrize('named', [True, False], ids=['python3.N', 'python3'])
def test_lock_is_that_of_the_oldest_python(tree, minors, taken, lock, named):
  for minor in minors:
    name = 'python3' if (minor == taken and not named) else f'python3.{minor}'
    tree.add_python(name, minor=minor)
  code, output, _ = tree.run('one')
  keras = {'default': '', 'next': 'ran [Keras]\nran [2]\n'}[lock]
  assert (code, output) == (0, f'ran [one]\n{keras}')
  assert tree.installed() == [lock]
  made_by = (tree.root / '.venv' / 'bin' / 'python').read_text()
  assert f'== {taken}' in made_by
  # A start that sets nothing up tells of the same Keras.
  assert tree.run('two')[1] == f'ran [two]\n{keras}'


def test_python_without_venv_is_left_for_a_newer_one_that_has_it(tree):
  tree.add_python(script=NO_VENV)
  tree.add_python('python3.13', minor=13)
  assert tree.run('one')[0] == 0
  assert tree.installed() == ['next']


@pytest.mark.parametrize('script', [None, '#!/bin/sh\nexit 1\n'],
                         ids=['none at all', 'another version'])
def test_missing_python_is_one_message_with_its_remedy(tree, script):
  if script:
    tree.add_python('python3', script)
  code, _, errors = tree.run('one')
  assert code == 1
  assert errors == (
      'bin/python: No Python 3.11, 3.12 or 3.13 on PATH. Install it: apt '
      'install python3.11 python3.11-venv (or the same of 3.12 or 3.13)\n')
  assert not (tree.root / '.venv').exists()


@pytest.mark.parametrize('minor', [11, 12, 13])
def test_missing_venv_module_is_one_message_with_its_remedy(tree, minor):
  tree.add_python('python3', NO_VENV, minor)
  code, _, errors = tree.run('one')
  assert code == 1
  assert errors == (
      f'bin/python: Python 3.{minor} is here without its modules venv and '
      'ensurepip. Install it: apt install '
      f'python3.{minor} python3.{minor}-venv\n')


# The second stack ------------------------------------------------------------


def test_next_stack_has_an_environment_of_its_own(tree):
  tree.add_python()
  tree.run('one')
  code, output, errors = tree.run('a', '--stack=next', 'b')
  assert (code, output) == (0, 'ran [a]\nran [b]\nran [Keras]\nran [2]\n')
  assert 'Setting up .venv-next ' in errors
  assert tree.installed() == ['default', 'next']
  assert tree.run('two') == (0, 'ran [two]\n', '')
  assert tree.run('--stack=default', 'two') == (0, 'ran [two]\n', '')


def test_bin_test_hands_the_stack_on(tree):
  shutil.copy(ROOT / 'bin' / 'test', tree.root / 'bin' / 'test')
  for tool in ('dirname', 'nproc'):
    (tree.tools / tool).symlink_to(shutil.which(tool))
  tree.add_python()
  code, output, _ = tree.run(
      '--stack=next', '--quick', program=tree.root / 'bin' / 'test'
  )
  assert code == 0 and tree.installed() == ['next']
  assert 'ran [not slow]' in output and 'stack' not in output


def _run_bin_test(tree, *arguments, **variables):
  """Runs bin/test: exit status, and what pytest was called with, in order."""
  shutil.copy(ROOT / 'bin' / 'test', tree.root / 'bin' / 'test')
  for tool in ('dirname', 'nproc'):
    (tree.tools / tool).symlink_to(shutil.which(tool))
  code, _, _ = tree.run(
      *arguments, program=tree.root / 'bin' / 'test', **variables)
  return code, re.findall('^-m pytest.*', tree.calls.read_text(), re.MULTILINE)


def test_bin_test_without_arguments_runs_all_and_then_the_quick_of_next(tree):
  tree.add_python()
  code, (default, following) = _run_bin_test(tree)
  assert code == 0
  assert following == f'{default} -m not slow'
  assert tree.installed() == ['default', 'next']


def test_bin_test_fails_where_the_first_stack_fails(tree):
  tree.add_python(script=FAKE_PYTHON.replace(
      'onednn)', "'-m pytest'*'not slow') ;;\n"
      "  '-m pytest'*) exit 3 ;;\n  onednn)"))
  code, calls = _run_bin_test(tree)
  assert (code, len(calls)) == (3, 2)


def test_bin_test_fails_where_the_next_stack_fails(tree):
  tree.add_python(script=FAKE_PYTHON.replace(
      'onednn)', "'-m pytest'*'not slow') exit 4 ;;\n  onednn)"))
  code, calls = _run_bin_test(tree)
  assert (code, len(calls)) == (4, 2)


def test_bin_test_without_python_311_runs_all_on_the_next_stack_alone(tree):
  tree.add_python('python3.12', minor=12)
  code, (call,) = _run_bin_test(tree)
  assert code == 0
  assert 'not slow' not in call
  assert tree.installed() == ['next']


@pytest.mark.parametrize('argument', ['--quick', 'tests/losses_test.py', '-x'])
def test_bin_test_with_arguments_runs_one_stack(tree, argument):
  tree.add_python()
  code, calls = _run_bin_test(tree, argument)
  assert (code, len(calls)) == (0, 1)
  assert tree.installed() == ['default']


def test_the_package_is_installed_on_any_python_of_the_locks(tree):
  tree.add_python('python3.12', minor=12)
  tree.run('one')
  calls = tree.calls.read_text().splitlines()
  call, = (line for line in calls if f'-e {tree.root}' in line)
  assert '--ignore-requires-python' in call and '--no-deps' in call


def test_unknown_stack_is_one_message(tree):
  tree.add_python()
  assert tree.run('--stack=newest') == (
      1, '', 'bin/python: there is no --stack=newest; wanted --stack=default '
      'or next.\n')


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write anywhere')
def test_checkout_that_cannot_be_written_is_one_message(tree):
  tree.add_python()
  tree.root.chmod(0o555)
  code, _, errors = tree.run('one')
  tree.root.chmod(0o755)
  assert code == 1 and errors.count('\n') == 1 and 'cannot write' in errors


def _canonical(name):
  return re.sub(r'[-_.]+', '-', name).lower()


def _locked(lock='requirements.lock'):
  """Package -> (version, hashes) of every entry of a lock."""
  lines = (ROOT / lock).read_text().replace('\\\n', ' ')
  entries = [line.split() for line in lines.splitlines()
             if line.strip() and not line.startswith('#')]
  packages = {}
  for entry in entries:
    name, version = entry[0].rstrip(';').split('==')
    hashes = [word for word in entry[1:] if word.startswith('--')]
    packages[_canonical(name)] = version, hashes
  return packages


def _pins(*names):
  """Package -> version of the named lists and extras of setup.py."""
  source = (ROOT / 'setup.py').read_text()
  pins = {}
  for name in names:
    block = re.search(
        rf"\b{name}'?[:=\s]+\[(.*?)\]", source, re.DOTALL
    ).group(1)
    for package, version in re.findall(r"'([\w-]+)==([\w.]+)'", block):
      pins[_canonical(package)] = version
  return pins


LOCKS = {
    'requirements.lock': ('DEFAULT', 'ONNX', 'ONNX_DEFAULT'),
    'requirements-next.lock': ('NEXT', 'ONNX', 'ONNX_NEXT'),
}


@pytest.mark.parametrize('lock', LOCKS)
def test_lock_has_the_same_version_of_every_pin(lock):
  pins = _pins(
      'BOTH', *LOCKS[lock], 'dev', 'reports', 'crafter', 'dmc', 'gymnasium',
      'minigrid'
  )
  locked = _locked(lock)
  assert len(pins) > 20
  assert pins == {name: locked.get(name, (None,))[0] for name in pins}


def test_next_lock_has_the_keras_of_its_tensorflow():
  locked = _locked('requirements-next.lock')
  minors = {locked[name][0].rpartition('.')[0]
            for name in ('tensorflow', 'tf-keras', 'tensorboard')}
  assert len(minors) == 1


@pytest.mark.parametrize('lock', LOCKS)
def test_every_entry_of_the_lock_has_a_hash(lock):
  for name, (_, hashes) in _locked(lock).items():
    assert hashes, name
    for item in hashes:
      assert re.fullmatch(r'--hash=sha256:[0-9a-f]{64}', item), name


@pytest.mark.parametrize('lock', LOCKS)
def test_cuda_libraries_stand_in_the_gpu_section_alone(lock):
  text = (ROOT / lock).read_text()
  headings = re.findall(r'^# (\w+):', text, re.MULTILINE)
  assert headings == ['build', 'core', 'environments', 'gpu']
  core, gpu = text.split('\n# gpu')
  assert 'nvidia-' not in core
  assert all(line.startswith('nvidia-')
             for line in gpu.splitlines() if '==' in line)
