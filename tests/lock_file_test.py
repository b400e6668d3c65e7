"""bin/lock sorts what uv resolved into the lock files. No test uses a network.

`resolve` is replaced by a recorded answer of uv; the packages in it are made
up.
"""

import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent


def _load():
  spec = importlib.util.spec_from_file_location(
      'lock_files', ROOT / '.ci' / 'lock_files.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


lock_files = _load()
DEFAULT, NEXT = lock_files.STACKS

SETUP = {
    '': ['plain==1', "old==2; python_version < '3.12'",
         "New_er==3; python_version >= '3.12'"],
    'dev': ['tool[all]==4'], 'onnx': [], 'reports': [], 'mlflow': [],
    'reverb': [], 'wandb': [],
    'environments': ['suite==5'],
    'gpu': ["plain[cuda]==1; python_version < '3.12'",
            "plain[cuda]==1; python_version >= '3.12'"],
}


def package(name, version, *digests, sdist=None):
  entry = {'name': name, 'version': version}
  if digests:
    entry['wheels'] = [{'hashes': {'sha256': digest}} for digest in digests]
  if sdist:
    entry['sdist'] = {'hashes': {'sha256': sdist}}
  return entry


# Name -> entry, or Python -> entry.
FILES = {
    'setuptools': package('setuptools', '75', 'f0'),
    'wheel': package('wheel', '0.4', 'f1'),
    'plain': package('plain', '1', 'a1', sdist='a2'),
    'old': package('old', '2', sdist='b1'),
    'New_er': {
        '3.11': package('New_er', '3', 'c1'),
        '3.12': package('New_er', '3', 'c2'),
        '3.13': package('New_er', '3', 'c3')},
    'tool': package('tool', '4', 'd1'),
    'suite': {
        '3.11': package('suite', '5', 'e1', 'e0'),
        '3.12': package('suite', '5', 'e2', 'e0')},
    'cuda': package('cuda', '6', 'g1'),
}


@pytest.fixture
def resolver(monkeypatch):
  """Replaces uv: what `resolve` was asked, in order."""
  asked = []

  def resolve(pins, preferred, overrides, python, options):
    asked.append((pins, dict(preferred), overrides, python, options))
    names = {pin.partition('=')[0].partition('[')[0] for pin in pins}
    names |= {'cuda'} if 'plain[cuda]==1' in pins else set()
    found = []
    for name in sorted(names, reverse=True):
      entry = FILES[name]
      entry = entry if 'name' in entry else entry.get(python)
      found += [entry] if entry else []
    return found

  monkeypatch.setattr(lock_files, 'resolve', resolve)
  monkeypatch.setattr(lock_files, 'read_setup', lambda path: SETUP)
  return asked


def test_a_stack_takes_the_pins_of_its_marker_alone():
  assert lock_files.requirements(SETUP, DEFAULT, ('dev', 'gpu')) == [
      'plain==1', 'old==2', 'tool[all]==4', 'plain[cuda]==1', 'setuptools',
      'wheel']
  assert lock_files.requirements(SETUP, NEXT, ()) == [
      'plain==1', 'New_er==3', 'setuptools', 'wheel']


def test_packages_are_sorted_under_four_headings(resolver):
  text = lock_files.lock(DEFAULT, '', [])
  assert text == DEFAULT.header + """
# build: what the other packages, and this one, are built with
setuptools==75 \\
    --hash=sha256:f0
wheel==0.4 \\
    --hash=sha256:f1

# core: everything needed to train and to test
old==2 \\
    --hash=sha256:b1
plain==1 \\
    --hash=sha256:a1
tool==4 \\
    --hash=sha256:d1

# environments: what the suites beside Atari need
suite==5 \\
    --hash=sha256:e1 \\
    --hash=sha256:e0

# gpu: what tensorflow[and-cuda] adds, where there is an NVIDIA driver
cuda==6 \\
    --hash=sha256:g1
"""


def test_hashes_of_every_python_are_joined_and_a_missing_one_is_marked(
    resolver):
  text = lock_files.lock(NEXT, '', [])
  assert """
new-er==3 \\
    --hash=sha256:c1 \\
    --hash=sha256:c2 \\
    --hash=sha256:c3
""" in text
  assert """
suite==5; python_version < '3.13' \\
    --hash=sha256:e1 \\
    --hash=sha256:e0 \\
    --hash=sha256:e2
""" in text


def test_an_sdist_is_locked_only_where_no_wheel_fits():
  assert lock_files.fitting_hashes(FILES['plain']) == ['a1']
  assert lock_files.fitting_hashes(FILES['old']) == ['b1']


def test_locked_versions_are_preferred_and_a_second_run_changes_nothing(
    resolver):
  first = lock_files.lock(NEXT, '', [])
  assert resolver[0][1] == {}
  assert resolver[1][1]['suite'] == '5'  # Python 3.12 follows 3.11
  resolver.clear()
  assert lock_files.lock(NEXT, first, []) == first
  assert resolver[0][1] == {
      'setuptools': '75', 'wheel': '0.4', 'plain': '1', 'new-er': '3',
      'tool': '4', 'suite': '5', 'cuda': '6'}


def test_two_pythons_with_two_versions_are_refused():
  with pytest.raises(ValueError, match='3.12 takes a 2, Python 3.11 takes 1'):
    lock_files.merge({'3.11': [package('a', '1', 'x')],
                      '3.12': [package('a', '2', 'y')]})


@pytest.mark.parametrize('wanted, marker', [
    (('3.11', '3.12', '3.13'), ''),
    (('3.11',), "; python_version < '3.12'"),
    (('3.12', '3.13'), "; python_version >= '3.12'"),
    (('3.12',), "; python_version == '3.12'"),
])
def test_a_package_of_some_pythons_has_a_marker(wanted, marker):
  assert lock_files.marker(NEXT.pythons, wanted) == marker


def test_indexes_are_those_of_pip_and_its_main_one_comes_first():
  assert lock_files.index_options('') == ['--index=https://pypi.org/simple']
  assert lock_files.index_options(
      ":env:.find-links='/wheels'\n:env:.timeout='9'\n"
      "global.extra-index-url='file:///a file:///b'\n"
      "global.index-url='https://mirror/simple'\n"
      "global.find-links='/wheels'\n"
  ) == ['--index=https://mirror/simple', '--index=file:///a',
        '--index=file:///b', '--find-links=/wheels']


def test_pins_of_setup_replace_what_other_packages_ask_for(resolver):
  lock_files.lock(NEXT._replace(overrides=('new-er', 'other')), '', [])
  assert {tuple(overrides) for _, _, overrides, _, _ in resolver} == {
      ('New_er==3', 'other')}


def test_setup_is_read_as_it_is():
  setup = lock_files.read_setup(ROOT / 'setup.py')
  for stack in lock_files.STACKS:
    pins = lock_files.requirements(
        setup, stack, (*lock_files.EXTRAS, 'environments', 'gpu'))
    locked = lock_files.locked_versions((ROOT / stack.file).read_text())
    for pin in pins:
      name, _, version = pin.partition('==')
      name = lock_files.canonical(name.partition('[')[0])
      assert name in locked, pin
      assert version in ('', locked[name]), pin


@pytest.mark.parametrize('stack', lock_files.STACKS, ids=lambda x: x.file)
def test_the_lock_files_have_the_form_that_bin_lock_writes(stack):
  text = (ROOT / stack.file).read_text()
  assert text.startswith(stack.header)
  names = []
  for section in text.split('\n# ')[1:]:
    entries = [line.partition('==')[0] for line in section.splitlines()
               if '==' in line]
    assert entries == sorted(map(lock_files.canonical, entries))
    names += entries
  assert len(names) == len(set(names)) > 100
