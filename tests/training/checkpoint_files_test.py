"""Tests of the files of checkpoints: which is the last, what is damaged."""

import shutil

import pytest
import tensorflow as tf

from dreamerv2_tfa.training import best
from dreamerv2_tfa.training import checkpoint_files
from dreamerv2_tfa.training import checkpoints
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import sums


@pytest.fixture
def two(tmp_path):
  """A folder with the checkpoints 10 and 200; and its `checkpoints/`."""
  root = tmp_path / 'run'
  saver = checkpoints.Checkpoints(
      root / 'checkpoints', x=tf.Variable(tf.range(1000)))
  for step in (10, 200):
    saver.save(step)
  return root, root / 'checkpoints'


def _cut(path, bytes_left=100):
  path.write_bytes(path.read_bytes()[:bytes_left])


def test_tensorflow_finds_the_checkpoint_that_is_found_here(two):
  root, directory = two
  found = checkpoint_files.find(directory)
  assert found == tf.train.latest_checkpoint(directory)
  assert checkpoints.last(root / 'checkpoints') == str(directory / 'ckpt-200')


def test_no_checkpoint_is_found_in_a_folder_without_one(tmp_path):
  assert checkpoint_files.find(tmp_path / 'new' / 'checkpoints') is None
  with pytest.raises(ValueError, match='holds no saved run'):
    checkpoints.last(tmp_path / 'checkpoints')


@pytest.mark.parametrize('text', [None, '', 'nothing that is known'])
def test_without_its_state_file_the_newest_checkpoint_is_found(two, text):
  root, directory = two
  (directory / 'checkpoint').unlink()
  if text is not None:
    (directory / 'checkpoint').write_text(text)
  assert checkpoint_files.find(directory) == str(directory / 'ckpt-200')


@pytest.mark.parametrize('path', ['/elsewhere/checkpoints/ckpt-10', 'ckpt-10'])
def test_a_state_file_names_a_checkpoint_of_its_own_folder(two, path):
  root, directory = two
  (directory / 'checkpoint').write_text(f'model_checkpoint_path: "{path}"\n')
  for file in directory.glob('ckpt-200.*'):
    file.unlink()
  assert checkpoint_files.find(directory) == str(directory / 'ckpt-10')


def test_a_whole_checkpoint_that_is_newer_than_the_state_file_is_found(two):
  root, directory = two
  (directory / 'checkpoint').write_text('model_checkpoint_path: "ckpt-10"\n')
  assert checkpoint_files.find(directory) == str(directory / 'ckpt-200')


@pytest.mark.parametrize('ending', ['index', 'data-00000-of-00001'])
def test_a_save_that_a_kill_cut_off_is_not_the_last(two, ending):
  root, directory = two
  (directory / 'checkpoint').write_text('model_checkpoint_path: "ckpt-10"\n')
  _cut(directory / f'ckpt-200.{ending}')
  assert checkpoint_files.find(directory) == str(directory / 'ckpt-10')


@pytest.mark.parametrize('state', [True, False])
@pytest.mark.parametrize('ending', ['index', 'data-00000-of-00001'])
@pytest.mark.parametrize('left', [0, 100, -1])
def test_a_cut_checkpoint_is_refused_by_its_file_and_the_older_named(
    two, ending, left, state):
  root, directory = two
  if not state:
    (directory / 'checkpoint').unlink()
  _cut(directory / f'ckpt-200.{ending}', left)
  with pytest.raises(ValueError) as refusal:
    checkpoint_files.find(directory)
  message = str(refusal.value)
  assert f'{directory}/ckpt-200.{ending} cannot be read: ' in message
  assert 'ckpt-10 beside it is whole' in message and '\n' not in message


def test_a_checkpoint_with_other_bytes_is_refused(two):
  root, directory = two
  file = directory / 'ckpt-200.data-00000-of-00001'
  text = file.read_bytes()
  file.write_bytes(text[:500] + bytes(8) + text[508:])
  with pytest.raises(ValueError, match='ckpt-200.data.* cannot be read: '):
    checkpoint_files.find(directory)


@pytest.mark.parametrize('ending', ['index', 'data-00000-of-00001'])
def test_the_way_out_of_a_missing_file_leads_to_the_older_checkpoint(
    two, ending):
  root, directory = two
  (directory / f'ckpt-200.{ending}').unlink()
  with pytest.raises(ValueError, match=rf'ckpt-200.{ending}.*ckpt-10 beside'):
    checkpoint_files.find(directory)
  for path in [*directory.glob('ckpt-200.*'), directory / 'checkpoint']:
    path.unlink()
  assert checkpoint_files.find(directory) == str(directory / 'ckpt-10')


def test_where_the_best_alone_is_whole_it_is_named(two):
  _, directory = two
  best = directory / checkpoint_files.BEST
  best.mkdir()
  for path in directory.glob('ckpt-10.*'):
    shutil.copy(path, best)
  for number in (10, 200):
    _cut(directory / f'ckpt-{number}.index')
  with pytest.raises(ValueError, match=f'{best / "ckpt-10"}, .*best=True'):
    checkpoint_files.find(directory)
  _cut(best / 'ckpt-10.index')
  with pytest.raises(ValueError, match='No whole checkpoint is beside it'):
    checkpoint_files.find(directory)
  with pytest.raises(ValueError, match='The best checkpoint.*the last one'):
    checkpoint_files.find(best)


def test_a_damaged_checkpoint_alone_is_refused_too(two):
  root, directory = two
  for number in (10, 200):
    _cut(directory / f'ckpt-{number}.index')
  with pytest.raises(ValueError, match='No whole checkpoint is beside it'):
    checkpoint_files.find(directory)


# What a process that writes does first ----------------------------------------


def names(directory):
  return sorted(path.name for path in directory.iterdir())


def test_a_whole_folder_is_left_as_it_is(two):
  _, directory = two
  before = names(directory)
  assert checkpoint_files.recover(directory) == []
  assert names(directory) == before


@pytest.mark.parametrize('state', [True, False])
@pytest.mark.parametrize('ending', ['index', 'data-00000-of-00001'])
@pytest.mark.parametrize('left', [None, 0, 100, -1])
def test_a_damaged_last_checkpoint_is_set_aside_and_the_older_one_is_last(
    two, ending, left, state):
  root, directory = two
  if not state:
    (directory / 'checkpoint').unlink()
  file = directory / f'ckpt-200.{ending}'
  if left is None:
    file.unlink()
  else:
    _cut(file, left)
  line, = checkpoint_files.recover(directory)
  assert str(file) in line and 'ckpt-200.*.damaged' in line
  assert 'resumes from ckpt-10' in line
  assert checkpoint_files.find(directory) == str(directory / 'ckpt-10')
  assert tf.train.latest_checkpoint(directory) == str(directory / 'ckpt-10')
  assert any(name.endswith('.damaged') for name in names(directory))
  assert checkpoint_files.recover(directory) == []
  saver = checkpoints.Checkpoints(directory, x=tf.Variable(tf.range(1000)))
  saver.save(200)  # again, beside what is set aside
  assert checkpoint_files.find(directory) == str(directory / 'ckpt-200')


def test_where_every_checkpoint_is_damaged_nothing_is_renamed(two):
  _, directory = two
  for number in (10, 200):
    _cut(directory / f'ckpt-{number}.index')
  before = names(directory)
  with pytest.raises(ValueError, match='No whole checkpoint is beside it'):
    checkpoint_files.recover(directory)
  assert names(directory) == before


def test_what_a_killed_save_has_left_is_removed(two):
  _, directory = two
  before = names(directory)
  (directory / 'ckpt-300.data-00000-of-00001').write_bytes(b'half')
  (directory / 'ckpt-300_temp').mkdir()
  (directory / 'ckpt-300_temp' / 'part-00000-of-00001.index').touch()
  (directory / 'checkpoint.part').write_text('model_ch')
  (directory / 'best.new').mkdir()
  assert checkpoint_files.recover(directory) == []
  assert names(directory) == before


def test_a_file_that_claims_more_than_it_has_is_refused_unread(two):
  _, directory = two
  _cut(directory / 'ckpt-200.data-00000-of-00001', 10)
  assert 'it has 10 bytes of 4,0' in checkpoint_files.fault(
      directory / 'ckpt-200')


# The first save ---------------------------------------------------------------


def test_a_first_save_that_was_cut_off_is_known_to_be_that(tmp_path):
  directory = tmp_path / 'checkpoints'
  saver = checkpoints.Checkpoints(directory, x=tf.Variable(1.0))
  assert not checkpoint_files.first_was_cut_off(directory)
  saver.begin()
  assert checkpoint_files.first_was_cut_off(directory)
  (directory / 'ckpt-5.data-00000-of-00001').touch()
  checkpoint_files.remove_first(directory)
  assert names(directory) == []
  saver.begin()
  saver.save(5)
  assert not checkpoint_files.first_was_cut_off(directory)
  assert 'first.part' not in names(directory)
  saver.begin()  # the second save
  assert 'first.part' not in names(directory)


# The best ---------------------------------------------------------------------


def test_the_checkpoint_of_the_highest_evaluation_stays(tmp_path):
  folder = runs.RunFolder(tmp_path)
  directory, value = folder.checkpoints, tf.Variable(0)
  saver = checkpoints.Checkpoints(directory, x=value)
  with pytest.raises(ValueError, match='has no best checkpoint'):
    checkpoints.last(directory, best=True)
  for step, score in ((10, 1.0), (20, 3.0), (30, 2.0), (40, -1.0)):
    value.assign(step)
    saver.save(step)
    best.keep(folder, sums.Sums(folder), step, score)
  path = checkpoints.last(directory, best=True)
  assert path == str(directory / 'best' / 'ckpt-20')
  assert not (directory / 'ckpt-20.index').exists()
  restored = tf.Variable(0)
  checkpoints.restore(path, x=restored)
  assert int(restored) == 20
  assert checkpoints.last(directory) == str(directory / 'ckpt-40')


def test_of_two_equal_evaluations_the_later_checkpoint_stays(tmp_path):
  folder = runs.RunFolder(tmp_path)
  directory = folder.checkpoints
  saver = checkpoints.Checkpoints(directory, x=tf.Variable(0))
  for step in (10, 20):
    saver.save(step)
    best.keep(folder, sums.Sums(folder), step, 5.0)
  assert checkpoints.last(directory, best=True).endswith('best/ckpt-20')


def test_a_checkpoint_that_is_not_there_or_scored_nothing_is_not_the_best(
    tmp_path):
  folder = runs.RunFolder(tmp_path)
  checkpoints.Checkpoints(folder.checkpoints, x=tf.Variable(0)).save(10)
  for step, score in ((20, 5.0), (10, float('nan'))):
    best.keep(folder, sums.Sums(folder), step, score)
    assert not (folder.checkpoints / 'best').exists()


def test_another_checkpoint_of_the_same_step_takes_its_place(tmp_path):
  folder, value = runs.RunFolder(tmp_path), tf.Variable(0)
  saver = checkpoints.Checkpoints(folder.checkpoints, x=value)
  for number, score in ((1, 5.0), (2, 6.0), (3, 5.5)):
    value.assign(number)
    saver.save(10)
    best.keep(folder, sums.Sums(folder), 10, score)
  restored = tf.Variable(0)
  checkpoints.restore(
      checkpoints.last(folder.checkpoints, best=True), x=restored)
  assert int(restored) == 2


def test_the_best_survives_a_kill_while_it_is_replaced(tmp_path):
  directory = tmp_path / 'checkpoints'
  saver = checkpoints.Checkpoints(directory, x=tf.Variable(0))
  saver.save(10)
  best.replace(directory / 'ckpt-10', 5.0)
  (directory / 'best').rename(directory / 'best.old')
  (directory / 'best.new').mkdir()
  checkpoint_files.recover(directory)
  assert checkpoints.last(directory, best=True).endswith('best/ckpt-10')
  assert not (directory / 'best.new').exists()
