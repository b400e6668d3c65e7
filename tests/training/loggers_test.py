"""Loggers: what each has written, read back by its own reader."""

import csv
import json
import math
import os
import pathlib
import re
import struct
import sys
import time
import types

import disturbed
import gin
import numpy as np
import pytest
from tensorboard import context as tensorboard_context
from tensorboard.backend.event_processing import data_provider
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.backend.event_processing import plugin_event_multiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import backend_context
from tensorboard.plugins.hparams import list_session_groups
from tensorboard.plugins.hparams import plugin_data_pb2
import tensorflow as tf

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import extras
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import loggers
from dreamerv2_tfa.training import run_settings
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import settings as settings_lib
from dreamerv2_tfa.training import summary
from dreamerv2_tfa.training.loggers import described
from dreamerv2_tfa.training.loggers import group
from dreamerv2_tfa.training.loggers import layout
from dreamerv2_tfa.training.loggers import logger
from dreamerv2_tfa.training.loggers import mlflow as mlflow_lib
from dreamerv2_tfa.training.loggers import remote_runs

_FILM = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4, 1)
_VALUES = {'train.batch_size': 3, 'RSSM.activation': 'elu',
           'train.eager': False, 'WorldModel.kl_scale': 0.1}


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
  """No setting of this machine's user, and no network."""
  for name in [*os.environ]:
    if name.startswith(('WANDB_', 'MLFLOW_')):
      monkeypatch.delenv(name)
  monkeypatch.setenv('WANDB_MODE', 'offline')
  monkeypatch.setenv('WANDB_SILENT', 'true')
  monkeypatch.setenv('WANDB_CONFIG_DIR', str(tmp_path / 'wandb_config'))
  monkeypatch.setenv('WANDB_CACHE_DIR', str(tmp_path / 'wandb_cache'))


def _open(root, *names, step=0, reported=None, evaluated=None, tell=print):
  root.mkdir(exist_ok=True)
  known = [step if x is None else x for x in (reported, evaluated)]
  return group.Group(
      loggers.load(('jsonl', *names)),
      logger.Start(runs.RunFolder(root), step, *known), tell)


def _session(root, *names, step=0):
  """A session of a run: a report and an evaluation, and all else."""
  opened = _open(root, *names, step=step)
  if not step:
    opened.text('protocol', '```\n{"seed": 3}```\n')
    opened.hparams(_VALUES)
  opened.write(step + 40, {'model_loss': 3.5, 'actor_ent': math.nan})
  opened.histograms(step + 40, {'weights': np.float32([1, 2, math.inf, 3])})
  opened.write(step + 50, {'eval_return': -1.25, 'diagnostics/bias': 0.5})
  opened.film(step + 50, {'open_loop/image': _FILM})
  opened.histograms(step + 50, {'diagnostics/values': np.float32([4, 6])})
  opened.sync()
  opened.close()


# TensorBoard ------------------------------------------------------------------


@pytest.fixture(scope='module')
def events(tmp_path_factory):
  root = tmp_path_factory.mktemp('events') / 'run'
  _session(root, 'tensorboard')
  found = {}
  for name in ('train', 'eval'):
    found[name] = event_accumulator.EventAccumulator(str(root / name))
    found[name].Reload()
  return found


def _tags(events, plugin):
  return {
      tag for tag, each in events.summary_metadata.items()
      if each.plugin_data.plugin_name == plugin}


def test_all_of_an_evaluation_is_in_the_events_of_evaluations(events):
  assert _tags(events['train'], 'scalars') == {'model_loss', 'actor_ent'}
  assert _tags(events['eval'], 'scalars') == {'eval_return', 'diagnostics/bias'}
  assert _tags(events['train'], 'histograms') == {'weights'}
  assert _tags(events['eval'], 'histograms') == {'diagnostics/values'}
  assert _tags(events['eval'], 'images') == {'open_loop/image'}


def test_a_histogram_counts_the_finite_numbers(events):
  found, = events['train'].Tensors('weights')
  assert found.step == 40
  assert tf.make_ndarray(found.tensor_proto)[:, 2].sum() == 3


def test_a_text_is_there_when_a_run_begins(events):
  found, = events['train'].Tensors('protocol')
  assert tf.make_ndarray(found.tensor_proto) == b'```\n{"seed": 3}```\n'
  assert _tags(events['train'], 'text') == {'protocol'}


def test_a_text_that_a_session_before_has_told_is_not_written_again(tmp_path):
  folder = runs.RunFolder(tmp_path / 'run')
  for text in ('{1}\n', '{1}\n', '{2}\n'):
    opened = _open(folder.root, 'tensorboard')
    folder.protocol.write_text(text)
    for name, markdown in described.texts(folder).items():
      opened.text(name, markdown)
    opened.close()
  found = []
  for path in sorted((folder.root / 'train').iterdir()):
    for event in tf.compat.v1.train.summary_iterator(str(path)):
      found += [tf.make_ndarray(value.tensor).item()
                for value in event.summary.value if value.tag == 'protocol']
  assert sorted(found) == [b'```\n{1}\n```\n', b'```\n{2}\n```\n']


def test_settings_are_those_of_the_session_that_hparams_shows(events):
  tag, = _tags(events['eval'], 'hparams')
  content = events['eval'].summary_metadata[tag].plugin_data.content
  data = plugin_data_pb2.HParamsPluginData.FromString(content)
  found = data.session_start_info.hparams
  assert found['train.batch_size'].number_value == 3
  assert found['RSSM.activation'].string_value == 'elu'
  assert found['train.eager'].HasField('bool_value')


def test_two_runs_of_a_sweep_compare_by_their_evaluations(tmp_path):
  for scale in (0.1, 1.0):
    opened = _open(tmp_path / f'run_{scale}', 'tensorboard')
    opened.hparams({**_VALUES, 'WorldModel.kl_scale': scale})
    opened.write(40, {'eval_return': 10 * scale})
    opened.close()
  events = plugin_event_multiplexer.EventMultiplexer()
  events.AddRunsFromDirectory(str(tmp_path))
  events.Reload()
  provider = data_provider.MultiplexerDataProvider(events, str(tmp_path))
  context = base_plugin.TBContext(data_provider=provider)
  hparams = backend_context.Context(context)
  asked = api_pb2.ListSessionGroupsRequest(
      start_index=0, slice_size=10, allowed_statuses=[0, 1, 2, 3],
      col_params=[api_pb2.ColParams(metric=api_pb2.MetricName(
          tag='eval_return', group=''))])
  handler = list_session_groups.Handler(
      tensorboard_context.RequestContext(), hparams, '', asked)
  found = {
      each.hparams['WorldModel.kl_scale'].number_value:
      each.metric_values[0].value for each in handler.run().session_groups}
  assert found == pytest.approx({0.1: 1.0, 1.0: 10.0})


def test_charts_are_grouped_once_and_each_metric_is_in_one(tmp_path):
  for step in (0, 80):
    _session(tmp_path / 'run', 'tensorboard', step=step)
  events = event_accumulator.EventAccumulator(str(tmp_path / 'run' / 'train'))
  events.Reload()
  tag, = _tags(events, 'custom_scalars')
  found, = events.Tensors(tag)
  groups = layout_pb2.Layout.FromString(
      tf.make_ndarray(found.tensor_proto).item())
  charts = [pattern for group in groups.category for chart in group.chart
            for pattern in chart.multiline.tag]
  shown = lambda name: sum(bool(re.match(each, name)) for each in charts)
  names = (
      'train_return', 'train_length', 'eval_return', 'eval_length', 'kl_loss',
      'image_loss', 'reward_loss', 'model_loss', 'model_kl', 'prior_ent',
      'post_ent', 'reward_mean', 'reward_normed_std', 'actor_ent',
      'actor_ent_scale', 'actor_loss', 'critic_loss', 'critic', 'critic_slow',
      'critic_target', 'model_grad_norm', 'actor_grad_norm', 'fps', 'updates',
      'critic_grad_norm', 'expl_actor_loss', 'expl_critic', 'eval_cut',
      'achievement_collect_coal', 'crafter_score', 'skipped_updates',
      'env_restarts', 'observation/kl_loss')
  assert {name: shown(name) for name in names} == dict.fromkeys(names, 1)


# CSV --------------------------------------------------------------------------


def _table(root):
  with (root / 'metrics.csv').open() as file:
    return [(int(row['step']), row['kind'], row['name'], float(row['value']))
            for row in csv.DictReader(file)]


def test_a_table_has_a_number_a_line_and_any_metric(tmp_path):
  _session(tmp_path / 'run', 'csv')
  rows = _table(tmp_path / 'run')
  assert rows[0] == (40, 'train', 'model_loss', 3.5)
  assert math.isnan(rows[1][3])
  assert rows[2:] == [
      (50, 'eval', 'eval_return', -1.25), (50, 'eval', 'diagnostics/bias', 0.5)]


def test_a_table_of_a_killed_run_has_what_the_resume_knows(tmp_path):
  root = tmp_path / 'run'
  opened = _open(root, 'csv')
  for step in (40, 80, 120):
    opened.write(step, {'loss': 1.0})
    opened.write(step, {'eval_return': 2.0})
  opened.close()
  with (root / 'metrics.csv').open('a') as file:
    file.write('120,train,lo')
  opened = _open(root, 'csv', step=80, reported=80, evaluated=40)
  opened.write(80, {'eval_return': 3.0})
  opened.close()
  assert [(step, kind, value) for step, kind, _, value in _table(root)] == [
      (40, 'train', 1.0), (40, 'eval', 2.0), (80, 'train', 1.0),
      (80, 'eval', 3.0)]


def test_a_name_with_commas_quotes_and_line_ends_is_one_row(tmp_path):
  root, name = tmp_path / 'run', 'a,"b"\nc\r\x85d_loss'
  for step in (0, 40):
    opened = _open(root, 'csv', step=step)
    opened.write(step + 40, {name: 1.0})
    opened.close()
  assert [row[2] for row in _table(root)] == ['a,"b" c  d_loss'] * 2


def test_a_damaged_line_of_a_table_is_refused_and_stays(tmp_path):
  root = tmp_path / 'run'
  _session(root, 'csv')
  path = root / 'metrics.csv'
  text = path.read_text().replace('50,eval,eval_return', 'fifty,eval,x')
  path.write_text(text)
  with pytest.raises(ValueError, match='Line 4 of .*Repair or remove'):
    _open(root, 'csv', step=80)
  assert path.read_text() == text


# W&B --------------------------------------------------------------------------


def _records(path):
  """The records of a file of W&B: LevelDB's log, after seven bytes."""
  data, place, part = path.read_bytes(), 7, b''
  while place + 7 <= len(data):
    left = 2**15 - place % 2**15
    length, kind = struct.unpack('<HB', data[place + 4:place + 7])
    if left < 7 or not kind:  # no record begins at the end of a block
      place += left
      continue
    part += data[place + 7:place + 7 + length]
    place += 7 + length
    if kind in (1, 4):  # whole, or the last part
      yield part
      part = b''


def _wandb_records(root):
  """The history, config and id in the files of W&B's sessions, in order."""
  from wandb.proto import wandb_internal_pb2

  history, settings, ids = [], {}, set()
  paths = sorted(root.glob('wandb/offline-run-*/run-*.wandb'),
                 key=lambda path: path.stat().st_mtime_ns)
  for path in paths:
    for data in _records(path):  # none of a session that was killed early
      record = wandb_internal_pb2.Record.FromString(data)
      kind = record.WhichOneof('record_type')
      if kind == 'history':
        history.append({
            item.key or '/'.join(item.nested_key): json.loads(item.value_json)
            for item in record.history.item})
      elif kind == 'config':
        for item in record.config.update:
          settings[item.key or '/'.join(item.nested_key)] = item.value_json
      elif kind == 'run':
        ids.add(record.run.run_id)
  return history, settings, ids


def test_wandb_offline_has_rows_films_and_settings_of_two_sessions(tmp_path):
  root = tmp_path / 'run'
  _session(root, 'wandb')
  time.sleep(1.1)  # W&B names its folder by the second
  _session(root, 'wandb', step=60)
  deadline = time.monotonic() + 60  # W&B's own process writes
  while len(_wandb_records(root)[0]) < 10 and time.monotonic() < deadline:
    time.sleep(0.1)
  history, settings, ids = _wandb_records(root)
  losses = [(row['env_frames'], row['model_loss'])
            for row in history if 'model_loss' in row]
  assert losses == [(40, 3.5), (100, 3.5)]
  returns = [row['env_frames'] for row in history if 'eval_return' in row]
  assert returns == [50, 110]
  assert any(key.startswith('weights') for row in history for key in row)
  assert json.loads(settings['train.batch_size']) == 3
  stored = json.loads((root / 'loggers.json').read_text())
  assert ids == {stored['wandb']}
  assert len(list(root.glob('wandb/offline-*/files/media/**/*.gif'))) == 2
  text, = root.glob('wandb/offline-*/files/protocol.md')
  assert 'seed' in text.read_text()


def test_the_run_of_wandb_that_a_program_has_begun_is_its_own(tmp_path):
  import wandb

  with wandb.init(dir=str(tmp_path), settings=wandb.Settings(console='off')) \
      as begun:
    _session(tmp_path / 'run', 'wandb')
    assert wandb.run is begun
    begun.log({'mine': 1.0})
  history, _, ids = _wandb_records(tmp_path / 'run')
  assert begun.id not in ids and not any('mine' in row for row in history)


def test_a_run_with_the_files_of_wandb_may_be_written(tmp_path):
  """W&B leaves a link to its log in the user's cache."""
  root = tmp_path / 'run'
  (root / 'wandb' / 'offline-run-1' / 'logs').mkdir(parents=True)
  (root / 'wandb' / 'offline-run-1' / 'logs' / 'debug-core.log').symlink_to(
      tmp_path / 'elsewhere.log')
  runs.RunFolder(root).check_writable()
  (root / 'replay').mkdir()
  (root / 'replay' / 'wandb').symlink_to(tmp_path)
  with pytest.raises(checks.UserError, match='is a link'):
    runs.RunFolder(root).check_writable()


# MLflow -----------------------------------------------------------------------


def _mlflow(root):
  """A client of a run's store, and the id of the run."""
  import mlflow

  client = mlflow.MlflowClient(tracking_uri=(root / 'mlruns').as_uri())
  return client, json.loads((root / 'loggers.json').read_text())['mlflow']


def test_mlflow_has_numbers_films_and_settings_of_two_sessions(tmp_path):
  root = tmp_path / 'run'
  _session(root, 'mlflow')
  _session(root, 'mlflow', step=60)
  client, run_id = _mlflow(root)
  history = client.get_metric_history(run_id, 'model_loss')
  assert [(each.step, each.value) for each in history] == [
      (40, 3.5), (100, 3.5)]
  run = client.get_run(run_id)
  assert run.info.status == 'FINISHED' and run.info.run_name == 'run'
  assert math.isnan(run.data.metrics['actor_ent'])
  assert run.data.params == {key: str(x) for key, x in _VALUES.items()}
  assert len(client.search_runs(['0'])) == 1
  films = [each.path for each in client.list_artifacts(run_id, 'films')]
  assert films == ['films/open_loop_image_000000050.gif',
                   'films/open_loop_image_000000110.gif']


def test_mlflow_keeps_its_first_settings_where_a_resume_has_others(tmp_path):
  root = tmp_path / 'run'
  _session(root, 'mlflow')
  opened = _open(root, 'mlflow', step=60, tell=pytest.fail)
  opened.hparams({'train.batch_size': 4, 'train.steps': 100})
  opened.close()
  client, run_id = _mlflow(root)
  params = client.get_run(run_id).data.params
  assert (params['train.batch_size'], params['train.steps']) == ('3', '100')


def test_a_run_that_mlflow_has_not_is_begun(tmp_path):
  root = tmp_path / 'run'
  _session(root, 'mlflow')
  remote_runs.write(root / 'loggers.json', 'mlflow', 'f' * 32)
  _session(root, 'mlflow', step=60)
  client, run_id = _mlflow(root)
  assert run_id != 'f' * 32 and client.get_run(run_id)


@pytest.mark.parametrize('key', [
    'a/../b', '.', '/a', 'a//b', '%', '🙂', 'a\nb', 'x' * 300, '', 'model:x'])
def test_mlflow_takes_any_name_of_a_metric(key):
  from mlflow.utils import validation

  validation._validate_metric_name(mlflow_lib.name_of(key))


# Ids --------------------------------------------------------------------------


def test_ids_of_several_loggers_are_kept(tmp_path):
  path = tmp_path / 'ids.json'
  remote_runs.write(path, 'wandb', 'abc')
  remote_runs.write(path, 'mlflow', 'def-1')
  assert remote_runs.read(path) == {'wandb': 'abc', 'mlflow': 'def-1'}


@pytest.mark.parametrize('text', [
    '{', '[]x', '{"wandb": "../../x"}', '{"wandb": 3}', '["a b"]', '3'])
def test_ids_that_are_none_are_refused(tmp_path, text):
  (tmp_path / 'ids.json').write_text(text)
  with pytest.raises(checks.UserError, match='cannot be read'):
    remote_runs.read(tmp_path / 'ids.json')


# Names, packages, own ones ----------------------------------------------------


@pytest.mark.parametrize('names, said', [
    (('jsonl', 'wanbd'), r"'wanbd', which is no logger. Did you mean wandb\?"),
    (('jsonl', 'csv', 'csv'), "has 'csv' twice"),
    (('tensorboard',), "must have 'jsonl'"), ((), "must have 'jsonl'"),
    (('jsonl', 3), 'must be names.*got 3'), (('jsonl', ['csv']), 'got '),
    (('jsonl', 'no_such_module:f'), 'no_such_module'),
    (('jsonl', 'json:__name__'), 'must be a function'),
    (('jsonl', ':f'), 'There is no logger')])
def test_what_is_no_logger_is_refused(names, said):
  with pytest.raises(checks.UserError, match=said):
    loggers.load(names)


@pytest.mark.parametrize('name', ['wandb', 'mlflow'])
def test_a_package_that_is_missing_is_refused_with_its_line(monkeypatch, name):

  def missing(module):
    raise ModuleNotFoundError(f'No module named {module!r}', name=module)

  monkeypatch.setattr(extras.importlib, 'import_module', missing)
  with pytest.raises(ValueError, match=rf'package {name} .*\[{name}\]'):
    loggers.load(('jsonl', name))


_OWN = """
class Mine:
  def __init__(self, root):
    self.root = root
  def write(self, step, metrics):
    with open(self.root / 'mine.txt', 'a') as file:
      file.write(f'{step} {sorted(metrics)}\\n')
  film = histograms = text = write
  def hparams(self, values):
    self.write(0, values)
  def sync(self):
    pass
  close = sync

class Half:
  def __init__(self, root):
    pass
  def write(self, step, metrics):
    pass

def fails(root):
  raise KeyError('mine')

def nothing(root):
  pass
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
  """A working folder with a module of loggers."""
  (tmp_path / 'own_loggers.py').write_text(_OWN)
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.delitem(sys.modules, 'own_loggers', raising=False)
  return tmp_path


def test_a_logger_of_ones_own_gets_the_folder_and_every_call(mine):
  _session(mine / 'run', 'own_loggers:Mine')
  lines = (mine / 'run' / 'mine.txt').read_text().splitlines()
  assert "40 ['actor_ent', 'model_loss']" in lines
  assert "50 ['open_loop/image']" in lines and len(lines) >= 5


@pytest.mark.parametrize('name, said', [
    ('Half', 'has no method film, histograms, text, hparams, sync, close'),
    ('nothing', 'returned None.*has no method write'),
    ('fails', r"cannot be opened \(KeyError: 'mine'\)")])
def test_a_logger_that_is_none_is_refused(mine, name, said):
  with pytest.raises(checks.UserError, match=said):
    _open(mine / 'run', f'own_loggers:{name}')
  assert not (mine / 'run' / 'metrics.jsonl').exists()


def test_a_module_of_a_run_folder_is_not_imported(mine, monkeypatch):
  root = mine / 'run'
  root.mkdir()
  monkeypatch.setattr(run_settings, '_recorded', lambda *_: {'presets': []})
  (root / 'operative_config.gin').write_text(
      "train.task = 'catch'\n"
      "train.loggers = ('jsonl', 'own_loggers:Mine')\n")
  try:
    with pytest.raises(checks.UserError, match='would be imported and run'):
      run_settings.parse(root, (), ())
    gin.clear_config()
    run_settings.parse(root, (), ["train.loggers = ('jsonl',)"])
    assert settings_lib.read().loggers == ('jsonl',)
    gin.clear_config()
    (root / 'operative_config.gin').write_text(
        "train.task = 'catch'\ntrain.loggers = ('jsonl', 'csv')\n")
    run_settings.parse(root, (), ())
    assert settings_lib.read().loggers == ('jsonl', 'csv')
  finally:
    gin.clear_config()


# Failures ---------------------------------------------------------------------


class _Broken:
  """Fails as long as `works` is False, and takes its time."""

  def __init__(self, seconds=0.0):
    self.works, self.calls, self.now, self._seconds = False, [], 0.0, seconds

  def clock(self):
    return self.now

  def __getattr__(self, name):
    if name.startswith('_'):
      raise AttributeError(name)

    def call(*arguments):
      self.calls.append(name)
      self.now += self._seconds
      if not self.works:
        raise ConnectionError('no network')

    return call


def _with(root, broken, *, is_remote, tell):
  chosen = [
      *loggers.load(('jsonl',)),
      logger.Chosen('broken', lambda start: broken, is_remote)]
  return group.Group(
      chosen, logger.Start(runs.RunFolder(root), 0, 0, 0), tell)


def test_a_remote_logger_that_fails_is_told_once_and_nothing_else_is_lost(
    tmp_path, monkeypatch):
  monkeypatch.setattr(group, '_REST', 0.0)
  told, broken = [], _Broken()
  opened = _with(tmp_path, broken, is_remote=True, tell=told.append)
  for step in (1, 2, 3):
    opened.write(step, {'loss': 1.0})
  opened.close()
  line, = told
  assert "'broken' failed at write (ConnectionError: no network)" in line
  assert len((tmp_path / 'metrics.jsonl').read_text().splitlines()) == 3
  assert broken.calls.count('write') == 3 and broken.calls[-1] == 'close'


def test_a_local_logger_that_fails_ends_the_run(tmp_path):
  opened = _with(tmp_path, _Broken(), is_remote=False, tell=pytest.fail)
  with pytest.raises(ConnectionError):
    opened.write(1, {'loss': 1.0})


def test_a_slow_failure_is_followed_by_a_rest_of_ten_times_as_long():
  broken = _Broken(seconds=3.0)
  remote = group._Remote('x', broken, lambda line: None, clock=broken.clock)
  remote.write(1, {})
  assert broken.now == 3.0
  broken.now = 32.0
  remote.write(2, {})
  assert broken.calls == ['write']
  broken.now, broken.works = 33.0, True
  remote.write(3, {})
  assert broken.calls == ['write', 'write']


def test_every_logger_is_closed_where_one_cannot_be_opened(tmp_path):
  closed = types.SimpleNamespace(**{
      name: lambda *_, name=name: calls.append(name)
      for name in logger.METHODS})
  calls = []
  chosen = [
      logger.Chosen('one', lambda start: closed, True),
      logger.Chosen('two', lambda start: None, True)]
  with pytest.raises(checks.UserError, match='two'):
    group.Group(chosen, logger.Start(runs.RunFolder(tmp_path), 0, 0, 0), print)
  assert calls == ['close']


# What a run is ----------------------------------------------------------------


def test_settings_with_a_plain_value_are_those_that_gin_has_bound(tmp_path):
  folder = runs.RunFolder(tmp_path)
  lines = ['RSSM.deter = 5', "RSSM.activation = 'elu'",
           'Encoder.kernels = (4, 4)', 'train.eager = False',
           'ActorCritic.entropy_scale = @linear_schedule()']
  folder.config.write_text('\n'.join([*lines, 'MLP.units = 9']) + '\n')
  with config.isolated():
    config.parse((), lines)
    assert described.hparams(folder) == {
        'RSSM.deter': 5, 'RSSM.activation': 'elu', 'train.eager': False}


def test_texts_are_the_files_that_are_there(tmp_path):
  folder = runs.RunFolder(tmp_path)
  assert described.texts(folder) == {}
  folder.protocol.write_text('{}\n')
  assert described.texts(folder) == {'protocol': '```\n{}\n```\n'}


def test_without_tensorboard_its_command_is_not_shown(tmp_path):
  assert 'tensorboard --logdir' in summary.where(tmp_path)
  assert summary.where(tmp_path, ('jsonl',)) == f'Run folder: {tmp_path}'


def test_a_pattern_is_of_a_whole_tag():
  assert re.match(layout.pattern('fps'), 'fps')
  assert not re.match(layout.pattern('fps'), 'fps_2')


# A run ------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_is_stopped_and_resumed_with_all_loggers(tmp_path):
  root = tmp_path / 'run'
  (tmp_path / 'own_loggers.py').write_text(_OWN)
  names = ('jsonl', 'tensorboard', 'csv', 'wandb', 'mlflow', 'own_loggers:Mine')
  flags = (f'--gin_bindings=train.loggers = {names!r}',
           '--gin_bindings=train.videos = True')
  code, said = disturbed.run(
      root, *flags, steps=110, cwd=tmp_path,
      code=disturbed.at('training.trainer.Trainer.evaluate',
                        'os.kill(os.getpid(), signal.SIGKILL)'))
  assert code == -9, said
  code, said = disturbed.run(root, *flags, steps=110, cwd=tmp_path)
  assert code == 0 and 'Note: the logger' not in said, said
  rows = disturbed.metrics(root)
  returns = {row['step']: row['eval_return']
             for row in rows if 'eval_return' in row}
  losses = {row['step']: row['model_loss']
            for row in rows if 'model_loss' in row}
  assert returns and losses
  table = _table(root)
  of = lambda wanted: {step: value for step, _, name, value in table
                       if name == wanted}
  assert (of('eval_return'), of('model_loss')) == (returns, losses)
  assert len(table) == len({(step, name) for step, _, name, _ in table})
  client, run_id = _mlflow(root)
  assert {each.step: each.value for each in client.get_metric_history(
      run_id, 'eval_return')} == returns
  assert len(client.search_runs(['0'])) == 1
  history, settings, ids = _wandb_records(root)
  assert {row['env_frames']: row['eval_return'] for row in history
          if 'eval_return' in row} == returns
  assert len(ids) == 1 and settings['train.batch_size'] == '2'
  mine = (root / 'mine.txt').read_text()
  assert 'operative_config' in mine and 'eval_return' in mine
  events = event_accumulator.EventAccumulator(str(root / 'train'))
  events.Reload()
  for name in ('operative_config', 'protocol'):
    assert len(events.Tensors(name)) == 1
  assert pathlib.Path(root, 'videos', 'open_loop_image.gif').exists()
