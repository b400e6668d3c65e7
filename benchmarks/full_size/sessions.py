"""Trains a published preset at full size, beside the published curve.

    benchmarks/full_size/run --task=dmc_walker_walk --minutes=10

The same command again resumes the run in --folder, so short sessions add up.
After each, the folder has `run/` (the run's folder), `curve.csv`, `curve.png`
and `verdict.md`; `verdicts.py` says what is compared. It is meant for a GPU.
"""

import contextlib
import os
import pathlib
import signal
import threading

from absl import app
from absl import flags
import verdicts

from dreamerv2_tfa.commands import configuration

_TASK = flags.DEFINE_string(
    'task', None, 'What to learn: a task with a published curve, such as '
    'dmc_walker_walk or atari_pong.')
_PRESET = flags.DEFINE_string(
    'preset', None, 'dmc_proprio (default) or dmc_vision; atari (default) or '
    'atari_paper.')
_MINUTES = flags.DEFINE_float(
    'minutes', 10.0, 'The run is stopped and saved after so many, its start '
    'and the first compilation included; not before it trains.')
_SEED = flags.DEFINE_integer(
    'seed', 0, 'Of weights, environments and sampling.')
_FOLDER = flags.DEFINE_string(
    'folder', None, 'Of the run and its curve; the same one again resumes. '
    'Without it: runs/full_size/TASK-PRESET-SEED.')
_SMALL = flags.DEFINE_bool(
    'small', False, 'A tiny model, gin/debug.gin: whether all of it works.')


@contextlib.contextmanager
def _stopped_after(seconds, protocol):
  """Stops the run in it as SIGTERM does: it saves, and ends.

  Not before it has written `protocol`, a path: until then a signal ends the
  process in the middle of imports, with nothing saved. Not by SIGINT, which a
  program in the background of a shell ignores.
  """
  written = lambda: protocol.stat().st_mtime_ns if protocol.exists() else None
  before, over, stopped = written(), threading.Event(), threading.Event()

  def stop():
    over.wait(seconds)
    while written() == before and not over.wait(0.1):
      pass
    if not over.is_set():
      stopped.set()
      os.kill(os.getpid(), signal.SIGTERM)

  threading.Thread(target=stop, daemon=True).start()
  try:
    yield
  except SystemExit as ended:
    if ended.code != 128 + signal.SIGTERM or not stopped.is_set():
      raise
  finally:
    over.set()


def _settings(suite, points):
  """Settings of `train` beside those of the preset: dict."""
  every = 500 if _SMALL.value else suite.every
  return dict(
      steps=(points[-1].frames + suite.after) // suite.action_repeat,
      log_every=every, eval_every=every, seed=_SEED.value,
      **(dict(eager=False) if _SMALL.value else {}))


def _write(folder, points, suite):
  """Writes the curve, the picture and the verdict of the run in a folder."""
  from dreamerv2_tfa.training import metrics
  from dreamerv2_tfa.training import protocol

  run = protocol.wanted(folder / 'run' / 'protocol.json')
  rows = metrics.read(folder / 'run' / 'metrics.jsonl')
  compared = verdicts.compare(rows, points, suite)
  found = verdicts.verdict(compared)
  frames = max((row['step'] for row in rows), default=0)
  title = f'{run["task"]}, {" + ".join(run["presets"])}: {found}'
  verdicts.write_curve(folder / 'curve.csv', rows)
  verdicts.draw(folder / 'curve.png', rows, points, compared, title)
  (folder / 'verdict.md').write_text(
      verdicts.text(run, points, compared, frames), encoding='utf-8')
  print(f'{title}, at {frames:,} frames. See {folder / "verdict.md"}.')


def run(argv):
  """Checks the flags, trains for the minutes, and writes what came of it."""
  del argv
  task = _TASK.value
  points, suite = verdicts.published(task), verdicts.suite_of(task)
  preset = verdicts.preset(task, _PRESET.value)
  seconds = verdicts.seconds(_MINUTES.value)
  folder = pathlib.Path(
      _FOLDER.value or f'runs/full_size/{task}-{preset}-{_SEED.value}')
  presets = [preset, 'debug'] if _SMALL.value else [preset]

  import dreamerv2_tfa  # seconds; after what the user may have mistaken
  from dreamerv2_tfa.training import protocol

  path = folder / 'run' / 'protocol.json'
  verdicts.check_same(
      folder, protocol.read(path), task=task, presets=presets,
      seed=_SEED.value)
  try:
    with _stopped_after(seconds, path):
      dreamerv2_tfa.train(
          task, root_dir=folder / 'run', preset=presets,
          **_settings(suite, points))
  finally:
    if path.exists():
      _write(folder, points, suite)


if __name__ == '__main__':
  app.run(configuration.guarded(run))
