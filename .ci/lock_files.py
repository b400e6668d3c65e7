"""Writes requirements.lock and requirements-next.lock from setup.py.

uv resolves the pins of setup.py once for every Python of a lock file, for
x86_64 Linux. Locked versions are kept where they still fit, so a second run
changes nothing. bin/python installs a lock file section by section:

  build         what the other packages, and this one, are built with
  core          what training and tests need
  environments  what only the extra [environments] adds
  gpu           what only the extra [gpu] adds
"""

import argparse
import ast
import pathlib
import re
import runpy
import subprocess
import sys
import tempfile
import tomllib
from typing import Any
from typing import NamedTuple
from unittest import mock

import setuptools

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLATFORM = 'x86_64-manylinux_2_28'
PYPI = 'https://pypi.org/simple'
BUILD = ('setuptools', 'wheel')
# Of both stacks, in the section core.
EXTRAS = ('dev', 'mlflow', 'onnx', 'reports', 'reverb', 'wandb')
HEADINGS = {
    'build': 'what the other packages, and this one, are built with',
    'core': 'everything needed to train and to test',
    'environments': 'what the suites beside Atari need',
    'gpu': 'what tensorflow[and-cuda] adds, where there is an NVIDIA driver',
}


class Stack(NamedTuple):
  """One lock file: the Pythons it fits and the pins of setup.py it takes."""

  file: str
  pythons: tuple[str, ...]
  marker: str  # of the pins of setup.py that this stack takes
  overrides: tuple[str, ...]  # in place of what other packages ask for
  header: str


STACKS = (
    Stack('requirements.lock', ('3.11',), "python_version < '3.12'", (), """\
# Every package that bin/python installs, for CPython 3.11 on x86_64 Linux.
# Made by bin/lock from setup.py with [dev], [gpu], [mlflow], [onnx], [reports],
# [reverb], [wandb] and [environments]. bin/python reads the four headings.
"""),
    Stack('requirements-next.lock', ('3.11', '3.12', '3.13'),
          "python_version >= '3.12'",
          ('pygame', 'tensorflow-probability', 'typing-extensions',
           "labmaze; python_version < '3.13'"), """\
# Every package that bin/python installs for the newest TensorFlow, on CPython
# 3.11, 3.12 and 3.13 on x86_64 Linux; requirements.lock is the default. Made by
# bin/lock from the pins that setup.py has for Python 3.12, with [dev], [gpu],
# [mlflow], [onnx], [reports], [wandb] and [environments], over what tf-agents
# 0.19.0 asks of tensorflow-probability (0.23), typing-extensions (4.5.0) and
# pygame (2.1.3). labmaze has no wheel for Python 3.13, and dm-control works
# without it. bin/python reads the four headings.
"""),
)


class Package(NamedTuple):
  """A package of a lock file: its files, and the Pythons that install it."""

  version: str
  hashes: tuple[str, ...]
  pythons: tuple[str, ...]


def canonical(name: str) -> str:
  return re.sub('[-_.]+', '-', name).lower()


def read_setup(path: pathlib.Path) -> dict[str, list[str]]:
  """The requirements of setup.py: those of no extra as '', then by extra."""
  with mock.patch.object(setuptools, 'setup') as setup:
    runpy.run_path(str(path))
  told = setup.call_args.kwargs
  return {'': told['install_requires'], **told['extras_require']}


def requirements(
    setup: dict[str, list[str]], stack: Stack, extras: tuple[str, ...]
) -> list[str]:
  """The requirements of some extras on a stack, without their markers."""
  lines = []
  for extra in ('', *extras):
    for line in setup[extra]:
      pin, _, marker = line.partition(';')
      if marker.strip() in ('', stack.marker):
        lines.append(pin)
  return lines + [name for name in BUILD if name not in map(_name, lines)]


def _name(pin: str) -> str:
  return canonical(re.split(r'[\[=<>;!~ ]', pin)[0])


def locked_versions(text: str) -> dict[str, str]:
  """Package -> version of a lock file's text."""
  pins = re.findall(r'^([\w.-]+)==([\w.+!-]+)', text, re.MULTILINE)
  return {canonical(name): version for name, version in pins}


def fitting_hashes(package: dict[str, Any]) -> list[str]:
  """SHA-256 of a resolved package's wheels, or of its sdist if it has none."""
  files = package.get('wheels') or [package['sdist']]
  return [file['hashes']['sha256'] for file in files]


def merge(
    resolved: dict[str, list[dict[str, Any]]]
) -> dict[str, Package]:
  """Joins the packages that were resolved for each Python.

  Args:
    resolved: Python's version -> `packages` of its pylock.toml.

  Returns:
    Canonical name -> package, sorted by name.

  Raises:
    ValueError: If two Pythons take two versions of a package.
  """
  merged = {}
  for python, packages in resolved.items():
    for package in packages:
      name, version = canonical(package['name']), package['version']
      old = merged.get(name, Package(version, (), ()))
      if old.version != version:
        raise ValueError(
            f'Python {python} takes {name} {version}, Python '
            f'{", ".join(old.pythons)} takes {old.version}. Pin one of them in '
            'setup.py.')
      hashes = dict.fromkeys([*old.hashes, *fitting_hashes(package)])
      merged[name] = Package(version, (*hashes,), (*old.pythons, python))
  return dict(sorted(merged.items()))


def marker(pythons: tuple[str, ...], wanted: tuple[str, ...]) -> str:
  """The marker of a package that only the first, or last, Pythons install."""
  if wanted == pythons:
    return ''
  if wanted == pythons[:len(wanted)]:
    return f"; python_version < '{pythons[len(wanted)]}'"
  if wanted == pythons[-len(wanted):]:
    return f"; python_version >= '{wanted[0]}'"
  return f"; python_version == '{wanted[0]}'"


def render(
    stack: Stack, packages: dict[str, Package], core: set[str],
    environments: set[str]
) -> str:
  """The text of a lock file.

  Args:
    stack: Which lock file.
    packages: Canonical name -> package.
    core: Names that are needed with neither [environments] nor [gpu].
    environments: Names that are needed with [environments], without [gpu].
  """
  sections = {heading: [] for heading in HEADINGS}
  for name, package in packages.items():
    heading = ('build' if name in BUILD else 'core' if name in core else
               'environments' if name in environments else 'gpu')
    hashes = [f'--hash=sha256:{digest}' for digest in package.hashes]
    pin = f'{name}=={package.version}{marker(stack.pythons, package.pythons)}'
    sections[heading].append(' \\\n    '.join([pin, *hashes]) + '\n')
  return stack.header + ''.join(
      f'\n# {heading}: {what}\n{"".join(sections[heading])}'
      for heading, what in HEADINGS.items())


def index_options(told: str) -> list[str]:
  """Options of uv for the package indexes that `pip config list` names.

  A version is taken from the first index that has it. pip's main index comes
  first, so that the hashes are those of PyPI and not of a partial mirror.
  """
  found = {'index-url': [], 'extra-index-url': [], 'find-links': []}
  for line in told.splitlines():
    name, _, value = line.partition('=')
    name = name.rpartition('.')[2]
    if name in found:
      found[name] += ast.literal_eval(value).split()
  indexes = [*(found['index-url'] or [PYPI]), *found['extra-index-url']]
  return [*(f'--index={url}' for url in dict.fromkeys(indexes)),
          *(f'--find-links={url}' for url in dict.fromkeys(
              found['find-links']))]


def resolve(
    pins: list[str], preferred: dict[str, str], overrides: list[str],
    python: str, options: list[str]
) -> list[dict[str, Any]]:
  """Packages, with their files, that some pins need on one Python.

  Args:
    pins: Requirements, one a line.
    preferred: Package -> version to take where it fits.
    overrides: Requirements that replace those of other packages.
    python: Version of Python, such as '3.11'.
    options: Further options of `uv pip compile`.
  """
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    (folder / 'overrides.txt').write_text('\n'.join(overrides))
    (folder / 'pins.in').write_text('\n'.join(pins))
    chosen, files = folder / 'chosen.txt', folder / 'pylock.toml'
    chosen.write_text(''.join(
        f'{package}=={version}\n' for package, version in preferred.items()))
    call = [sys.executable, '-m', 'uv', 'pip', 'compile', folder / 'pins.in',
            '--quiet', '--no-config', '--no-header', '--no-annotate',
            '--index-strategy', 'unsafe-best-match', '--overrides',
            folder / 'overrides.txt', '--python-version', python,
            '--python-platform', PLATFORM, *options]
    # uv prefers the versions of the file that it writes, if it is there.
    subprocess.run([*call, '-o', chosen], check=True)
    subprocess.run([*call, '-c', chosen, '-o', files], check=True)
    return tomllib.loads(files.read_text())['packages']


def lock(stack: Stack, text: str, options: list[str]) -> str:
  """The new text of a lock file; versions of the old `text` are kept."""
  setup = read_setup(ROOT / 'setup.py')
  pins = lambda *extras: requirements(setup, stack, (*EXTRAS, *extras))
  overrides = [
      next((pin for pin in pins() if _name(pin) == name), name)
      for name in stack.overrides]
  resolved, preferred = {}, locked_versions(text)
  for python in stack.pythons:
    resolved[python] = resolve(
        pins('environments', 'gpu'), preferred, overrides, python, options)
    preferred |= {x['name']: x['version'] for x in resolved[python]}
  names = lambda extras: {
      canonical(package['name']) for package in resolve(
          pins(*extras), preferred, overrides, stack.pythons[0], options)}
  return render(
      stack, merge(resolved), names([]), names(['environments']))


def main() -> None:
  parser = argparse.ArgumentParser(prog='bin/lock', description=(
      'Resolves the pins of setup.py and writes both lock files.'))
  parser.add_argument(
      '--upgrade', action='store_true',
      help='take the newest versions that fit; default: keep locked ones')
  upgrade = parser.parse_args().upgrade
  told = subprocess.run(
      [sys.executable, '-m', 'pip', 'config', 'list'], check=True, text=True,
      stdout=subprocess.PIPE).stdout
  for stack in STACKS:
    path = ROOT / stack.file
    old = path.read_text()
    new = lock(stack, '' if upgrade else old, index_options(told))
    path.write_text(new)
    print(f'{stack.file}:', 'unchanged' if new == old else 'written')


if __name__ == '__main__':
  main()
