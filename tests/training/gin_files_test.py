"""Tests of gin files as users have them: beside each other, with a mark."""

import codecs

import gin
import pytest

from dreamerv2_tfa import checks
from dreamerv2_tfa.training import gin_files
from dreamerv2_tfa.training import train  # noqa: F401, gin must know its parts

pytestmark = pytest.mark.usefixtures('clean')


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """A folder that is not the working directory."""
  (tmp_path / 'elsewhere').mkdir()
  monkeypatch.chdir(tmp_path / 'elsewhere')
  return tmp_path


def _bound(name):
  return gin.query_parameter(name)


def test_an_include_is_found_beside_the_including_file(folder):
  (folder / 'sizes.gin').write_text('RSSM.deter = 7\n')
  (folder / 'mine.gin').write_text("include 'sizes.gin'\nRSSM.hidden = 8\n")
  gin_files.parse([folder / 'mine.gin'], [])
  assert (_bound('RSSM.deter'), _bound('RSSM.hidden')) == (7, 8)


def test_so_is_an_include_in_an_included_file(folder):
  (folder / 'deep').mkdir()
  (folder / 'deep' / 'sizes.gin').write_text('RSSM.deter = 7\n')
  (folder / 'deep' / 'more.gin').write_text('include "sizes.gin"  # near\n')
  (folder / 'mine.gin').write_text("include 'deep/more.gin'\n")
  gin_files.parse([folder / 'mine.gin'], [])
  assert _bound('RSSM.deter') == 7


def test_the_file_beside_wins_over_a_preset_of_its_name(folder):
  (folder / 'defaults.gin').write_text('RSSM.deter = 7\n')
  (folder / 'mine.gin').write_text("include 'defaults.gin'\n")
  gin_files.parse([folder / 'mine.gin'], [])
  assert gin.config_str().count(' = ') == 1


def test_presets_are_found_from_anywhere(folder):
  (folder / 'mine.gin').write_text(
      "RSSM.hidden = 8\ninclude 'quickstart.gin'\nRSSM.stoch = 5\n")
  gin_files.parse([folder / 'mine.gin', 'gin/debug.gin'], ['MLP.units = 3'])
  assert (_bound('RSSM.hidden'), _bound('MLP.units')) == (16, 3)


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_a_byte_order_mark_is_no_token(folder, encoding):
  (folder / 'mine.gin').write_text('RSSM.deter = 7  # gr\u00f6\u00dfer\n', encoding)
  (folder / 'outer.gin').write_bytes(
      codecs.BOM_UTF8 + b"include 'mine.gin'\r\nMLP.units = 3\r\n")
  gin_files.parse([folder / 'outer.gin'], [])
  assert (_bound('RSSM.deter'), _bound('MLP.units')) == (7, 3)


def test_a_file_that_is_no_text_is_named(folder):
  (folder / 'mine.gin').write_bytes(b'RSSM.deter = \xff\n')
  with pytest.raises(checks.UserError, match='mine.gin is no text in UTF-8'):
    gin_files.parse([folder / 'mine.gin'], [])


def test_a_file_that_is_not_there_is_named_with_the_presets(folder):
  with pytest.raises(checks.UserError, match="no gin file 'x.gin'.*atari.gin"):
    gin_files.parse(['x.gin'], [])


def test_an_include_that_is_not_there_is_named_with_its_file_and_line(folder):
  (folder / 'mine.gin').write_text("\n\ninclude 'x.gin'\n")
  with pytest.raises(OSError, match='(?s)x.gin.*mine.gin", line 3'):
    gin_files.parse([folder / 'mine.gin'], [])


def test_a_mistake_names_its_file_and_line(folder):
  (folder / 'sizes.gin').write_text('\nRSSM.detr = 7\n')
  (folder / 'mine.gin').write_text("include 'sizes.gin'\n")
  with pytest.raises(ValueError, match='(?s)detr.*sizes.gin", line 2'):
    gin_files.parse([folder / 'mine.gin'], [])


def test_nothing_is_logged_and_logging_goes_on(folder, caplog):
  (folder / 'mine.gin').write_text("include 'x.gin'\n")
  with pytest.raises(OSError):
    gin_files.parse([folder / 'mine.gin'], [])
  assert caplog.records == []
  gin_files.logging.error('still here')
  assert len(caplog.records) == 1
