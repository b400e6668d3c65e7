"""What a peer's worker does in any environment: JSON lines, time, made-up data.

A worker runs another package in that package's own environment, so this module
needs numpy alone. It speaks on stdin and stdout, one JSON object a line:

    worker                                      client (`peers.py`)
    {"ready": true, "package": ..., ...}   ->
                                           <-   {"do": "update", "repeat": 3}
    {"seconds": [...], ...}                ->
                                           <-   {"do": "quit"}

An error is {"error": "..."} and exit code 1. The settings file holds

    precision    '32', 'bf16' or '16'
    jit          bool, whether the package's compiler is on, where it has one
    batch        sequences, B
    length       steps of each, T
    observation  {key: {'shape': [...], 'dtype': 'uint8' or 'float32'}}
    action       {'discrete': number} or {'box': [size]}
    gin          {'RSSM.deter': 600, ...}, the names of gin/defaults.gin
"""

import json
import os
import pathlib
import sys
import time

import numpy as np


def claim_stdout():
  """Keeps stdout for answers: what else is printed from now on goes to stderr.

  An error that nobody catches becomes an answer too, and its traceback goes to
  stderr. Call this before the package is imported.

  Returns:
    Text file, where the answers go.
  """
  answers = os.fdopen(os.dup(1), 'w', buffering=1)
  os.dup2(2, 1)
  sys.stdout.reconfigure(line_buffering=True)  # as stderr is
  show = sys.excepthook

  def hook(kind, error, traceback):
    show(kind, error, traceback)
    if not issubclass(kind, KeyboardInterrupt):
      say(answers, {'error': f'{kind.__name__}: {error}'})

  sys.excepthook = hook
  return answers


def say(answers, message):
  """Writes one answer, a dict, as a line."""
  print(json.dumps(message), file=answers, flush=True)


def settings():
  """The settings: the JSON file that is the program's only argument."""
  return json.loads(pathlib.Path(sys.argv[1]).read_text())


def serve(answers, **actions):
  """Answers commands until one is `quit`, or stdin ends.

  Args:
    answers: From `claim_stdout`.
    **actions: Function by command, of the rest of the command, to a dict.

  Raises:
    ValueError: If a command is none of these.
  """
  for line in sys.stdin:
    command = json.loads(line)
    name = command.pop('do')
    if name == 'quit':
      return
    if name not in actions:
      raise ValueError(
          f'This worker has no command {name!r}; it has '
          f'{", ".join(sorted(actions))} and quit.')
    say(answers, actions[name](**command))


def timed(function, repeat):
  """Seconds of each of `repeat` calls: a list."""
  seconds = []
  for _ in range(repeat):
    begun = time.perf_counter()
    function()
    seconds.append(time.perf_counter() - begun)
  return seconds


def peak_rss_mb():
  """The most memory that this process held at once, in MB (1e6 bytes).

  `getrusage` would count the process that started this one as well.
  """
  status = pathlib.Path('/proc/self/status').read_text()
  kilobytes = status.partition('VmHWM:')[2].split()[0]
  return int(kilobytes) * 1024 / 1e6


def observations(spec, prefix, seed=0):
  """Made-up observations.

  Args:
    spec: Dict of `{'shape': [...], 'dtype': 'uint8' or 'float32'}` by key.
    prefix: Tuple of Python ints, shape before that of the spec.
    seed: Python int.

  Returns:
    Dict of arrays of that dtype, `prefix + shape`: uint8 in [0, 255], float32
    from a standard normal.
  """
  random = np.random.RandomState(seed)
  arrays = {}
  for key, value in spec.items():
    shape = (*prefix, *value['shape'])
    arrays[key] = (
        random.randint(0, 256, shape, np.uint8) if value['dtype'] == 'uint8'
        else random.standard_normal(shape).astype(np.float32))
  return arrays


def batch(settings, seed=0):
  """A made-up batch, the same for every package.

  Args:
    settings: Dict, from `settings`.
    seed: Python int.

  Returns:
    Dict of arrays `[B, T, ...]`: the observations by key, float32 'action' (one
    hot, or in [-1, 1]), float32 'reward' as the reward head is to see it, and
    bool 'is_first' and 'is_terminal'. Episodes end where they end by chance, a
    step in a hundred.
  """
  prefix = settings['batch'], settings['length']
  random = np.random.RandomState(seed)
  action = settings['action']
  if 'discrete' in action:
    actions = np.eye(action['discrete'], dtype=np.float32)[
        random.randint(action['discrete'], size=prefix)]
  else:
    shape = (*prefix, *action['box'])
    actions = random.uniform(-1, 1, shape).astype(np.float32)
  is_terminal = random.uniform(size=prefix) < 0.01
  is_first = np.roll(is_terminal, 1, axis=1)
  is_first[:, 0] = True
  transform = {'identity': np.array, 'sign': np.sign, 'tanh': np.tanh}[
      settings['gin']['WorldModel.reward_transform']]
  reward = transform(random.standard_normal(prefix)).astype(np.float32)
  return {
      **observations(settings['observation'], prefix, seed),
      'action': actions, 'reward': reward, 'is_first': is_first,
      'is_terminal': is_terminal,
  }
