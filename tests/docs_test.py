"""README.md and docs/*.md: every block of code runs, in the order of its page.

A page runs in a clean folder that holds `bin/`, `gin/`, `examples/`, `launch/`
and `benchmarks/`, as a checkout does: `sh` blocks by `sh -e`, `python` blocks
in one process, those of a section (`##`) in one namespace. A block needs the
blocks before it, so a test runs those first. What no one may run has the
language `text`.

The blocks run as they stand, but for three things that are put under them:

  bin/train, and dreamerv2_tfa.train   the settings of gin/debug.gin and of
                                       `_SHORT` are appended, so that a run ends
                                       after 80 steps; a dry run is left alone
  DreamerV2Agent in a python block     has the sizes of gin/debug.gin
  bin/serve, curl                      the server runs in the background, at a
                                       port that is free, which takes the place
                                       of 8501; an HTTP error fails

and but for the lines of `_EXEMPT`, each with the reason why it is left out.
"""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.slow

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_PAGES = [_ROOT / 'README.md', *sorted((_ROOT / 'docs').glob('*.md'))]
_SHORT = {
    'train.steps': 80, 'train.prefill': 68, 'train.steps_per_update': 6,
    'train.log_every': 40, 'train.eval_every': 80, 'train.save_every': 80,
    'train.eval_steps': 20,
}
_EXEMPT = {  # lines, as they stand without their comments
    'bin/test': 'is what runs this',
    'bin/test --quick': 'is part of what runs this',
    'bin/test --stack=next --quick': 'installs the newest TensorFlow',
    'bin/test tests/losses_test.py -k kl': 'is part of what runs this',
    'bin/import --from=OLD_LOGDIR --root_dir=runs/moved '
    '--gin_file=gin/atari.gin':
        'needs a run of the published package; migration/import_test and '
        'wheel_test import one',
    'bin/train --root_dir=runs/moved --gin_file=gin/atari.gin':
        'resumes that one',
    'benchmarks/published/python tests/golden/make.py':
        'installs the published package',
    'bin/bench update --gin_file=gin/atari.gin --precision=32':
        'measures for minutes; benchmarks/bench_test runs the program',
    "bin/bench train --gin_file=gin/atari.gin "
    "--gin_bindings='train.environments = 16' --precision=32 "
    "--simulated_update_ms=25 --simulated_policy_ms=1":
        'measures for minutes; benchmarks/bench_test runs the program',
    'benchmarks/gpu/run --folder=results':
        'measures for eight minutes; benchmarks/gpu_test runs the program',
    'bin/bench peers --gin_file=gin/atari.gin --precision=32':
        'installs the published package and sheeprl',
}
# `bin/train` of the folder: the real one with more bindings.
_TRAIN = """#!/bin/sh
case " $* " in *" --dry_run"*) exec {program} "$@" ;; esac
exec {program} "$@" {bindings}
"""
# `bin/serve`: in the background; returns when it serves, and notes the port.
_SERVE = """#!/bin/sh
{program} "$@" --port=0 >served 2>&1 & echo $! >>pids
for second in $(seq 120); do
  sed -n 's|.*http://127.0.0.1:\\([0-9]*\\)/.*|\\1|p' served >port
  if [ -s port ]; then cat served; exit 0; fi
  sleep 1
done
cat served; exit 1
"""
_CURL = """#!/bin/sh
for argument; do
  shift
  set -- "$@" "$(printf %s "$argument" | sed "s/:8501/:$(cat port)/")"
done
exec {program} --silent --show-error --fail-with-body "$@"
"""
# Runs code that arrives on stdin, a JSON object a line; answers on stdout.
_PYTHON = """
import json
import os
import sys
import traceback

out, sys.stdout = os.fdopen(os.dup(1), 'w'), sys.stderr
import dreamerv2_tfa
import gin

dreamerv2_tfa.load_config()

settings = json.loads(sys.argv[1])
sizes = [f'{name} = {value!r}' for name, value in settings.items()
         if not name.startswith('train.')]
whole = dreamerv2_tfa.train


def short(environment, **given):
  mine = {name.removeprefix('train.'): value
          for name, value in settings.items()}
  return whole(environment, **{**given, **mine})


dreamerv2_tfa.train = short
namespaces = {}
for line in sys.stdin:
  told = json.loads(line)
  gin.clear_config()
  gin.parse_config(sizes)
  error = None
  try:
    exec(compile(told['code'], told['name'], 'exec'),
         namespaces.setdefault(told['section'], {}))
  except BaseException:
    error = traceback.format_exc()
  print(json.dumps(error), file=out, flush=True)
os._exit(0)  # TensorFlow would take long to leave
"""


class Block(NamedTuple):
  """A block of code of a page."""

  page: pathlib.Path
  line: int
  section: str
  language: str
  code: str

  @property
  def name(self):
    return f'{self.page.relative_to(_ROOT)}:{self.line}'


def blocks(page):
  """The blocks of a page, in order."""
  found, section, fence = [], '', None
  for number, line in enumerate(page.read_text().splitlines(), 1):
    if fence is None and line.startswith('```'):
      fence, language, lines = number, line[3:].strip(), []
    elif fence is not None and line.startswith('```'):
      code = '\n'.join(lines) + '\n'
      found.append(Block(page, fence, section, language, code))
      fence = None
    elif fence is not None:
      lines.append(line)
    elif line.startswith('## '):
      section = line[3:]
  assert fence is None, f'{page}:{fence} is not closed'
  return found


_BLOCKS = [block for page in _PAGES for block in blocks(page)]
_CODE = [block for block in _BLOCKS if block.language in ('sh', 'python')]


def commands(code):
  """Commands of a shell block, one a line, without comments."""
  lines = code.replace('\\\n', ' ').splitlines()
  return [
      ' '.join(re.sub(r'(^|\s)# .*|(^|\s)#$', '', line).split())
      for line in lines]


def _settings():
  """The settings that every training has: dict by name."""
  lines = (_ROOT / 'gin' / 'debug.gin').read_text().splitlines()
  pairs = [line.partition('#')[0].split(' = ') for line in lines]
  read = {
      pair[0].strip(): json.loads(
          pair[1].replace("'", '"').replace('True', 'true').replace(
              'False', 'false'))
      for pair in pairs if len(pair) == 2}
  assert read['train.eager'] is True and read['RSSM.deter'] == 16
  return {**read, **_SHORT}


class Page:
  """A page that runs in a folder of its own, each block once."""

  def __init__(self, page, folder):
    self._folder, self._failed, self._done = folder, {}, set()
    self._blocks = blocks(page)
    self._python = None
    for name in ('gin', 'examples', 'launch', 'benchmarks'):
      (folder / name).symlink_to(_ROOT / name)
    (folder / 'bin').mkdir()
    for program in (_ROOT / 'bin').iterdir():
      (folder / 'bin' / program.name).symlink_to(program)
    (folder / 'home').mkdir()
    bindings = ' '.join(
        shlex.quote(f'--gin_bindings={name} = {value!r}')
        for name, value in _settings().items())
    bindings += f' --steps={_SHORT["train.steps"]}'  # wins over the block's
    self._replace('bin/train', _TRAIN, _ROOT / 'bin' / 'train', bindings)
    self._replace('bin/serve', _SERVE, _ROOT / 'bin' / 'serve')
    (folder / 'path').mkdir()
    self._replace('path/curl', _CURL, '/usr/bin/curl')
    self._environment = {
        **os.environ, 'HOME': str(folder / 'home'),
        'PATH': f'{folder / "path"}:{os.environ["PATH"]}',
        'TF_CPP_MIN_LOG_LEVEL': '3'}

  def _replace(self, name, script, program, bindings=''):
    path = self._folder / name
    path.unlink(missing_ok=True)
    path.write_text(script.replace('{program}', shlex.quote(
        str(program))).replace('{bindings}', bindings))
    path.chmod(0o755)

  def run(self, block):
    """Runs a block, after those before it: what failed, or None."""
    for each in self._blocks:
      if each.line not in self._done:
        self._done.add(each.line)
        self._failed[each.line] = self._run(each)
      if each.line == block.line:
        return self._failed[each.line]

  def _run(self, block):
    if block.language == 'python':
      return self._run_python(block)
    if block.language != 'sh':
      return None
    kept = [line for line in commands(block.code) if line not in _EXEMPT]
    with open(self._folder / 'said', 'w+') as said:
      # Not by pipes, which the server in the background would hold open.
      code = subprocess.run(
          ['sh', '-e', '-c', '\n'.join(kept)], cwd=self._folder,
          env=self._environment, stdin=subprocess.DEVNULL, stdout=said,
          stderr=subprocess.STDOUT, timeout=400, check=False).returncode
      said.seek(0)
      return said.read()[-3000:] + f'\nexit status {code}' if code else None

  def _run_python(self, block):
    if self._python is None:
      with open(self._folder / 'log', 'w') as log:
        self._python = subprocess.Popen(
            [sys.executable, '-c', _PYTHON, json.dumps(_settings())],
            cwd=self._folder, env=self._environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
    told = {'code': block.code, 'name': block.name, 'section': block.section}
    self._python.stdin.write(json.dumps(told) + '\n')
    self._python.stdin.flush()
    answer = self._python.stdout.readline()
    return json.loads(answer) if answer else (
        self._folder / 'log').read_text()[-3000:]

  def close(self):
    """Ends what runs still."""
    pids = self._folder / 'pids'
    for pid in pids.read_text().split() if pids.exists() else ():
      subprocess.run(['kill', pid], check=False)
    if self._python is not None:
      self._python.stdin.close()
      self._python.kill()
      self._python.wait()
      self._python.stdout.close()


@pytest.fixture(scope='module')
def pages(tmp_path_factory):
  """`Page` by path."""
  made = {page: Page(page, tmp_path_factory.mktemp(page.stem))
          for page in _PAGES}
  yield made
  for page in made.values():
    page.close()


def test_every_block_says_what_it_is():
  assert {block.language for block in _BLOCKS} <= {
      'sh', 'python', 'text', 'mermaid'}
  assert len(_CODE) > 15


def test_every_exempt_line_is_there():
  lines = {line for block in _BLOCKS if block.language == 'sh'
           for line in commands(block.code)}
  assert set(_EXEMPT) <= lines
  assert len(lines) > 2 * len(_EXEMPT)


@pytest.mark.parametrize(
    'block', _CODE, ids=[block.name for block in _CODE])
def test_a_block_runs_as_it_stands(block, pages):
  failed = pages[block.page].run(block)
  assert failed is None, f'{block.name}\n{block.code}\n{failed}'
