"""Tests of a planted NaN: the run stops, and the update is run again."""

import json

import disturbed
import pytest

pytestmark = pytest.mark.slow

# log(0) times the reward, in one update of many.
_PLANTED = '''
import tensorflow as tf
from dreamerv2_tfa import losses
from dreamerv2_tfa.world_model import world_model
before = world_model.WorldModel.loss
def planted_loss(self, sequence, seed, *, weights):
  model = before(self, sequence, seed, weights=weights)
  begins = tf.reduce_sum(tf.cast(sequence.is_first[:, 3], tf.float32))
  bad = tf.math.log(tf.maximum(1.0 - begins, 0.0))
  return model._replace(loss=model.loss + bad)
world_model.WorldModel.loss = planted_loss
'''


def test_a_nan_stops_the_run_within_an_update_and_is_found_again(tmp_path):
  root = tmp_path / 'run'
  status, output = disturbed.run(root, code=_PLANTED, steps=2000)
  assert status == 1 and 'Traceback' not in output, output
  facts = json.loads((root / 'crash' / 'crash.json').read_text())
  assert f'Update {facts["update"]} is not finite' in output
  assert f'--root_dir={root} --replay_crash' in output
  # Nothing of that update, nor of a later one, is saved or reported.
  assert all(row.get('updates', 0) < facts['update']
             for row in disturbed.metrics(root))
  kept = {path: path.read_bytes() for path in root.rglob('*.*')
          if path.is_file()}

  status, output = disturbed.run(
      root, '--replay_crash', task=None, code=_PLANTED)
  assert status == 0, output
  assert f'Update {facts["update"]} of {root}: not finite are loss' in output
  assert 'it gives the same numbers to the last bit' in output
  assert 'graph op "Log"' in output and 'in planted_loss' in output

  status, output = disturbed.run(root, '--replay_crash', task=None)
  assert status == 0 and 'it gives other numbers: not finite are none' in output
  assert 'Without XLA every operation is finite' in output
  assert kept == {path: path.read_bytes() for path in root.rglob('*.*')
                  if path.is_file()}

  # Once it is fixed, the same command continues.
  status, output = disturbed.run(root, steps=200)
  assert status == 0, output
