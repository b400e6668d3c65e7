"""Tests of the replay server's saves, where they fail."""

import pytest

from dreamerv2_tfa import checks
from dreamerv2_tfa.distributed import saves


class Client:
  """Saves as Reverb's does, on a disk that may be full."""

  def __init__(self, folder):
    self.folder, self.full, self.saved = folder, False, 0

  def checkpoint(self):
    path = self.folder / f'2026-11-28T10:54:{self.saved:02}.14+00:00'
    path.mkdir()
    (path / 'items.tfrecord').write_text('')
    if self.full:
      raise IndexError(f'{path}/items.tfrecord; No space left on device')
    (path / 'DONE').write_text('')
    self.saved += 1


@pytest.fixture
def client(tmp_path):
  return Client(tmp_path)


@pytest.fixture
def said():
  return []


@pytest.fixture
def taken(client, said, monkeypatch):
  monkeypatch.setattr(saves, '_EVERY', 0.0)
  return saves.Saves(client.folder, client, said.append)


def names(client):
  return sorted(path.name for path in client.folder.iterdir())


def until_due(taken, client, count):
  """Takes saves until so many have been tried."""
  tried = []
  checkpoint = client.checkpoint
  client.checkpoint = lambda: (tried.append(1), checkpoint())
  while len(tried) < count:
    taken.take()
  client.checkpoint = checkpoint


def test_a_full_disk_is_told_once_and_leaves_nothing_behind(
    taken, client, said):
  until_due(taken, client, 2)
  whole = names(client)
  client.full = True
  until_due(taken, client, 3)
  assert names(client) == whole and len(whole) == 2
  assert len(said) == 1 and 'No space left on device' in said[0]
  client.full = False
  until_due(taken, client, 2)
  assert len(names(client)) == 4
  assert said[1:] == ['The replay server saves again.']


def test_a_last_save_that_fails_is_an_error(taken, client):
  taken.finish()
  client.full = True
  with pytest.raises(checks.UserError, match='rows since then are lost'):
    taken.finish()
  assert len(names(client)) == 1


def test_what_a_killed_server_left_unfinished_is_removed_alone(client, said):
  client.checkpoint()
  unfinished = client.folder / '2026-11-28T10:55:01.2+00:00'
  for path in (unfinished, client.folder / 'mine'):
    path.mkdir()
  saves.Saves(client.folder, client, said.append)
  assert names(client) == ['2026-11-28T10:54:00.14+00:00', 'mine']
