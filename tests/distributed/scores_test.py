"""What an evaluator notes of checkpoints, and which of them is kept."""

import pytest
import tensorflow as tf

from dreamerv2_tfa.distributed import scores
from dreamerv2_tfa.training import checkpoints
from dreamerv2_tfa.training import runs


@pytest.fixture
def run(tmp_path):
  """A folder and a function that saves, and scores what it has saved."""
  folder, value = runs.RunFolder(tmp_path), tf.Variable(0)
  folder.evaluations.mkdir()
  saver = checkpoints.Checkpoints(folder.checkpoints, x=value)

  def save(step, score=None):
    value.assign_add(1)
    saver.save(step)
    if score is not None:
      path = str(folder.checkpoints / f'ckpt-{step}')
      scores.note(folder, path, score, scores.digest(path))

  return folder, save


def test_the_best_is_the_highest_of_those_that_are_there(run):
  folder, save = run
  assert scores.best(folder) is None
  save(10, 9.0)
  save(20, 3.0)
  assert scores.best(folder) == (10, 9.0)
  save(30, 2.0)  # which removes the first
  assert scores.best(folder) == (20, 3.0)
  save(40)
  assert scores.best(folder) == (30, 2.0)


def test_of_two_equal_scores_the_later_is_the_best(run):
  folder, save = run
  save(9, 5.0)
  save(10, 5.0)
  assert scores.best(folder) == (10, 5.0)


def test_a_score_is_not_that_of_another_checkpoint_of_the_same_step(run):
  folder, save = run
  save(10, 9.0)
  save(10)  # by a learner that was killed, and has resumed
  assert scores.best(folder) is None


@pytest.mark.parametrize('damage', ['', '{', '[]', '{"10": 5}', '{"x": {}}'])
def test_a_file_that_cannot_be_read_has_noted_nothing(run, damage):
  folder, save = run
  save(10, 9.0)
  (folder.evaluations / 'scores.json').write_text(damage)
  assert scores.best(folder) is None
  save(20, 1.0)
  assert scores.best(folder) == (20, 1.0)
