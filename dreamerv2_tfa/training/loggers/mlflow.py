"""MLflow, the extra [mlflow]; set up by its own environment variables.

`MLFLOW_TRACKING_URI`, `MLFLOW_EXPERIMENT_NAME`, ... Without a URI, it is a
store of files, `mlruns/` in the run's folder.
"""

import os
import pathlib
import posixpath
import re
import tempfile
import time

import numpy as np

from dreamerv2_tfa.environments import extras
from dreamerv2_tfa.training import videos
from dreamerv2_tfa.training.loggers import logger
from dreamerv2_tfa.training.loggers import remote_runs

EXTRA = 'mlflow', 'mlflow'  # the module, and the extra that installs it
_BATCH = 100  # parameters in one request, MLflow's bound; of metrics 1,000
_LONGEST = 250  # characters of a name
# MLflow would wait minutes for a server that does not answer, and training
# with it, and Ctrl-C.
_PATIENCE = {
    'MLFLOW_HTTP_REQUEST_TIMEOUT': '10', 'MLFLOW_HTTP_REQUEST_MAX_RETRIES': '1'}


class MLflow:
  """Sends to one run of MLflow in all sessions; see `logger.Logger`.

  It removes nothing: of frames that were taken twice it has both numbers.
  MLflow has no histograms, and keeps the first value of a parameter.
  """

  def __init__(self, start: logger.Start):
    """Begins a run, or resumes it by its id.

    Args:
      start: Of the session.
    """
    self._mlflow = extras.load(*EXTRA)
    folder = start.folder
    for name, value in _PATIENCE.items():
      os.environ.setdefault(name, value)
    uri = os.environ.get('MLFLOW_TRACKING_URI')
    if not uri:
      uri = folder.mlflow.absolute().as_uri()
      # MLflow 3 wants this said of a store of files.
      os.environ.setdefault('MLFLOW_ALLOW_FILE_STORE', 'true')
    # A client, not the functions of the module: those have one run a process,
    # which may be the caller's.
    self._client = self._mlflow.MlflowClient(tracking_uri=uri)
    known = remote_runs.read(folder.logged).get('mlflow')
    self._id = self._resumed(known or os.environ.get('MLFLOW_RUN_ID'))
    if self._id is None:
      run = self._client.create_run(
          self._experiment(),
          run_name=os.environ.get('MLFLOW_RUN_NAME')
          or folder.root.absolute().name)
      self._id = run.info.run_id
    remote_runs.write(folder.logged, 'mlflow', self._id)

  def _resumed(self, run_id):
    """The id of a run that is there, and runs again; None without one."""
    if not run_id:
      return None
    try:
      self._client.update_run(run_id, status='RUNNING')
    except self._mlflow.MlflowException as error:
      if error.error_code == 'RESOURCE_DOES_NOT_EXIST':
        return None  # of another server, or deleted
      raise
    return run_id

  def _experiment(self):
    """The id of the experiment, which is made if it is not there."""
    if run_id := os.environ.get('MLFLOW_EXPERIMENT_ID'):
      return run_id
    name = os.environ.get('MLFLOW_EXPERIMENT_NAME') or 'Default'
    found = self._client.get_experiment_by_name(name)
    return self._client.create_experiment(
        name) if found is None else found.experiment_id

  def write(self, step: int, metrics: dict[str, float]) -> None:
    """Logs the numbers in one request."""
    now = int(1000 * time.time())
    self._client.log_batch(self._id, metrics=[
        self._mlflow.entities.Metric(name_of(key), float(value), now, step)
        for key, value in metrics.items()])

  def film(self, step: int, films: dict[str, np.ndarray]) -> None:
    """Logs films as artifacts: `films/<name>_<step>.gif`."""
    with tempfile.TemporaryDirectory() as folder:
      for name, film in films.items():
        path = pathlib.Path(
            folder, f'{name_of(name).replace("/", "_")}_{step:09}.gif')
        path.write_bytes(videos.gif(film))
        self._client.log_artifact(self._id, str(path), 'films')

  def histograms(self, step: int, arrays: dict[str, np.ndarray]) -> None:
    """Does nothing."""

  def text(self, name: str, markdown: str) -> None:
    """Logs the text as an artifact."""
    self._client.log_text(self._id, markdown, f'{name}.md')

  def hparams(self, values: dict[str, bool | int | float | str]) -> None:
    """Logs the parameters that the run has not."""
    there = self._client.get_run(self._id).data.params
    fresh = [
        self._mlflow.entities.Param(name_of(name), str(value))
        for name, value in values.items() if name_of(name) not in there]
    for i in range(0, len(fresh), _BATCH):
      self._client.log_batch(self._id, params=fresh[i:i + _BATCH])

  def sync(self) -> None:
    """Does nothing: each call has sent."""

  def close(self) -> None:
    """Ends the session."""
    self._client.set_terminated(self._id)


def name_of(key: str) -> str:
  """A name as MLflow takes it: a character that it refuses is `_<code>_`."""
  plain = re.sub(
      r'[^\w.\- /]', lambda found: f'_{ord(found.group()):x}_', key)
  parts = [part.strip('.') and part or '_' for part in plain.split('/')]
  return posixpath.join(*parts)[:_LONGEST]


OPEN = MLflow
