"""Starts the workers of other packages, asks them, ends them.

    worker = peers.start('published', settings)
    peers.ask(worker, {'do': 'update', 'repeat': 3})['seconds']
    peers.stop(worker)

A worker is a program in an environment of its own, which the launcher beside it
makes at its first use. `protocol.py` says what the two tell each other.
"""

import atexit
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import tempfile
from typing import IO
from typing import NamedTuple

_BENCHMARKS = pathlib.Path(__file__).resolve().parents[1]
_ONEDNN = 'TF_ENABLE_ONEDNN_OPTS'
# How to run each package's worker, before its settings file.
PACKAGES = {
    name: (str(_BENCHMARKS / name / 'python'),
           str(_BENCHMARKS / name / 'worker.py'))
    for name in ('published', 'sheeprl')
}
# The same with oneDNN, which TensorFlow leaves off on some processors.
PACKAGES['published_onednn'] = (
    'env', f'{_ONEDNN}=1', *PACKAGES['published'])
_QUOTED = 2000  # characters of stderr in an error
_PATIENCE = 5.0  # seconds that a worker has to quit


class Worker(NamedTuple):
  """A worker that answered that it is ready."""
  name: str  # for messages
  process: subprocess.Popen  # leads a process group of its own
  stderr: IO  # the file that its stderr goes to
  ready: dict  # its first answer: package, versions, parameters, ...


def start(package, settings):
  """Starts a worker and waits until it has run its first update.

  The worker is ended with this process at the latest.

  Args:
    package: One of `PACKAGES`, or a tuple of str, the command before the
      settings file.
    settings: Dict of precision, shapes and sizes, as in `protocol.py`.

  Returns:
    A `Worker`.

  Raises:
    ValueError: If there is no such package.
    RuntimeError: If the worker ends, or answers with an error.
  """
  if isinstance(package, str):
    if package not in PACKAGES:
      raise ValueError(
          f'There is no worker for {package!r}; there is one for '
          f'{", ".join(PACKAGES)}.')
    name, command = package, PACKAGES[package]
  else:
    name, command = pathlib.Path(package[-1]).stem, package
  stderr = tempfile.TemporaryFile('w+', errors='replace')
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / 'settings.json'
    path.write_text(json.dumps(settings))
    process = subprocess.Popen(
        [*command, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=stderr, text=True, start_new_session=True, env=_environment(),
    )
    worker = Worker(name, process, stderr, {})
    atexit.register(stop, worker)
    try:
      return worker._replace(ready=_answer(worker))
    except BaseException:
      stop(worker)
      raise


def _environment():
  """This process's, without what its own Python was told."""
  own = ('PYTHONPATH', 'PYTHONHOME', 'TF_USE_LEGACY_KERAS', _ONEDNN)
  return {key: value for key, value in os.environ.items() if key not in own}


def ask(worker, command):
  """Sends a command and waits for its answer.

  Args:
    worker: From `start`.
    command: Dict, such as `{'do': 'update', 'repeat': 3}`.

  Returns:
    Dict, the answer.

  Raises:
    RuntimeError: If the worker ends, or answers with an error. It is stopped.
  """
  try:
    with contextlib.suppress(BrokenPipeError):  # no answer says it better
      worker.process.stdin.write(json.dumps(command) + '\n')
      worker.process.stdin.flush()
    return _answer(worker)
  except BaseException:
    stop(worker)
    raise


def _answer(worker):
  line = worker.process.stdout.readline()
  if not line:
    worker.process.wait()
    raise RuntimeError(
        f'The worker of {worker.name} ended with exit code '
        f'{worker.process.returncode}.{_quoted(worker)}')
  try:
    answer = json.loads(line)
  except ValueError as error:
    raise RuntimeError(
        f'The worker of {worker.name} answered {line!r}, which is no JSON.'
        f'{_quoted(worker)}') from error
  if 'error' in answer:
    raise RuntimeError(
        f'The worker of {worker.name} failed: {answer["error"]}'
        f'{_quoted(worker)}')
  return answer


def _quoted(worker):
  """The end of its stderr, in words."""
  worker.stderr.seek(0)
  text = worker.stderr.read().strip()
  if len(text) > _QUOTED:
    text = '... ' + text[-_QUOTED:]
  return f' The end of its stderr:\n{text}' if text else ' Its stderr is empty.'


def stop(worker):
  """Ends a worker and whatever it started; once more does nothing."""
  process = worker.process
  if process.stdin.closed:
    return
  with contextlib.suppress(OSError):  # it may have ended by itself
    process.stdin.write('{"do": "quit"}\n')
  with contextlib.suppress(OSError):
    process.stdin.close()
  with contextlib.suppress(subprocess.TimeoutExpired):
    process.wait(_PATIENCE)
  with contextlib.suppress(ProcessLookupError):
    os.killpg(process.pid, signal.SIGKILL)
  process.wait()
  process.stdout.close()
  worker.stderr.close()
