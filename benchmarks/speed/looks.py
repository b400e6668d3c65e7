"""What films and diagnostics cost beside the updates between evaluations.

    bin/python benchmarks/speed/looks.py --gin_file=atari --precision=32

Random steps fill replay, one episode (at most 512 steps) is evaluated, and then
films and diagnostics of it are made and written three times: the first one is
compiled. Their share is of the time that the updates alone take from one
evaluation to the next, so it is an upper bound.
"""

import pathlib
import statistics
import tempfile
import time

from absl import app

from dreamerv2_tfa.commands import configuration

configuration.define('gin_file', 'gin_bindings', 'task', 'precision', 'seed')

_ROWS = 2000  # of replay
_STEPS = 512  # of the episode
_REPEATS = 3


def timed(function):
  """Seconds of a call."""
  start = time.monotonic()
  function()
  return time.monotonic() - start


def prepare(setting, settings):
  """Replay with random rows, the looks at it, and a batch."""
  from dreamerv2_tfa.experience import collection
  from dreamerv2_tfa.experience import replay
  from dreamerv2_tfa.training import evaluation
  from dreamerv2_tfa.training import looks as looks_lib

  parts = setting.parts
  agent = parts.agent
  buffer = replay.make_buffer(agent.collect_data_spec,
                              parts.environment.batch_size, 2 * _ROWS)
  collector = collection.Collector(
      parts.environment, agent.collect_policy, buffer, parts.steps, seed=0)
  while int(buffer.added) < _ROWS:
    collector.prefill(100)
  looks = looks_lib.Looks(agent, buffer, settings)
  evaluation.Evaluation(
      parts.evaluation_environment, agent.policy, 1, _STEPS, looks.recorder,
  ).run()
  samples = replay.Samples(
      buffer, setting.batch_size, setting.length, seed=0)
  return looks, samples


def bytes_in(folder):
  """Bytes of all files in a folder: int."""
  return sum(path.stat().st_size for path in folder.rglob('*')
             if path.is_file())


def run(argv):
  """Measures, and prints a row of a table."""
  del argv
  import setting as setting_lib

  from dreamerv2_tfa.training import runs
  from dreamerv2_tfa.training import settings as settings_lib

  setting, settings = setting_lib.make(), settings_lib.read()
  looks, samples = prepare(setting, settings)
  agent = setting.parts.agent
  update = lambda: agent.train(samples.next()).loss.numpy()
  update()
  updates = statistics.median(timed(update) for _ in range(_REPEATS))
  with tempfile.TemporaryDirectory() as folder:
    root = runs.RunFolder(pathlib.Path(folder))
    look = writing(root, looks)
    first = timed(look)
    before = bytes_in(root.eval_events)
    later = [timed(look) for _ in range(_REPEATS)]
    each = (bytes_in(root.eval_events) - before) / _REPEATS
    files = bytes_in(root.videos) if root.videos.exists() else 0
  between = settings.timetable.eval_every // setting.steps_per_update
  share = statistics.median(later) / (between * updates)
  print('| presets | an update, s | first, s | later, s | updates between | '
        'share of them | bytes an evaluation | bytes of videos/ |')
  print('|---|---|---|---|---|---|---|---|')
  print(f'| {", ".join(setting.described["presets"])} | {updates:.3g} | '
        f'{first:.2g} | {statistics.median(later):.2g} | {between:,} | '
        f'{share:.3%} | {each:,.0f} | {files:,} |')


def writing(root, looks):
  """A function that makes and writes all that an evaluation shows."""
  from dreamerv2_tfa.training import loggers
  from dreamerv2_tfa.training.loggers import group
  from dreamerv2_tfa.training.loggers import logger

  writer = group.Group(
      loggers.load(('tensorboard', 'jsonl')), logger.Start(root, 0, 0, 0),
      print)

  def look():
    found, films = looks.look()
    writer.write(1, {'eval_return': 0.0, **found.metrics})
    writer.film(1, films)
    writer.histograms(1, found.histograms)

  return look


if __name__ == '__main__':
  app.run(configuration.guarded(run))
