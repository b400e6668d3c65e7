"""Tests of whole runs: what they write, count, refuse, and go on from."""

import contextlib
import hashlib
import io
import json
import math
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from typing import NamedTuple

import gin
import numpy as np
import pytest
import stored
import tensorflow as tf
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa import checks
from dreamerv2_tfa import devices
from dreamerv2_tfa.deployment import export
from dreamerv2_tfa.environments import catch
from dreamerv2_tfa.environments import tasks
from dreamerv2_tfa.experience import collection
from dreamerv2_tfa.experience import replay
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import metrics
from dreamerv2_tfa.training import pace
from dreamerv2_tfa.training import policies
from dreamerv2_tfa.training import reporter as reporter_lib
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import train
from dreamerv2_tfa.training import trainer as trainer_lib

# Whole runs: their shared agents take longer than all the quick tests should.
pytestmark = pytest.mark.slow

_ROOT = pathlib.Path(__file__).resolve().parents[2]
# 60 random steps, then 3 updates, then one every 7 steps.
_TINY = (
    'RSSM.deter = 8', 'RSSM.hidden = 8', 'RSSM.stoch = 3', 'RSSM.classes = 4',
    'Encoder.depth = 2', 'Decoder.depth = 2', 'MLP.layers = 1', 'MLP.units = 8',
    'ActorCritic.horizon = 3', "train.task = 'catch'", "train.precision = '32'",
    'train.steps = 130', 'train.prefill = 60', 'train.pretrain = 2',
    'train.steps_per_update = 7', 'train.batch_size = 2',
    'train.sequence_length = 5', 'train.replay_capacity = 1000',
    'train.log_every = 40', 'train.eval_every = 50', 'train.eval_episodes = 2',
    'train.save_every = 50',
)
# For sessions of a few updates, which take less time than tracing one.
_EAGER = ('train.eager = True', 'train.eval_episodes = 1',
          'train.log_every = 7')
_NAMES = (  # of the published package, which reports them all in one line
    'image_loss', 'kl_loss', 'reward_loss', 'discount_loss', 'model_loss',
    'model_kl', 'prior_ent', 'post_ent', 'actor_loss', 'actor_ent',
    'critic_loss', 'critic_target', 'model_grad_norm', 'actor_grad_norm',
    'critic_grad_norm', 'fps', 'train_return', 'train_length',
)


_NEXT = replay.Samples.next
_CATCH = catch.load


class Run(NamedTuple):
  """What one session of a run left behind."""

  root: pathlib.Path
  output: str  # of the terminal
  at_start: dict  # see _facts
  at_end: dict
  error: Exception  # or None

  def metrics(self):
    lines = (self.root / 'metrics.jsonl').read_text().splitlines()
    return [json.loads(line) for line in lines]


def _facts(trainer):
  """What a trainer has: counters, weights, slots, and who is who."""
  parts = trainer._parts
  agent = parts.agent
  optimizers = (
      agent._model_optimizer, agent._actor_optimizer, agent._critic_optimizer
  )
  return {
      'steps': trainer.steps, 'frames': trainer.frames,
      'updates': trainer.updates,
      'iterations': [int(optimizer.iterations) for optimizer in optimizers],
      'slots': [v.numpy() for o in optimizers for v in o._adam.variables()],
      'weights': [
          v.numpy()
          for v in agent.world_model.variables + agent.actor_critic.variables
      ],
      'policy': [v.numpy() for v in agent.policy.variables()],
      'rows': int(trainer.commit.store._buffer.added),
      'plays greedily': trainer._evaluation._policy is agent.policy,
      'evaluates apart': (
          trainer._evaluation._environment is parts.evaluation_environment
          and parts.evaluation_environment is not parts.environment
      ),
  }


def _run(root, *bindings, files=(), patches=(), error=None):
  """One session of a run; leaves gin and TensorFlow as they were."""
  facts, output = {}, io.StringIO()
  begin = reporter_lib.Reporter.begin
  close = reporter_lib.Reporter.close

  def noted_begin(reporter):
    facts['start'] = _facts(reporter._trainer)
    begin(reporter)

  def noted_close(reporter):
    facts['end'] = _facts(reporter._trainer)
    close(reporter)

  gin.clear_config()
  config.register()
  gin.parse_config_files_and_bindings(list(map(str, files)), list(bindings))
  caught = contextlib.nullcontext()
  if error is not None:
    caught = pytest.raises(error)
  try:
    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(reporter_lib.Reporter, 'begin', noted_begin)
      patch.setattr(reporter_lib.Reporter, 'close', noted_close)
      for target, name, value in patches:
        patch.setattr(target, name, value)
      with contextlib.redirect_stdout(output), caught as raised:
        train.train(root)
  finally:
    gin.clear_config()
    tf.config.run_functions_eagerly(False)
    tf.keras.mixed_precision.set_global_policy('float32')
  return Run(
      pathlib.Path(root), output.getvalue(), facts.get('start'),
      facts.get('end'), raised.value if error else None,
  )


def _interrupted(method, calls):
  """Patches a method of `Collector` to end in Ctrl-C after some calls."""
  original = getattr(collection.Collector, method)
  count = []

  def run(*args):
    original(*args)
    count.append(None)
    if len(count) == calls:
      signal.raise_signal(signal.SIGINT)

  return collection.Collector, method, run


def _poisoned(samples):
  """A batch as `Samples.next` draws it, with rewards that are not finite."""
  trajectory = _NEXT(samples)
  return trajectory._replace(reward=trajectory.reward * math.nan)


def _copy(run, tmp_path_factory):
  root = tmp_path_factory.mktemp('copy') / 'run'
  shutil.copytree(run.root, root)
  return root


def _digests(root):
  return {
      str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
      for path in sorted(root.rglob('*')) if path.is_file()
  }


@pytest.fixture(scope='module')
def first(tmp_path_factory):
  """A run from nothing to its end: 130 steps."""
  return _run(tmp_path_factory.mktemp('first') / 'deep' / 'run', *_TINY)


@pytest.fixture(scope='module')
def stopped(first, tmp_path_factory):
  """The run again, from its own settings, with more steps; Ctrl-C at 137."""
  root = _copy(first, tmp_path_factory)
  return _run(
      root, 'train.steps = 158', files=[root / 'operative_config.gin'],
      patches=[_interrupted('collect', calls=1)],
  )


@pytest.fixture(scope='module')
def broken(stopped, tmp_path_factory):
  """The stopped run again, with rewards that are not finite."""
  return _run(
      _copy(stopped, tmp_path_factory), *_TINY, *_EAGER, 'train.steps = 158',
      patches=[(replay.Samples, 'next', _poisoned)], error=FloatingPointError,
  )


@pytest.fixture(scope='module')
def finished(broken, tmp_path_factory):
  """The run that broke again, to its 158 steps."""
  return _run(
      _copy(broken, tmp_path_factory), *_TINY, *_EAGER, 'train.steps = 158'
  )


@pytest.fixture(scope='module')
def stopped_early(tmp_path_factory):
  """A run with Ctrl-C in the middle of its prefill."""
  return _run(
      tmp_path_factory.mktemp('early') / 'run', *_TINY,
      patches=[(trainer_lib, '_PREFILL_SLICE', 25),
               (pace, '_FEW', 25),  # at the first slice
               _interrupted('prefill', calls=1)],
  )


# A run's folder ---------------------------------------------------------------


@pytest.mark.parametrize('pattern', [
    'operative_config.gin', 'protocol.json', 'metrics.jsonl',
    'train/events.out.tfevents.*', 'eval/events.out.tfevents.*',
    'checkpoints/checkpoint', 'checkpoints/ckpt-130.index', 'replay/*.tfrecord',
    'policies/greedy/saved_model.pb', 'policies/collect/saved_model.pb',
])
def test_the_folder_holds(first, pattern):
  assert list(first.root.glob(pattern))


def test_the_folder_holds_nothing_half_made(first):
  assert not list(first.root.rglob('*.new')) + list(first.root.rglob('*.part'))
  assert not list(first.root.rglob('*temp*'))


def test_the_protocol_says_what_the_run_was(first):
  protocol = json.loads((first.root / 'protocol.json').read_text())
  wanted = {'task': 'catch', 'action_repeat': 1, 'seed': 0,
            'precision': 'float32', 'presets': []}
  assert {key: protocol[key] for key in wanted} == wanted
  assert protocol['versions']['tensorflow'] == tf.__version__
  assert set(protocol['parameters']) == {'world_model', 'actor', 'critic'}


def test_the_settings_of_the_run_are_in_its_folder(first):
  text = (first.root / 'operative_config.gin').read_text()
  assert 'RSSM.deter = 8\n' in text and 'train.steps = 130\n' in text


# Metrics ----------------------------------------------------------------------


def test_every_line_of_the_metrics_has_its_step_in_frames(first):
  # Slices of 7 steps after 60: the first past 40, 100 and 120 are at
  # 81, 102 and 123; the last step is reported and evaluated too.
  steps = [line['step'] for line in first.metrics()]
  assert steps == [81, 102, 123, 130, 130]


@pytest.mark.parametrize('name', _NAMES)
def test_reports_have_the_published_name(first, name):
  reports = [line for line in first.metrics() if 'eval_return' not in line]
  assert all(math.isfinite(line[name]) for line in reports)


def test_evaluations_are_lines_of_their_own(first):
  evaluations = [line for line in first.metrics() if 'eval_return' in line]
  assert [line['step'] for line in evaluations] == [102, 130]
  assert all(
      set(line) == {'step', 'eval_return', 'eval_length'}
      for line in evaluations
  )


def test_the_returns_are_those_of_the_game(first):
  # Two episodes of five balls: a mean of odd numbers from -5 to 5.
  returns = [m['eval_return'] for m in first.metrics() if 'eval_return' in m]
  assert all(value in range(-5, 6) for value in returns)
  report = [line for line in first.metrics() if 'train_return' in line][0]
  assert report['train_return'] in (-5, -3, -1, 1, 3, 5)


def test_an_episode_of_catch_has_45_steps(first):
  lengths = [
      line[name] for line in first.metrics()
      for name in ('train_length', 'eval_length') if name in line
  ]
  assert lengths == [45] * 5


# The schedule -----------------------------------------------------------------


def test_a_run_takes_exactly_the_steps_asked_for(first):
  assert first.at_end['steps'] == 130


def test_updates_follow_the_schedule(first):
  assert first.at_end['updates'] == 1 + 2 + (130 - 60) // 7


def test_each_optimizer_steps_once_an_update(first):
  assert first.at_end['iterations'] == [13, 13, 13]


def test_replay_holds_every_step_and_the_rows_between_episodes(first):
  # Episodes end after steps 45 and 90.
  assert len(stored.columns(first.root)[0]) == 130 + 2


def test_reports_count_the_updates(first):
  reports = [line for line in first.metrics() if 'updates' in line]
  assert [line['updates'] for line in reports] == [6, 12, 13]


def test_evaluation_plays_the_greedy_policy(first):
  assert first.at_end['plays greedily']


def test_evaluation_has_an_environment_of_its_own(first):
  assert first.at_end['evaluates apart']


# Resuming ---------------------------------------------------------------------


def test_a_new_run_starts_at_nothing(first):
  start = first.at_start
  assert (start['steps'], start['updates'], start['rows']) == (0, 0, 0)


def test_a_resumed_run_starts_with_the_counters_of_the_last(first, stopped):
  start = stopped.at_start
  assert (start['steps'], start['updates']) == (130, 13)
  assert 'Resumed at 130 frames, 13 updates, 132 stored rows.' in stopped.output


def test_a_resumed_run_starts_with_the_weights_of_the_last(first, stopped):
  pairs = zip(first.at_end['weights'], stopped.at_start['weights'], strict=True)
  assert all(np.array_equal(saved, restored) for saved, restored in pairs)


def test_a_resumed_run_starts_with_the_moments_of_the_last(first, stopped):
  pairs = zip(first.at_end['slots'], stopped.at_start['slots'], strict=True)
  assert all(np.array_equal(saved, restored) for saved, restored in pairs)


def test_a_resumed_run_starts_with_the_rows_of_the_last(stopped):
  assert stopped.at_start['rows'] == 132


def test_a_resumed_run_keeps_stored_rows_as_they_were(first, stopped):
  before, after = stored.columns(first.root), stored.columns(stopped.root)
  assert len(after[0]) == 132 + 7 + 1  # an episode ends at step 135
  for old, new in zip(before, after, strict=True):
    np.testing.assert_array_equal(old, new[:132])


def test_a_resumed_run_continues_its_episode(stopped):
  # Step 130 left the third episode in its middle; it ends at its 45th step.
  types = stored.columns(stopped.root)[0][:, 0]
  assert types[131:].tolist() == [ts.StepType.MID] * 6 + [
      ts.StepType.LAST, ts.StepType.FIRST, ts.StepType.MID]


def test_the_optimizers_of_a_resumed_run_go_on(finished):
  assert finished.at_end['iterations'] == [1 + 2 + (158 - 60) // 7] * 3


def test_a_resumed_run_adds_to_the_metrics(first, finished):
  lines = first.metrics()
  assert finished.metrics()[:len(lines)] == lines
  assert finished.metrics()[-1]['step'] == 158


def test_steps_of_the_metrics_do_not_go_backwards_over_sessions(finished):
  steps = [line['step'] for line in finished.metrics()]
  assert steps == sorted(steps)


def test_a_saved_configuration_is_the_configuration(first, stopped):
  # `stopped` read it, with one binding over it, and wrote it anew.
  read = lambda run: (run.root / 'operative_config.gin').read_text()
  wanted = read(first).replace('train.steps = 130', 'train.steps = 158')
  assert read(stopped) == wanted


def test_another_configuration_is_refused_in_one_message(
    first, tmp_path_factory):
  refused = _run(
      _copy(first, tmp_path_factory), *_TINY, 'RSSM.deter = 9', error=ValueError
  )
  message = str(refused.error).partition('\n  In call to configurable')[0]
  assert 'does not fit this configuration' in message
  assert 'operative_config.gin' in message and '\n' not in message


def test_a_folder_of_another_configuration_stays_as_it_was(
    first, tmp_path_factory):
  root = _copy(first, tmp_path_factory)
  before = _digests(root)
  _run(root, *_TINY, 'RSSM.stoch = 2', error=ValueError)
  assert _digests(root) == before


def test_the_folder_of_another_task_is_refused(first, tmp_path_factory):
  other = lambda name: _CATCH()._replace(name='atari_' + name)
  _run(
      _copy(first, tmp_path_factory), *_TINY, error=ValueError,
      patches=[(tasks, 'load', other),
               (train, '_loop', lambda *unused: None)],
  )


def test_a_saved_configuration_has_no_line_that_is_read_by_nothing(stopped):
  assert 'nothing here reads' not in stopped.output


# Stopping ---------------------------------------------------------------------


def test_ctrl_c_ends_the_run_at_once(stopped):
  # After the first slice of 7 steps; the update that was due waits.
  assert (stopped.at_end['steps'], stopped.at_end['updates']) == (137, 13)


def test_ctrl_c_saves(stopped):
  assert runs.RunFolder(stopped.root).saved_steps() == 137
  assert len(stored.columns(stopped.root)[0]) == 132 + 7 + 1


def test_ctrl_c_leaves_a_message(stopped):
  assert stopped.output.rstrip().endswith(
      'Stopped and saved at 137 frames. The same command resumes from here.'
  )


def test_a_stopped_run_goes_on_to_its_end(finished):
  assert finished.at_start['steps'] == 137
  assert finished.at_end['steps'] == 158
  assert 'Done: 158 frames, 17 updates.' in finished.output


def test_ctrl_c_during_prefill_saves(stopped_early):
  assert stopped_early.at_end['steps'] == 25
  assert stopped_early.at_end['updates'] == 0
  assert runs.RunFolder(stopped_early.root).saved_steps() == 25


def test_prefill_goes_on_where_it_was_stopped(stopped_early, tmp_path_factory):
  again = _run(
      _copy(stopped_early, tmp_path_factory), *_TINY,
      patches=[(trainer_lib, '_PREFILL_SLICE', 20),
               (pace, '_FEW', 20),  # at the first slice
               _interrupted('prefill', calls=1)],
  )
  assert (again.at_start['steps'], again.at_start['rows']) == (25, 25)
  assert again.at_end['steps'] == 45


# Numbers that are not finite --------------------------------------------------


def test_an_update_that_is_not_finite_says_which_losses(broken):
  text = str(broken.error)
  assert 'Update 14 is not finite' in text and 'reward_loss' in text
  assert str(broken.root / 'crash') in text


def test_a_loss_that_is_not_finite_leaves_the_checkpoint_alone(broken):
  assert runs.RunFolder(broken.root).saved_steps() == 137


def test_a_run_that_broke_can_be_resumed(broken, finished):
  assert finished.at_start['updates'] == 13
  reports = [line for line in finished.metrics() if 'model_loss' in line]
  assert all(math.isfinite(line['model_loss']) for line in reports)


def test_a_loss_after_the_last_report_that_is_not_finite_ends_the_run_too(
    stopped, tmp_path_factory):
  nothing = lambda *unused: None
  _run(
      _copy(stopped, tmp_path_factory), *_TINY, 'train.eager = True',
      'train.steps = 144', 'train.log_every = 1000', error=FloatingPointError,
      patches=[(replay.Samples, 'next', _poisoned),
               (trainer_lib.Trainer, 'evaluate', nothing),
               (trainer_lib.Trainer, 'export', nothing)],
  )


# Policies that leave the house ------------------------------------------------


@pytest.mark.parametrize('name', ['greedy', 'collect'])
def test_an_exported_policy_acts(first, name):
  policy = tf.saved_model.load(str(first.root / 'policies' / name))
  images = tf.fill([3, 64, 64, 1], tf.constant(64, tf.uint8))
  state = policy.get_initial_state(batch_size=3)
  action, state, _ = policy.action(ts.restart({'image': images}, 3), state)
  assert action.dtype == tf.int32 and action.shape == [3]
  assert all(value in (0, 1, 2) for value in action.numpy())
  np.testing.assert_array_equal(state.action, np.eye(3)[action.numpy()])


def test_an_exported_policy_has_the_last_weights(first):
  policy = tf.saved_model.load(str(first.root / 'policies' / 'greedy'))
  assert int(policy.get_train_step()) == 13
  exported = [v.numpy() for v in policy.model_variables]
  for weights in first.at_end['policy'][:-1]:  # the last one is random state
    assert any(np.array_equal(weights, value) for value in exported)


def test_an_evaluation_at_the_last_step_exports_once(tmp_path):
  exported = []
  run = _run(
      tmp_path / 'run', *_TINY, *_EAGER, 'train.steps = 100', patches=[(
          policies.Policies, 'save', lambda self, steps: exported.append(steps))
      ])
  assert [line['step'] for line in run.metrics() if 'eval_return' in line] == [
      100]
  assert exported == [100]


# Nothing written --------------------------------------------------------------


def test_a_dry_run_writes_nothing(tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  gin.parse_config(_TINY)
  try:
    train.describe('run')
  finally:
    gin.clear_config()
  assert not list(tmp_path.iterdir())
  assert 'Parameters: world model' in capsys.readouterr().out


def test_a_gpu_that_is_not_used_is_said_before_the_run_begins(
    tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(devices, 'unused_gpu', lambda: 'There is a GPU.')
  gin.parse_config(_TINY)
  try:
    train.describe(tmp_path / 'run')
  finally:
    gin.clear_config()
  assert '\nNote: There is a GPU.\n' in capsys.readouterr().out


def test_a_dry_run_leaves_a_run_as_it_was(first, tmp_path_factory):
  root = _copy(first, tmp_path_factory)
  before = _digests(root)
  gin.parse_config(_TINY)
  try:
    train.describe(root)
  finally:
    gin.clear_config()
  assert _digests(root) == before


def test_the_checkpoint_of_another_run_is_refused_at_each_door(
    first, tmp_path_factory):
  root = _copy(first, tmp_path_factory)
  latest = max((root / 'checkpoints').glob('ckpt-*.index'),
               key=lambda path: path.stat().st_mtime_ns)
  for path in latest.parent.glob(f'{latest.stem}.*'):
    shutil.copy(path, path.with_name(f'ckpt-5000{path.suffix}'))
  before = _digests(root)
  for act in (
      lambda: runs.load(root),
      lambda: export.export(root, root.with_name('out')),
      lambda: _run(root, 'train.steps = 6000')):
    with pytest.raises(checks.UserError, match='ckpt-5000.index is not that'):
      act()
  assert _digests(root) == before


def test_an_agent_that_memory_does_not_suffice_for_is_refused(tmp_path):
  _run(tmp_path / 'run', *_TINY, 'RSSM.deter = 1000000000', error=ValueError)
  assert not list(tmp_path.iterdir())


def test_a_run_that_is_refused_makes_no_folder(tmp_path):
  _run(tmp_path / 'run', *_TINY, 'train.prefill = 5', error=ValueError)
  assert not list(tmp_path.iterdir())


# Slow -------------------------------------------------------------------------


@pytest.fixture(scope='module')
def atari(tmp_path_factory):
  """Pong as the debug overlay plays it: 120 steps, line by line."""
  gin.add_config_file_search_path(str(_ROOT / 'gin'))
  return _run(
      tmp_path_factory.mktemp('atari') / 'run', 'load_atari.max_steps = 30',
      files=[_ROOT / 'gin' / 'atari.gin', _ROOT / 'gin' / 'debug.gin'],
  )


@pytest.mark.slow
def test_atari_counts_four_frames_a_step(atari):
  assert (atari.at_end['steps'], atari.at_end['frames']) == (120, 480)
  assert atari.metrics()[-1]['step'] == 480


@pytest.mark.slow
def test_the_length_of_an_atari_episode_is_in_agent_steps(atari):
  lengths = [m['eval_length'] for m in atari.metrics() if 'eval_length' in m]
  assert lengths and set(lengths) == {30}


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path):
  root = tmp_path / 'run'
  bindings = _TINY + ('train.steps = 1e6', 'train.save_every = 20')
  process = subprocess.Popen(
      [sys.executable, '-m', 'dreamerv2_tfa.commands.train',
       f'--root_dir={root}',
       *(f'--gin_bindings={binding}' for binding in bindings)],
      cwd=_ROOT, env={**os.environ, 'PYTHONPATH': str(_ROOT)},
      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
  )
  try:
    ends = time.monotonic() + 120
    while runs.RunFolder(root).saved_steps() < 150 and time.monotonic() < ends:
      assert process.poll() is None, process.stderr.read()
      time.sleep(0.05)
  finally:
    process.kill()  # SIGKILL
    process.communicate()
  saved = runs.RunFolder(root).saved_steps()
  assert saved >= 150
  again = _run(root, *_TINY, f'train.steps = {saved + 21}')
  updates = lambda steps: 1 + 2 + (steps - 60) // 7
  assert again.at_start['steps'] == saved
  assert again.at_start['updates'] == updates(saved)
  assert again.at_start['rows'] >= saved
  assert again.at_end['updates'] == updates(saved + 21)
  steps = [line['step'] for line in metrics.read(root / 'metrics.jsonl')]
  assert steps == sorted(steps)


# Several environments ---------------------------------------------------------


def test_several_environments_fill_replay_side_by_side_and_go_on(
    tmp_path_factory):
  root = tmp_path_factory.mktemp('several') / 'run'
  many = (*_TINY, *_EAGER, 'train.environments = 3', 'train.steps = 100')
  one = _run(root, *many)
  # Slices of 7 steps are 9 of three rows, or fewer where an episode ends.
  assert one.at_end['steps'] >= 100
  assert one.at_end['updates'] == 3 + (one.at_end['steps'] - 60) // 7
  assert stored.columns(root)[0].shape[1] == 3
  two = _run(root, *many, 'train.steps = 121')
  assert two.at_start['rows'] == one.at_end['rows']
  assert two.at_start['steps'] == one.at_end['steps']
  assert two.at_end['updates'] == 3 + (two.at_end['steps'] - 60) // 7
  error = _run(root, *many, 'train.environments = 2', error=ValueError).error
  assert 'environments' in str(error) or 'does not fit' in str(error)
