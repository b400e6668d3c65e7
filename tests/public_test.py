"""What `import dreamerv2_tfa` offers: names, types, version."""

import importlib
import importlib.metadata
import pathlib
import re
import subprocess
import sys

import pytest

import dreamerv2_tfa

_ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.mark.parametrize('name', dreamerv2_tfa.__all__)
def test_a_public_name_is_the_object_of_its_module(name):
  module, attribute = dreamerv2_tfa._PUBLIC[name]
  made = importlib.import_module(f'dreamerv2_tfa.{module}')
  assert getattr(dreamerv2_tfa, name) is getattr(made, attribute)
  assert name in dir(dreamerv2_tfa)
  assert getattr(dreamerv2_tfa, name).__doc__


def test_the_lists_of_public_names_agree():
  assert dreamerv2_tfa.__all__ == sorted(
      dreamerv2_tfa._PUBLIC, key=lambda name: (name.islower(), name))
  text = pathlib.Path(dreamerv2_tfa.__file__).read_text()
  typed = text.split('if TYPE_CHECKING:')[1].split('\n\n\n')[0]
  found = re.findall(r'import (\w+)(?: as (\w+))?$', typed, re.M)
  assert {new or old for old, new in found} == set(dreamerv2_tfa.__all__)


def test_the_version_is_that_of_the_package():
  assert dreamerv2_tfa.__version__ == importlib.metadata.version(
      'dreamerv2_tfa')
  assert (pathlib.Path(dreamerv2_tfa.__file__).parent / 'py.typed').is_file()


def test_another_name_is_an_attribute_error():
  with pytest.raises(AttributeError, match="no attribute 'load_agnet'"):
    dreamerv2_tfa.load_agnet  # noqa: B018


def test_the_package_is_quick_to_import():
  subprocess.run(
      [sys.executable, '-c',
       'import sys, dreamerv2_tfa; dir(dreamerv2_tfa); '
       'dreamerv2_tfa.__version__; assert "tensorflow" not in sys.modules'],
      check=True)


def _pages():
  return [_ROOT / 'README.md', *sorted((_ROOT / 'docs').glob('*.md'))]


def test_what_pages_use_is_imported_from_the_top_package():
  used = set()
  for page in _pages():
    text = page.read_text()
    assert not re.findall(r'^\s*from dreamerv2_tfa\.', text, re.M), page
    used |= set(re.findall(r'dreamerv2_tfa\.(\w+)\b(?!\.)', text))
  used -= {'md', 'train'} - {'train'}
  assert used <= {*dreamerv2_tfa.__all__, 'md'}


def test_links_between_pages_lead_somewhere():
  for page in [*_pages(), _ROOT / 'CONTRIBUTING.md', _ROOT / 'SECURITY.md']:
    for link in re.findall(r'\]\(((?!http|mailto)[\w./-]+)', page.read_text()):
      assert (page.parent / link).exists(), f'{page}: {link}'
