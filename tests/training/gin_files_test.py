"""Tests of gin files as users have them: beside each other, with a mark."""

import codecs
import logging

import gin
import pytest

from dreamerv2_tfa import checks
from dreamerv2_tfa.training import bindings
from dreamerv2_tfa.training import config

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
  config.parse([folder / 'mine.gin'], [])
  assert (_bound('RSSM.deter'), _bound('RSSM.hidden')) == (7, 8)


def test_so_is_an_include_in_an_included_file(folder):
  (folder / 'deep').mkdir()
  (folder / 'deep' / 'sizes.gin').write_text('RSSM.deter = 7\n')
  (folder / 'deep' / 'more.gin').write_text('include "sizes.gin"  # near\n')
  (folder / 'mine.gin').write_text("include 'deep/more.gin'\n")
  config.parse([folder / 'mine.gin'], [])
  assert _bound('RSSM.deter') == 7


def test_the_file_beside_wins_over_a_preset_of_its_name(folder):
  (folder / 'defaults.gin').write_text('RSSM.deter = 7\n')
  (folder / 'mine.gin').write_text("include 'defaults.gin'\n")
  config.parse([folder / 'mine.gin'], [])
  assert gin.config_str().count(' = ') == 1


def test_presets_are_found_from_anywhere(folder):
  (folder / 'mine.gin').write_text(
      "RSSM.hidden = 8\ninclude 'quickstart.gin'\nRSSM.stoch = 5\n")
  config.parse([folder / 'mine.gin', 'gin/debug.gin'], ['MLP.units = 3'])
  assert (_bound('RSSM.hidden'), _bound('MLP.units')) == (16, 3)


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_a_byte_order_mark_is_no_token(folder, encoding):
  (folder / 'mine.gin').write_text(
      'RSSM.deter = 7  # gr\u00f6\u00dfer\n', encoding)
  (folder / 'outer.gin').write_bytes(
      codecs.BOM_UTF8 + b"include 'mine.gin'\r\nMLP.units = 3\r\n")
  config.parse([folder / 'outer.gin'], [])
  assert (_bound('RSSM.deter'), _bound('MLP.units')) == (7, 3)


def test_a_file_that_is_no_text_is_named(folder):
  (folder / 'mine.gin').write_bytes(b'RSSM.deter = \xff\n')
  with pytest.raises(checks.UserError, match='mine.gin is no text in UTF-8'):
    config.parse([folder / 'mine.gin'], [])


@pytest.mark.parametrize('name, near', [
    ('x.gin', ''), ('atary', ' Did you mean atari[?]'),
    ('gin/Quick-start.gin', ' Did you mean quickstart[?]')])
def test_a_file_that_is_not_there_is_named_with_the_presets(
    folder, name, near):
  with pytest.raises(
      checks.UserError, match=f"no gin file '{name}'.{near} The presets are: "
      'atari, atari_paper,'):
    config.parse([name], [])


def test_a_folder_is_no_gin_file(folder):
  with pytest.raises(checks.UserError, match='is a folder.*--root_dir=DIR'):
    config.parse([folder], [])


@pytest.mark.parametrize('name', ['atari', 'atari.gin', 'gin/atari.gin'])
def test_a_preset_is_found_by_each_of_its_names(folder, name):
  config.parse([name], [])
  assert _bound('RSSM.deter') == 600


@pytest.mark.parametrize('name', ['atari', 'gin/atari.gin'])
def test_a_binding_and_a_file_may_include_a_preset(folder, name):
  (folder / 'mine.gin').write_text(f"include '{name}'\n")
  for files, lines in ((['../mine'], []), ([], [f"include '{name}'"])):
    gin.clear_config()
    config.parse(files, lines)
    assert _bound('RSSM.deter') == 600


def test_an_include_that_is_not_there_is_shown(folder):
  (folder / 'mine.gin').write_text("\n\ninclude 'x.gin'\n")
  with pytest.raises(checks.UserError) as caught:
    config.parse([folder / 'mine.gin'], [])
  assert str(caught.value).startswith("There is no gin file 'x.gin'.")
  assert str(caught.value).endswith(
      f"  {folder / 'mine.gin'}:3:10:\n    include 'x.gin'\n             ^")


def test_a_mistake_in_an_included_file_shows_its_line_and_column(folder):
  (folder / 'sizes.gin').write_text('\n  # so\nRSSM.detr = 7\n')
  (folder / 'mine.gin').write_text("include 'sizes.gin'\n")
  with pytest.raises(checks.UserError) as caught:
    config.parse([folder / 'mine.gin'], [])
  assert str(caught.value) == (
      'There is no setting RSSM.detr. Did you mean RSSM.deter?\n'
      f"  {folder / 'sizes.gin'}:3:6:\n    RSSM.detr = 7\n         ^")


def test_a_mistake_after_an_include_is_in_the_including_file(folder):
  (folder / 'mine.gin').write_text("include 'debug'\nRSSM.deter = [7\n")
  with pytest.raises(checks.UserError, match=r'mine.gin:2:14:'):
    config.parse([folder / 'mine.gin'], [])


def test_a_binding_is_named_by_its_number(folder):
  with pytest.raises(checks.UserError, match='binding 2, column 6:'):
    config.parse(['debug'], ['RSSM.deter = 5', 'RSSM.detr = 6'])


_LINES = {
    # Line; what the message begins with; the column that it points at.
    'train.task=atari_pong': (
        "The quotes around atari_pong are missing. Write train.task = "
        "'atari_pong', in a shell: --gin_bindings=\"train.task = "
        "'atari_pong'\"", 12),
    'train.task = mine:make': ('The quotes around mine:make are missing.', 14),
    'train.replay_from = /data/x': ('The quotes around /data/x are', 21),
    'train.eager = true': (
        'true is no value of gin. Write train.eager = True', 15),
    'train.replay_from = null': (
        'null is no value of gin. Write train.replay_from = None', 21),
    'train.steps = 1e6.': (
        '1e6. is no number. Write train.steps = 1e6', 15),
    'train.steps = 1,000': (
        '1,000 is no number. Write train.steps = 1000', 15),
    'train.steps = 007': ('007 is no number.', 15),
    'train.steps =': ('train.steps has no value.', 14),
    'train.steps': ('A line of gin is NAME = VALUE', 12),
    'train.steps 5': ('A line of gin is NAME = VALUE', 13),
    'train.steps == 5': (
        'A line of gin is NAME = VALUE, as train.steps = 1e6. Write one =', 13),
    '--seed=5': ('A flag is no line of gin', 1),
    'train.steps = 5; train.seed = 3': ('A line has one setting.', 15),
    'Encoder.kernels = (4, 4': ('The bracket ( is not closed.', 19),
    'Encoder.kernels = (4, 4]': (
        "This cannot be read: Expected ',' or ')'", 24),
    "train.task = 'catch": (
        "A quote is not closed. Write train.task = 'catch'", 14),
    'train.task = \u2018catch\u2019': (
        "These are quotes of typography; gin wants plain ones. Write "
        "train.task = 'catch'", 14),
    'RSSM.deter = %size': ('The macro %size is not bound.', 14),
    'RSSM.deter = @MLPP': ('There is no @MLPP. Did you mean MLP?', 14),
    'import not_there': ('There is no module not_there to import.', 8),
    'RSMM.deter = 5': (
        'There is no setting RSMM.deter. Did you mean RSSM.deter?', 1),
    'rssm.deter = 5': (
        'There is no setting rssm.deter. Did you mean RSSM.deter?', 1),
    'train.stpes = 5': (
        'There is no setting train.stpes. Did you mean train.steps?', 7),
    'train.discount = 1': (
        'There is no setting train.discount. Did you mean '
        'DreamerV2Agent.discount?', 7),
    'train.lr = 5': ('There is no setting train.lr. Did you mean DreamerV2', 7),
    'nothing.like_it = 5': (
        'There is no setting nothing.like_it. gin/defaults.gin lists them.', 1),
    'steps = 5': ('There is no setting steps. Did you mean train.steps?', 1),
    'zzz = 5': ('There is no setting zzz. gin/defaults.gin lists them.', 1),
    'RSM:\n  deter = 5': ('There is no RSM:. Did you mean RSSM?', 1),
    'RSSM:\n  detr = 5': ('There is no setting RSSM.detr. Did you mean', 3),
}


@pytest.mark.parametrize('line', _LINES)
def test_a_mistake_in_a_line_is_shown_with_the_way_out(folder, line):
  said, column = _LINES[line]
  with pytest.raises(checks.UserError) as caught:
    config.parse(['debug'], [line])
  text, place, shown, caret = str(caught.value).split('\n')
  assert text.startswith(said)
  assert place == f'  binding 1, column {column}:'
  number = 1 if 'detr' in line else 0
  assert shown.strip() == line.split('\n')[number].strip()
  indent = 2 if 'detr' in line else 0
  assert caret == ' ' * (3 + column - indent) + '^'


@pytest.mark.parametrize('line', _LINES)
def test_the_same_mistake_in_a_file_names_no_shell(folder, line):
  (folder / 'mine.gin').write_text(f'# A file.\n{line}\n')
  if line == 'zzz = 5':  # a macro that somebody may use yet
    config.parse([folder / 'mine.gin'], [])
    return
  with pytest.raises(checks.UserError) as caught:
    config.parse([folder / 'mine.gin'], [])
  number = 3 if 'detr' in line else 2
  assert f'mine.gin:{number}:{_LINES[line][1]}:' in str(caught.value)
  assert 'shell' not in str(caught.value)


def test_a_macro_may_be_bound_in_one_text_and_used_in_another(folder):
  (folder / 'mine.gin').write_text('steps = 5\n')
  config.parse([folder / 'mine.gin'], ['train.steps = %steps'])


def test_every_setting_of_the_package_has_a_name_to_suggest():
  for name in ('train.steps', 'RSSM.deter', 'load_atari.size', 'MLP.units',
               'Plan2Explore.members', 'DreamerV2Agent.discount'):
    assert name in bindings.names()
  for name in bindings.names():
    assert bindings.meant(name.upper())[0] == name


def test_nothing_is_logged_and_logging_goes_on(folder, caplog):
  (folder / 'mine.gin').write_text("include 'x.gin'\n")
  with pytest.raises(checks.UserError):
    config.parse([folder / 'mine.gin'], [])
  assert caplog.records == []
  logging.error('still here')
  assert len(caplog.records) == 1
