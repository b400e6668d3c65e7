"""A suite is one file and one line: here a made-up one."""

import sys
import types

import gin
import pytest

from dreamerv2_tfa import checks
from dreamerv2_tfa import environments
from dreamerv2_tfa.environments import tasks

_FILE = '''
import gin
import numpy as np
from tf_agents.environments import random_py_environment
from tf_agents.specs import array_spec

from dreamerv2_tfa.environments import adapt
from dreamerv2_tfa.environments import batch


def games():
  return ('maze', 'river')


@gin.configurable('load_toys')
def load(game, *, size=3):
  def construct(seed):
    return adapt.Adapted(random_py_environment.RandomPyEnvironment(
        array_spec.BoundedArraySpec((size,), np.float32, -1, 1),
        array_spec.BoundedArraySpec((), np.int32, 0, 4), seed=seed))
  return batch.task(f'toys_{game}', 2, construct)
'''
_NAME = 'dreamerv2_tfa.environments.toys'


_MODULE = types.ModuleType(_NAME)
exec(compile(_FILE, 'toys.py', 'exec'), _MODULE.__dict__)


@pytest.fixture
def toys(monkeypatch):
  """Adds the file, and its line to the table."""
  monkeypatch.setitem(sys.modules, _NAME, _MODULE)
  monkeypatch.setattr(environments, 'toys', _MODULE, raising=False)
  monkeypatch.setitem(environments.SUITES, 'toys', 'toys')
  yield
  gin.clear_config()


@pytest.mark.usefixtures('toys')
def test_its_tasks_are_found_by_name_under_its_own_settings():
  assert {'toys_maze', 'toys_river'} <= set(tasks.names())
  assert tasks.names('toys') == ['toys_maze', 'toys_river']
  gin.parse_config('load_toys.size = 7')
  task = tasks.load('toys_river')
  assert (task.name, task.action_repeat) == ('toys_river', 2)
  spec = task.make(0, 2).observation_spec()['observation']
  assert spec.shape == (7,)


@pytest.mark.usefixtures('toys')
def test_a_game_that_it_does_not_have_is_refused_with_the_nearest():
  with pytest.raises(checks.UserError, match='Did you mean toys_river'):
    tasks.load('toys_rivre')
  with pytest.raises(checks.UserError, match='maze, river'):
    tasks.load('toys_zzzz')


@pytest.mark.parametrize('name', environments.SUITES)
def test_every_suite_offers_its_games_and_a_task_of_one(name):
  suite = tasks.suite(name)
  assert callable(suite.games) and callable(suite.load)
