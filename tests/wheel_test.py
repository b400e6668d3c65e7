"""The package as pip installs it: away from the checkout, with nothing else.

From a copy of the checkout an sdist is made, from that a wheel, and the wheel
is installed in an environment of its own. The packages that ours needs are
found there by a `.pth` file that names this environment's folder of packages.
Python does not read the `.pth` files of such a folder, so the editable install
that they hold is not found. No test goes to the network.
"""

import email
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from typing import NamedTuple
import urllib.request
import zipfile

import numpy as np
from packaging import specifiers
import pytest

pytestmark = pytest.mark.slow

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_SOURCES = ('setup.py', 'pyproject.toml', 'README.md', 'LICENSE')
_TABLES = ('dreamerv2_tfa/reports/atari_scores.csv',
           'dreamerv2_tfa/reports/atari_curves.csv',
           'dreamerv2_tfa/reports/dmc_vision.csv',
           *(f'dreamerv2_tfa/reports/web/{name}' for name in (
               'report.css', 'report.html', 'report.js',
               'uPlot.LICENSE.txt', 'uPlot.NOTE.txt', 'uPlot.iife.min.js',
               'uPlot.min.css')))
_PRESETS = sorted(path.stem for path in (_ROOT / 'gin').glob('*.gin'))
_SCRIPTS = (
    'check-env', 'evaluate', 'export', 'import', 'plot', 'report', 'serve',
    'sweep', 'train')
_SHORT = ('train.steps = 30', 'train.prefill = 24',
          'train.steps_per_update = 6', 'train.eval_every = 30')

# A task of the user's own, with what the golden `variables.pkl` was made for.
_WORLD = """
import gymnasium
import numpy as np


class World(gymnasium.Env):
  observation_space = gymnasium.spaces.Dict({
      'position': gymnasium.spaces.Box(-9, 9, (3,), np.float32),
      'speed': gymnasium.spaces.Box(-9, 9, (2,), np.float32)})
  action_space = gymnasium.spaces.Discrete(6)

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    self.left = 5
    return self._seen(), {}

  def step(self, action):
    self.left -= 1
    return self._seen(), float(action == 2), False, self.left == 0, {}

  def _seen(self):
    draw = lambda n: self.np_random.uniform(-1, 1, n).astype(np.float32)
    return {'position': draw(3), 'speed': draw(2)}
"""
# The library in one process: `train`, every preset, gin's own parser, acting.
_LIBRARY = """
import json
import pathlib
import sys

import dreamerv2_tfa
assert pathlib.Path(dreamerv2_tfa.__file__).is_relative_to(sys.prefix), (
    dreamerv2_tfa.__file__)
import gin
import gym
import numpy as np

presets, short = json.loads(sys.argv[1])
short = {name: int(value) for name, value in (
    line.split(' = ') for line in short)}
dreamerv2_tfa.train(
    gym.make('CartPole-v1'), preset=['gym', 'debug'], root_dir='pole', **short)
assert pathlib.Path('pole/policies/greedy/saved_model.pb').is_file()

from dreamerv2_tfa.training import train
dreamerv2_tfa.load_config()
dreamerv2_tfa.load_config()
pathlib.Path('far').mkdir()
pathlib.Path('far/mine.gin').write_text(
    "include 'defaults.gin'\\nRSSM.deter = 77\\n")
gin.parse_config_file('far/mine.gin')
assert gin.query_parameter('RSSM.deter') == 77
assert gin.query_parameter('MLP.units') == 400
dreamerv2_tfa.train(
    'catch', preset=['far/mine.gin', 'debug'], root_dir='mine', dry_run=True)

for preset in presets:
  gin.clear_config()
  gin.parse_config_files_and_bindings([f'{preset}.gin', 'debug.gin'], [])
  train.describe('nowhere', presets=[preset, 'debug'])
  print('built', preset)

policy = dreamerv2_tfa.load_policy('exported')
action = policy.act(np.zeros([64, 64, 1], np.uint8))
assert action.shape == () and action.dtype == np.int32
"""

# Imports every module where no package is found but those that ours requires,
# and what they require in turn: no extra.
_BARE = """
import importlib
import importlib.metadata as metadata
import pkgutil
import re
import sys

from packaging import requirements

plain = lambda name: re.sub('[-_.]+', '-', name).lower()
wanted, waiting = set(), ['dreamerv2_tfa']
while waiting:
  name = waiting.pop()
  if plain(name) in wanted:
    continue
  wanted.add(plain(name))
  try:
    lines = metadata.requires(name) or ()
  except metadata.PackageNotFoundError:
    continue
  for line in map(requirements.Requirement, lines):
    if line.marker is None or line.marker.evaluate({'extra': ''}):
      waiting.append(line.name)
absent = {
    module for module, owners in metadata.packages_distributions().items()
    if not wanted & set(map(plain, owners))}


class Absent:

  def find_spec(self, name, path=None, target=None):
    if name.partition('.')[0] in absent:
      raise ModuleNotFoundError(f'No module named {name!r}', name=name)


import dreamerv2_tfa
import gym  # imports the packages that are registered as its plugins
for name in [*sys.modules]:
  if name.partition('.')[0] in absent:
    del sys.modules[name]
sys.meta_path.insert(0, Absent())
names = [module.name for module in pkgutil.walk_packages(
    dreamerv2_tfa.__path__, 'dreamerv2_tfa.')]
for name in names:
  importlib.import_module(name)
assert {'crafter', 'dm_control', 'gymnasium', 'onnx', 'pytest'} <= absent
print(len(names), 'modules')
"""


# As `pip check`, for the requirements of this package without extras.
_REQUIREMENTS = """
import importlib.metadata as metadata

from packaging import requirements

lines = [
    requirements.Requirement(x) for x in metadata.requires('dreamerv2_tfa')]
lines = [x for x in lines if not x.marker or x.marker.evaluate({'extra': ''})]
assert len(lines) > 15, lines
unmet = [str(x) for x in lines if not x.specifier.contains(
    metadata.version(x.name), prereleases=True)]
assert not unmet, unmet
print('requirements are met')
"""


class Installed(NamedTuple):
  """The package in an environment of its own, and a folder beside it."""

  wheel: pathlib.Path
  sdist: pathlib.Path
  programs: pathlib.Path  # folder of its Python and of the console scripts
  folder: pathlib.Path  # where they run
  surroundings: dict  # environment variables


def call(*arguments, **options):
  """Runs a program, which must succeed: what it prints."""
  process = subprocess.run(
      list(map(str, arguments)), stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT, text=True, check=False, timeout=300, **options)
  assert process.returncode == 0, process.stdout[-4000:]
  return process.stdout


def run(installed, program, *arguments):
  """Runs a program of the new environment: what it prints."""
  return call(installed.programs / program, *arguments, cwd=installed.folder,
              env=installed.surroundings)


def _build(folder):
  """An sdist from a copy of the checkout, and the wheel that it gives."""
  copy, unpacked = folder / 'copy', folder / 'unpacked'
  copy.mkdir()
  for name in _SOURCES:
    shutil.copy(_ROOT / name, copy)
  for name in ('dreamerv2_tfa', 'gin'):
    shutil.copytree(_ROOT / name, copy / name,
                    ignore=shutil.ignore_patterns('__pycache__'))
  call(sys.executable, '-c', 'import sys; from setuptools import build_meta; '
       'build_meta.build_sdist(sys.argv[1])', folder, cwd=copy)
  sdist, = folder.glob('*.tar.gz')
  with tarfile.open(sdist) as archive:
    archive.extractall(unpacked, filter='data')
  source, = unpacked.iterdir()
  call(sys.executable, '-m', 'pip', 'wheel', '--no-deps',
       '--no-build-isolation', '--no-index', '--ignore-requires-python',
       '--wheel-dir', folder, source)
  wheel, = folder.glob('*.whl')
  return sdist, wheel


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
  """The package, installed."""
  built = tmp_path_factory.mktemp('built')
  sdist, wheel = _build(built)
  venv, home = built / 'venv', built / 'home'
  home.mkdir()
  call(sys.executable, '-m', 'venv', '--without-pip', venv)
  programs = venv / 'bin'
  call(sys.executable, '-m', 'pip', '--python', programs / 'python', 'install',
       '--no-deps', '--no-index', '--ignore-requires-python', wheel)
  packages = pathlib.Path(call(
      programs / 'python', '-c',
      'import sysconfig; print(sysconfig.get_path("purelib"))').strip())
  (packages / 'others.pth').write_text(sysconfig.get_path('purelib') + '\n')
  kept = {name: value for name, value in os.environ.items() if name in (
      'PATH', 'LANG', 'LC_ALL', 'LD_LIBRARY_PATH', 'OMP_NUM_THREADS',
      'TF_NUM_INTRAOP_THREADS')}
  return Installed(wheel, sdist, programs, tmp_path_factory.mktemp('away'), {
      **kept, 'HOME': str(home), 'TF_CPP_MIN_LOG_LEVEL': '3'})


@pytest.fixture(scope='module')
def exported(installed):
  """A run of a few steps in `run` and its export in `exported`."""
  said = run(
      installed, 'dreamerv2-train', '--root_dir=run',
      '--gin_file=quickstart', '--gin_file=debug',
      '--gin_bindings=Catch.balls = 1',
      *(f'--gin_bindings={line}' for line in _SHORT))
  assert 'Evaluation at 30 frames' in said
  assert (installed.folder / 'run' / 'checkpoints').is_dir()
  said = run(
      installed, 'dreamerv2-export', '--root_dir=run', '--out=exported')
  assert 'acts as the agent does, in every bit' in said
  return installed.folder / 'exported'


def test_the_wheel_holds_what_the_package_reads_and_nothing_else(installed):
  with zipfile.ZipFile(installed.wheel) as archive:
    names = archive.namelist()
  assert {f'dreamerv2_tfa/gin/{preset}.gin' for preset in _PRESETS} < set(names)
  assert set(_TABLES) < set(names)
  assert 'dreamerv2_tfa/py.typed' in names
  assert [name for name in names if name.endswith('/LICENSE')]
  modules = {
      path.relative_to(_ROOT).as_posix()
      for path in (_ROOT / 'dreamerv2_tfa').rglob('*.py')}
  assert {name for name in names if name.endswith('.py')} == modules
  tops = {name.partition('/')[0] for name in names}
  assert {re.sub('-.*info', '', top) for top in tops} == {'dreamerv2_tfa'}


def test_the_sdist_holds_the_presets_and_the_licence(installed):
  with tarfile.open(installed.sdist) as archive:
    names = {name.partition('/')[2] for name in archive.getnames()}
  assert {f'gin/{preset}.gin' for preset in _PRESETS} < names
  assert {*_SOURCES, *_TABLES} < names


def test_the_metadata_say_what_the_package_is_and_where_it_installs(installed):
  with zipfile.ZipFile(installed.wheel) as archive:
    name, = (x for x in archive.namelist() if x.endswith('/METADATA'))
    metadata = email.message_from_bytes(archive.read(name))
  assert (metadata['Name'], metadata['Version']) == ('dreamerv2_tfa', '0.1.0')
  assert metadata['Description-Content-Type'] == 'text/markdown'
  readme = (_ROOT / 'README.md').read_text(encoding='utf-8')
  assert metadata.get_payload(decode=True).decode().strip() == readme.strip()
  python = specifiers.SpecifierSet(metadata['Requires-Python'])
  assert [x for x in range(9, 15) if f'3.{x}.1' in python] == [11]
  assert 'Typing :: Typed' in metadata.get_all('Classifier')


@pytest.mark.skipif(
    sys.version_info < (3, 12) and 'TF_USE_LEGACY_KERAS' in os.environ,
    reason='the next stack on Python 3.11 is not what setup.py requires there')
def test_every_requirement_of_the_package_is_met(installed):
  said = run(installed, 'python', '-c', _REQUIREMENTS)
  assert said == 'requirements are met\n'


def test_the_console_scripts_are_those_of_bin(installed):
  found = sorted(
      path.name for path in installed.programs.glob('dreamerv2-*'))
  assert found == [f'dreamerv2-{name}' for name in _SCRIPTS]


@pytest.mark.parametrize('name', _SCRIPTS)
def test_a_console_script_lists_its_flags(name, installed):
  process = subprocess.run(
      [installed.programs / f'dreamerv2-{name}', '--help'], text=True,
      capture_output=True, cwd=installed.folder, env=installed.surroundings,
      check=False, timeout=120)
  flag = {'check-env': '--steps', 'evaluate': '--episodes',
          'export': '--out', 'import': '--from',
          'plot': '--outdir', 'report': '--out',
          'serve': '--policy', 'sweep': '--seeds', 'train': '--dry_run'}[name]
  assert flag in process.stdout
  assert (process.returncode, process.stderr) == (0, '')


def test_without_any_extra_every_module_is_imported(installed):
  said = run(installed, 'python', '-c', _BARE)
  assert int(re.search(r'(\d+) modules$', said.strip()).group(1)) > 100


def test_the_library_trains_and_every_preset_builds(installed, exported):
  presets = [name for name in _PRESETS if name != 'debug']
  said = run(installed, 'python', '-c', _LIBRARY, json.dumps([presets, _SHORT]))
  assert re.findall(r'^built (\w+)$', said, re.M) == presets
  assert not (installed.folder / 'nowhere').exists()
  assert not (installed.folder / 'mine').exists()


def test_an_export_is_served(installed, exported):
  server = subprocess.Popen(
      [installed.programs / 'dreamerv2-serve', f'--policy={exported}',
       '--port=0'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
      cwd=installed.folder, env=installed.surroundings)
  try:
    line = server.stdout.readline()
    port = re.search(r'http://127\.0\.0\.1:(\d+)/', line).group(1)

    def post(path, told):
      request = urllib.request.Request(
          f'http://127.0.0.1:{port}/v1/{path}', json.dumps(told).encode(),
          {'Content-Type': 'application/json'})
      with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)

    session = post('sessions', {'seed': 3})['session']
    image = np.zeros([64, 64, 1], int).tolist()
    answer = post(f'sessions/{session}:act', {'observation': {'image': image}})
    assert answer['action'] in (0, 1, 2)
  finally:
    server.terminate()
    server.communicate(timeout=60)


def test_a_task_is_checked(installed):
  said = run(installed, 'dreamerv2-check-env', 'catch', '--steps=20')
  assert said.endswith('No fault was found.\n')


def test_a_run_of_the_published_package_is_imported(installed):
  old = installed.folder / 'old'
  old.mkdir()
  shutil.copy(_ROOT / 'tests' / 'golden' / 'variables.pkl', old)
  (installed.folder / 'world.py').write_text(_WORLD)
  sizes = ('RSSM.deter = 8', 'RSSM.hidden = 7', 'RSSM.stoch = 3',
           'RSSM.classes = 4', 'MLP.layers = 2', 'MLP.units = 9')
  said = run(
      installed, 'dreamerv2-import', '--from=old', '--root_dir=moved',
      '--task=world:World', '--keys=position,speed',
      '--gin_file=dmc_proprio', *(f'--gin_bindings={x}' for x in sizes),
      '--gin_bindings=train.replay_capacity = 1000')
  assert 'Imported' in said
  assert (installed.folder / 'moved' / 'checkpoints').is_dir()
