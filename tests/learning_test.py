"""The default command's promise: the quickstart preset learns Catch."""

import json
import pathlib

import gin
import pytest
import tensorflow as tf

from dreamerv2_tfa.training import train

_GIN = pathlib.Path(__file__).resolve().parents[1] / 'gin'


@pytest.fixture(autouse=True)
def _clean():
  gin.clear_config()
  yield
  gin.clear_config()
  tf.keras.mixed_precision.set_global_policy('float32')


@pytest.mark.slow
def test_the_quickstart_learns_to_catch_four_balls_of_five(tmp_path):
  gin.add_config_file_search_path(str(_GIN))
  gin.parse_config_files_and_bindings(
      [str(_GIN / 'quickstart.gin')],
      ["train.precision = '32'", 'train.steps = 9000'],
  )
  train.train(tmp_path / 'run')
  lines = (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()
  metrics = [json.loads(line) for line in lines]
  returns = [m['eval_return'] for m in metrics if 'eval_return' in m]
  # Random play gets -3 on average, the best is 5.
  assert max(returns[-3:]) >= 4.0, returns
