"""Where this package departs from the published one on purpose.

docs/published.md lists them all; here are those whose test has no other home.
"""

import numpy as np
import small
import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory

from dreamerv2_tfa.experience import replay
from dreamerv2_tfa.experience import sequences


def test_discounts_are_float32_under_float16():
  agent = small.make_agent(
      'WorldModel.continue_head = False', precision='mixed_float16',
      discount=0.999,
  )
  feature = tf.zeros([2, agent.world_model.rssm.feature_size], tf.float16)
  discount = agent.world_model.discount(feature)
  np.testing.assert_array_equal(discount, np.float32([0.999, 0.999]))


def test_the_target_of_the_continue_head_is_float32_under_float16():
  losses = []
  for gamma in (0.999, 0.99902):  # the nearest that float16 has
    agent = small.make_agent(precision='mixed_float16', discount=gamma)
    for variable in agent.world_model._continue_head.trainable_variables:
      variable.assign(tf.zeros_like(variable))
    bias = agent.world_model._continue_head._output._dense.bias
    bias.assign([5.0])
    sequence = sequences.from_trajectory(
        small.make_batch(agent), agent._actions
    )
    output = agent.world_model.loss(sequence, tf.constant([1, 2]))
    losses.append(float(output.metrics['discount_loss']))
  # -log p is linear in the label, with slope -5; a tenth of them is 0.
  continues = np.mean(sequence.continue_)
  np.testing.assert_allclose(
      losses[0] - losses[1], 5.0 * 2e-5 * continues, rtol=0.1
  )


def test_image_log_probabilities_are_summed_in_float32():
  agent = small.make_agent(
      observation=small.IMAGE, precision='mixed_float16'
  )
  feature = tf.zeros([2, agent.world_model.rssm.feature_size], tf.float16)
  predicted = agent.world_model.decode(feature)['image']
  log_prob = predicted.log_prob(tf.fill([2, 64, 64, 1], 30.0))
  # Beyond the largest float16, 65504.
  assert log_prob.dtype == tf.float32
  assert np.all(log_prob < -1e6) and np.all(np.isfinite(log_prob))


def test_episodes_shorter_than_a_sequence_are_trained_on():
  agent = small.make_agent()
  buffer = replay.make_buffer(agent.collect_data_spec, 1, 100)
  spec = agent.collect_data_spec
  for step in range(60):  # episodes of two steps: FIRST, MID, LAST
    kind, following = step % 3, (step + 1) % 3
    row = tf.nest.map_structure(
        lambda s: tf.zeros([1] + s.shape.as_list(), s.dtype), spec
    )
    buffer.add_batch(trajectory.Trajectory(
        step_type=tf.constant([kind]), observation=row.observation,
        action=row.action, policy_info=(),
        next_step_type=tf.constant([following]),
        reward=tf.constant([1.0]), discount=tf.constant([1.0]),
    ))
  batch = replay.Samples(buffer, small.B, small.T, seed=0).next()
  sequence = sequences.from_trajectory(batch, agent._actions)
  starts = np.asarray(batch.step_type[:, 1:]) == ts.StepType.FIRST
  assert np.all(starts.sum(1) >= 1)
  assert np.all(np.asarray(sequence.is_first)[starts])
  assert np.isfinite(agent.train(batch).loss)
