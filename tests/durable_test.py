"""Tests of files and folders that are whole or not there."""

import os

import pytest

from dreamerv2_tfa import durable


@pytest.fixture
def flushed(monkeypatch):
  """Names of what was flushed to the disk, and of renames, in order."""
  names = []
  sync, rename = durable.sync, os.rename
  monkeypatch.setattr(
      durable, 'sync', lambda path: (names.append(path.name), sync(path)))
  monkeypatch.setattr(
      'pathlib.Path.rename',
      lambda self, to: (names.append(f'> {to.name}'), rename(self, to)))
  monkeypatch.setattr(
      'pathlib.Path.replace',
      lambda self, to: (names.append(f'> {to.name}'), os.replace(self, to)))
  return names


def test_a_file_is_flushed_before_it_has_its_name(tmp_path, flushed):
  durable.write_text(tmp_path / 'a', 'größe')
  assert (tmp_path / 'a').read_text(encoding='utf-8') == 'größe'
  assert flushed == ['a.part', '> a', tmp_path.name]


def test_a_folder_is_flushed_file_by_file_before_it_has_its_name(
    tmp_path, flushed):
  (tmp_path / 'a.new' / 'sub').mkdir(parents=True)
  (tmp_path / 'a.new' / 'sub' / 'file').write_text('x')
  durable.replace(tmp_path / 'a.new', tmp_path / 'a')
  assert flushed[-2:] == ['> a', tmp_path.name]
  assert sorted(flushed[:-2]) == ['a.new', 'file', 'sub']
  assert (tmp_path / 'a' / 'sub' / 'file').read_text() == 'x'


def folder(path, text):
  path.mkdir()
  (path / 'file').write_text(text)


def test_a_folder_that_is_not_empty_is_replaced(tmp_path):
  folder(tmp_path / 'a', 'old')
  (tmp_path / 'a' / 'more').touch()
  folder(tmp_path / 'a.new', 'new')
  durable.replace(tmp_path / 'a.new', tmp_path / 'a')
  assert [path.name for path in tmp_path.iterdir()] == ['a']
  assert [path.name for path in (tmp_path / 'a').iterdir()] == ['file']
  assert (tmp_path / 'a' / 'file').read_text() == 'new'


@pytest.mark.parametrize('there, text', [
    (('a', 'a.new'), 'a'),  # killed while it was written
    (('a.old', 'a.new'), 'a.old'),  # between the two renames
    (('a', 'a.old'), 'a'),  # before the old one was deleted
    (('a',), 'a'),
])
def test_wherever_a_replacement_is_cut_off_a_whole_folder_is_there(
    there, text, tmp_path):
  for name in there:
    folder(tmp_path / name, name)
  durable.recover(tmp_path / 'a')
  assert [path.name for path in tmp_path.iterdir()] == ['a']
  assert (tmp_path / 'a' / 'file').read_text() == text


def test_where_there_was_no_folder_there_is_none_after_a_kill(tmp_path):
  folder(tmp_path / 'a.new', 'half')
  durable.recover(tmp_path / 'a')
  assert not list(tmp_path.iterdir())


def test_a_link_in_place_of_the_part_is_not_followed(tmp_path):
  (tmp_path / 'other').write_text('mine')
  (tmp_path / 'a.part').symlink_to('other')
  durable.write_text(tmp_path / 'a', 'new')
  assert (tmp_path / 'other').read_text() == 'mine'
  assert (tmp_path / 'a').read_text() == 'new'
  assert not (tmp_path / 'a').is_symlink()
