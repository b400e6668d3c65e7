"""Tests that a run prints its own lines alone, and hides nothing else's."""

import logging
import os
import pathlib
import re
import subprocess
import sys
import types
import warnings

from gym_notices import notices
import pytest

from dreamerv2_tfa import quiet

_ROOT = pathlib.Path(__file__).resolve().parents[1]

# Every line that a run may print. What matches none of them is not ours.
_OURS = (
    r'Run folder: /.+', r'Watch it:   .*tensorboard --logdir /.+',
    r'Task \S+: \d+ environment frames? an agent step.*\.',
    r'Observation \S+: \w+ \[.*\]\.', r'Action: .+\.',
    r'Parameters: world model [\d,]+, actor [\d,]+, critic [\d,]+; \w+\.',
    r'Schedule: .+\.', r'A line every .+\.', r'Replay memory: .+\.',
    r'Prefill: [\d,]+ random steps\.', r'Compile the first update .+\.',
    r'Time an update .+\.', r'Estimate: .+\.',
    r' *[\d,]+ frames \| +[\d,]+ updates \| [\d,]+ fps( \| [\w ]+ \S+)*'
    r'( \| .+ left)?',
    r'(Prefill|Compile|Pretrain|Train|Evaluate|Save|Export): .+\.',
    r'Evaluation at [\d,]+ frames: .+\.', r'Resumed at .+\.',
    r'Note: resumed with train.(eager|steps) = .+',
    r'Preset \w+( \+ \w+)*(: .+)?\.',
    r'Done: [\d,]+ frames, [\d,]+ updates\.', r'The run in \S+ is finished: .+',
)

_TRAIN = '''
import sys, warnings
import gymnasium, numpy
import dreamerv2_tfa

class Cart(gymnasium.Env):
  observation_space = gymnasium.spaces.Dict(
      {'image': gymnasium.spaces.Box(0, 255, (64, 64, 3), numpy.uint8),
       'speed': gymnasium.spaces.Box(-1, 1, (2,))})
  action_space = gymnasium.spaces.Discrete(3)
  def reset(self, seed=None, options=None):
    super().reset(seed=seed)
    self.left = 9
    return self.observation_space.sample(), {}
  def step(self, action):
    warnings.warn('The cart squeaks.')
    self.left -= 1
    return self.observation_space.sample(), 1.0, False, self.left == 0, {}

settings = dict(root_dir=sys.argv[1], preset=['gym', 'debug'], save_every=40,
                eval_every=50)
for eager, steps in (False, 80), (True, 90), (False, 90):
  run = dreamerv2_tfa.train(Cart(), steps=steps, eager=eager, **settings)
policy = run.policy()
policy.act({'image': numpy.zeros((64, 64, 3), numpy.uint8),
            'speed': numpy.zeros(2, numpy.float32)})
dreamerv2_tfa.load_agent(sys.argv[1])
'''


def _lines(arguments, cwd):
  """What a process prints to its end; nobody has set how it shall log."""
  environ = {**os.environ, 'PYTHONPATH': str(_ROOT)}
  for name in ('TF_CPP_MIN_LOG_LEVEL', 'PYTHONWARNINGS'):
    environ.pop(name, None)
  process = subprocess.run(
      [sys.executable, *map(str, arguments)], cwd=cwd, env=environ, text=True,
      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600,
      check=False)
  assert process.returncode == 0, process.stdout[-3000:]
  return process.stdout.splitlines()


def _foreign(lines):
  return [x for x in lines if not any(re.fullmatch(y, x) for y in _OURS)]


@pytest.mark.slow
@pytest.mark.parametrize('example', ['custom_env', 'minigrid'])
def test_an_example_prints_its_own_lines_alone(example, tmp_path):
  lines = _lines(
      [_ROOT / 'examples' / f'{example}.py', tmp_path / 'run', 'debug'],
      tmp_path)
  assert _foreign(lines) == []
  assert lines[0] == f'Run folder: {tmp_path}/run' and len(lines) < 25


@pytest.mark.slow
def test_what_is_called_from_python_prints_its_own_lines_alone(tmp_path):
  lines = _lines(['-c', _TRAIN, tmp_path / 'run'], tmp_path)
  # The environment's own warning is heard, as Python warns: once in a while.
  own = [x for x in _foreign(lines) if 'The cart squeaks.' in x]
  assert own and set(own) == set(_foreign(lines))
  assert lines.count('Done: 80 frames, 3 updates.') == 1
  assert len([x for x in lines if 'is finished' in x]) == 1


def test_a_foreign_line_would_be_found():
  assert _foreign(['Done: 8 frames, 3 updates.', 'WARNING:absl:x']) == [
      'WARNING:absl:x']


def _record(level, path, name='absl'):
  return logging.LogRecord(name, level, path, 1, 'text', (), None)


_SITE = '/home/me/.venv/lib/python3.11/site-packages'


@pytest.mark.parametrize('path, level, shown', [
    (f'{_SITE}/tensorflow/python/util/deprecation.py', logging.WARNING, False),
    (f'{_SITE}/tf_agents/policies/policy_saver.py', logging.INFO, False),
    (f'{_SITE}/tensorflow/python/util/deprecation.py', logging.ERROR, True),
    (f'{_SITE}/dm_control/mujoco/engine.py', logging.WARNING, True),
    ('/home/me/tensorflow/cart.py', logging.WARNING, True),
    ('/usr/lib/python3/dist-packages/keras/layers.py', logging.WARNING, False),
])
@pytest.mark.parametrize('name', ['absl', 'tensorflow'])
def test_a_log_line_is_hidden_by_where_it_comes_from(name, path, level, shown):
  log = logging.getLogger(name)
  record = _record(level, path, name)
  with quiet.libraries():
    assert bool(log.filter(record)) == shown
  assert log.filter(record)


def _warn(module):
  """A warning out of a module of this name."""
  code = compile('import warnings\nwarnings.warn("text")', 'file', 'exec')
  exec(code, types.ModuleType(module).__dict__)  # pylint: disable=exec-used


@pytest.mark.parametrize('module, shown', [
    ('tensorflow.python.data', False), ('tensorflow_probability.x', False),
    ('tf_agents.policies', False), ('keras', False),
    ('kerastuner', True), ('cart', True), ('gymnasium.core', True),
    ('dreamerv2_tfa.deployment.client', True),
])
def test_a_warning_is_hidden_by_the_module_it_comes_from(module, shown):
  with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter('always')
    with quiet.libraries():
      _warn(module)
    assert bool(heard) == shown
    heard.clear()
    _warn(module)
    assert heard  # put back


def test_gyms_notice_is_put_back_also_after_an_error(monkeypatch):
  monkeypatch.setattr(notices, 'notices', {'0.26.2': 'Gym is unmaintained.'})
  with pytest.raises(KeyError), quiet.libraries():
    assert not notices.notices
    raise KeyError
  assert notices.notices == {'0.26.2': 'Gym is unmaintained.'}


@pytest.mark.parametrize('said, wanted', [(None, '3'), ('0', '0')])
def test_tensorflows_own_log_is_off_where_nobody_said_otherwise(said, wanted):
  environ = {key: value for key, value in os.environ.items()
             if key != 'TF_CPP_MIN_LOG_LEVEL'}
  if said:
    environ['TF_CPP_MIN_LOG_LEVEL'] = said
  script = ('import os, sys, dreamerv2_tfa; assert "tensorflow" not in '
            'sys.modules; print(os.environ["TF_CPP_MIN_LOG_LEVEL"])')
  process = subprocess.run(
      [sys.executable, '-c', script], cwd=_ROOT, env=environ, check=True,
      capture_output=True, text=True)
  assert process.stdout == wanted + '\n'
