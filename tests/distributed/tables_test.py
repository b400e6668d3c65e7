"""Tests of rows, tickets and weights on their way through a replay server."""

import socket
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from tf_agents.metrics import tf_metrics
from tf_agents.trajectories import trajectory

from dreamerv2_tfa.distributed import address as address_lib
from dreamerv2_tfa.distributed import connection as connection_lib
from dreamerv2_tfa.distributed import description
from dreamerv2_tfa.distributed import drawn as drawn_lib
from dreamerv2_tfa.distributed import end as end_lib
from dreamerv2_tfa.distributed import loopback
from dreamerv2_tfa.distributed import receiving
from dreamerv2_tfa.distributed import roles
from dreamerv2_tfa.distributed import sending
from dreamerv2_tfa.distributed import tables
from dreamerv2_tfa.distributed import weights as weights_lib
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.experience import windows
from dreamerv2_tfa.training import settings as settings_lib

reverb = pytest.importorskip('reverb')

T, CAPACITY = 3, 40
_SPEC = trajectory.Trajectory(
    step_type=tf.TensorSpec([], tf.int32),
    observation={'x': tf.TensorSpec([2], tf.float32)},
    action=tf.TensorSpec([], tf.int32), policy_info=(),
    next_step_type=tf.TensorSpec([], tf.int32),
    reward=tf.TensorSpec([], tf.float32),
    discount=tf.TensorSpec([], tf.float32))
_AHEAD = 2  # tickets


class _Agent:
  collect_data_spec = _SPEC


@pytest.fixture
def server():
  """A replay server of tiny rows, and its address."""
  yield from serve()


def serve(metrics=0):
  """Yields the address of a replay server, then stops it."""
  settings = settings_lib.read()._replace(sequence_length=T)
  settings = settings._replace(
      timetable=settings.timetable._replace(steps_per_update=2))
  port = address_lib.free_port()
  made = reverb.Server(
      tables.make(reverb, _Agent, {'weights': [tf.constant([0.0])]},
                  settings, CAPACITY, metrics), port=port)
  yield f'127.0.0.1:{port}'
  made.stop()


def connect(address):
  return connection_lib.Connection(address, 'test', say=lambda line: None)


def types(length, episode):
  """Step types of rows of episodes of so many steps, with boundary rows."""
  place = np.arange(length) % (episode + 1)
  kind = np.where(place == 0, 0, np.where(place == episode, 2, 1))
  return kind.astype(np.int32)


def fill(outbox, count, environments=1, episode=4, first=0):
  """Gives rows, numbered by `x[0]`; `x[1]` is the environment."""
  kinds = types(first + count + 1, episode)
  for i in range(first, first + count):
    env = np.arange(environments, dtype=np.float32)
    each = lambda x, dtype: tf.constant(np.full(environments, x, dtype))
    outbox.add_batch(trajectory.Trajectory(
        each(kinds[i], np.int32),
        {'x': tf.constant(np.stack([np.full(environments, i), env], 1),
                          tf.float32)},
        each(1, np.int32), (), each(kinds[i + 1], np.int32),
        each(0.5, np.float32), each(1, np.float32)))


def drain(address, count):
  """Takes tickets in another thread, as a learner does."""
  steps = receiving.Steps(
      connect(address), tf_metrics.EnvironmentSteps(), lambda line: None)

  def take():
    while steps.steps < count:
      steps.collect(count - steps.steps)

  thread = threading.Thread(target=take, daemon=True)
  thread.start()
  return steps, thread


def send(server, rows, environments=1, episode=4):
  """Sends rows to the end; returns the tickets' `Steps` and the outbox."""
  outbox = sending.Outbox(connect(server), _SPEC, environments, T)
  count = environments * int((types(rows, episode) != 2).sum())
  steps, thread = drain(server, count)
  fill(outbox, rows, environments, episode)
  outbox.send(lambda: False)
  thread.join(10)
  return steps, outbox, count


def test_windows_are_consecutive_rows_and_cross_episodes(server):
  send(server, 12)
  client = connect(server).client
  assert client.server_info()[tables.SEQUENCES].current_size == 12 - T
  found = {
      tuple(item.data[1][:, 0].astype(int))
      for item in client.sample(tables.SEQUENCES, 300, emit_timesteps=False)}
  assert found == {tuple(range(i, i + T + 1)) for i in range(12 - T)}


@pytest.mark.parametrize('environments, update, wanted', [
    (1, 5, 16), (1, 64, 64), (8, 5, 16), (9, 5, 18), (64, 5, 128)])
def test_two_rows_of_each_environment_are_sent_at_once(
    environments, update, wanted):
  settings = settings_lib.read()._replace(environments=environments)
  settings = settings._replace(
      timetable=settings.timetable._replace(steps_per_update=update))
  assert tables.at_once(settings) == wanted


def test_a_windows_lists_of_chunks_are_counted_as_memory():
  settings = settings_lib.read()._replace(sequence_length=50)
  assert tables.row_overhead(_Agent, settings) == 6 * (600 + 45 * 51)


def test_a_window_has_rows_of_one_environment(server):
  send(server, 9, environments=2)
  items = list(connect(server).client.sample(
      tables.SEQUENCES, 100, emit_timesteps=False))
  assert {len(set(item.data[1][:, 1])) for item in items} == {1}
  assert {item.data[1][0, 1] for item in items} == {0.0, 1.0}


def test_each_step_has_one_ticket_and_a_boundary_row_has_none(server):
  steps, outbox, count = send(server, 11, episode=4)
  assert count == 11 - 2
  assert steps.steps == outbox.steps == count
  assert connect(server).size(tables.STEPS) == 0


def test_tickets_tell_return_and_length_of_episodes_that_end(server):
  steps, _, _ = send(server, 11, episode=4)
  assert steps.episode_metrics() == {
      'train_return': pytest.approx(2.0), 'train_length': 4.0}


def test_tickets_tell_the_tasks_metrics_once_their_steps_are_counted():
  names = ['wood', 'stone']
  for server in serve(len(names)):
    outbox = sending.Outbox(connect(server), _SPEC, 1, T, names)
    steps = receiving.Steps(
        connect(server), tf_metrics.EnvironmentSteps(), metrics=names)
    played = [{'wood': 1.0, 'stone': 0.0}, {'wood': 0.0, 'stone': 1.0}]
    fill(outbox, 16, episode=4)  # three episodes end, at the steps 4, 8, 12
    outbox.send(lambda: False, played)  # of the last one nothing is known
    steps.collect(3)
    assert steps.pop_metrics() == []
    steps.collect(5)
    assert steps.pop_metrics() == played
    steps.collect(5)
    assert steps.steps == 13 and steps.pop_metrics() == []
    assert steps.episode_metrics() == {'train_return': 2.0, 'train_length': 4.0}


def test_steps_are_counted_where_a_strategy_mirrors_the_count(server):
  with tf.distribute.MirroredStrategy(['/cpu:0']).scope():
    counted = tf_metrics.EnvironmentSteps()
  outbox = sending.Outbox(connect(server), _SPEC, 1, T)
  fill(outbox, 11, episode=4)
  outbox.send(lambda: False)
  steps = receiving.Steps(connect(server), counted)
  steps.prefill(3)
  assert steps.steps == 3


def test_a_task_without_metrics_has_none(server):
  steps, _, _ = send(server, 11, episode=4)
  assert steps.pop_metrics() == []


def test_a_ticket_of_more_steps_than_are_asked_for_is_counted_in_parts(server):
  outbox = sending.Outbox(connect(server), _SPEC, 1, T)
  fill(outbox, 11, episode=4)  # two episodes end, at the steps 4 and 8
  outbox.send(lambda: False)
  steps = receiving.Steps(connect(server), tf_metrics.EnvironmentSteps())
  counts, told = [], []
  for _ in range(4):
    steps.collect(3)
    counts.append(steps.steps)
    told.append(steps.episode_metrics().get('train_length'))
  assert counts == [3, 6, 9, 9]
  assert told == [None, 4.0, 4.0, 4.0]


def test_a_ticket_that_was_sent_again_is_counted_once(server, monkeypatch):
  address = connect(server)
  steps = receiving.Steps(address, tf_metrics.EnvironmentSteps())
  outboxes = [sending.Outbox(connect(server), _SPEC, 1, T) for _ in range(2)]
  for outbox in outboxes:
    for number in (0, 0, 1):  # as a stream does that has had no answer
      monkeypatch.setattr(outbox, '_number', number)
      fill(outbox, T + 1, episode=9)
      outbox.send(lambda: False)
      steps.collect(10)
  assert steps.steps == 2 * 2 * (T + 1)


def test_a_batch_is_drawn_before_it_is_asked_for(server):
  send(server, 12)
  connection = connect(server)
  samples = receiving.Samples(connection, _SPEC, 5, T, taken=0)
  samples.fetch()
  connection.rest()
  stop = time.monotonic() + 1.0
  connection.stopped = lambda: time.monotonic() > stop
  client = connect(server).client
  client.reset(tables.SEQUENCES)  # now there is nothing to draw
  samples.fetch()
  connection.rest()
  with pytest.raises(faults.EnvironmentFailed, match='given sequences'):
    samples.fetch()
  assert samples._batch[0].shape == (5, T + 1)


def test_a_collector_waits_for_the_learner_and_heeds_a_stop(server):
  outbox = sending.Outbox(connect(server), _SPEC, 1, T)
  fill(outbox, 2 * tables.SLICE, episode=100)
  outbox.send(lambda: False)
  fill(outbox, 5, episode=100, first=2 * tables.SLICE)
  start = time.monotonic()
  outbox.send(lambda: time.monotonic() > start + 0.5)
  assert time.monotonic() > start + 0.5
  assert connect(server).size(tables.STEPS) == _AHEAD
  assert outbox.steps == 2 * tables.SLICE


def test_there_is_a_window_before_the_first_ticket(server):
  outbox = sending.Outbox(connect(server), _SPEC, 2, T)
  found = []
  for number in range(T + 2):
    fill(outbox, 1, 2, first=number)
    outbox.send(lambda: False)
    found.append([connect(server).size(name) for name in (
        tables.SEQUENCES, tables.STEPS)])
  assert found == [*[[0, 0]] * T, [2, 1], [4, 1]]
  assert outbox.steps == 2 * (T + 1)  # the last row is none


def test_the_oldest_windows_are_forgotten(server):
  send(server, CAPACITY + T + 5, episode=7)
  client = connect(server).client
  assert client.server_info()[tables.SEQUENCES].current_size == CAPACITY
  first = {item.data[1][0, 0] for item in client.sample(
      tables.SEQUENCES, 400, emit_timesteps=False)}
  assert min(first) == 5


def test_a_batch_is_of_the_windows_that_are_there(server):
  send(server, 12)
  samples = receiving.Samples(connect(server), _SPEC, 5, T, taken=6)
  step = tf.function(samples.next)
  for count in (7, 8):
    samples.fetch()
    batch = step()
    x = batch.observation['x'].numpy()
    assert x.shape == (5, T + 1, 2)
    np.testing.assert_array_equal(np.diff(x[..., 0]), 1)
    assert samples.taken.numpy() == count
  assert batch.step_type.dtype == tf.int32


def test_an_evaluator_has_windows_of_the_server_until_that_is_gone(server):
  send(server, 12)
  drawn = drawn_lib.Drawn(server, _SPEC, T)
  newest = lambda: windows.read_newest(drawn.buffer, [T + 1], 16)
  assert newest() is None
  for _ in range(2):  # the second ones in place of the first
    drawn.draw()
    x = newest().observation['x'].numpy()
    assert x.shape[1:] == (T + 1, 2)
    np.testing.assert_array_equal(np.diff(x[..., 0]), 1)
  assert drawn.buffer.length == T + 1


def test_an_evaluator_without_server_keeps_its_windows():
  drawn = drawn_lib.Drawn(
      f'127.0.0.1:{address_lib.free_port()}', _SPEC, T)
  start = time.monotonic()
  drawn.draw()
  assert time.monotonic() - start < 10
  assert windows.read_newest(drawn.buffer, [T + 1], 16) is None


def test_weights_that_a_dying_server_refuses_are_sent_later(
    server, monkeypatch, capsys):
  weights = object.__new__(weights_lib.Weights)
  weights._connection = connect(server)

  def fails(error):
    def raise_it():
      raise error
    return raise_it

  died = tf.errors.InternalError(None, None, 'Error when confirming')
  monkeypatch.setattr(weights, '_push_new', fails(died), raising=False)
  weights._push()
  assert 'will be again: Error when confirming' in capsys.readouterr().out
  other = tf.errors.InvalidArgumentError(None, None, 'of another shape')
  monkeypatch.setattr(weights, '_push_new', fails(other))
  with pytest.raises(tf.errors.InvalidArgumentError):
    weights._push()


def test_a_learner_without_steps_returns_to_be_stopped(server):
  steps, thread = drain(server, 0)
  thread.join(10)
  start = time.monotonic()
  steps.collect(3)
  assert steps.steps == 0
  assert time.monotonic() - start < 5


def test_a_wait_for_a_server_that_is_gone_ends_with_a_stop():
  said = []
  connection = connection_lib.Connection(
      f'127.0.0.1:{address_lib.free_port()}', 'learner', say=said.append)
  start = time.monotonic()
  connection.stopped = lambda: time.monotonic() > start + 3.5
  with pytest.raises(faults.EnvironmentFailed, match='learner was interr'):
    connection.info()
  assert 'No answer of the replay server' in said[0]


def test_tickets_of_a_checkpoint_are_not_counted_again(server):
  outbox = sending.Outbox(connect(server), _SPEC, 1, T)
  fill(outbox, T + 1)
  outbox.send(lambda: False)
  client = connect(server).client
  assert client.server_info()[tables.STEPS].current_size == 1
  assert roles._begin(client, {'task': 'catch'}, 0) == 1
  assert client.server_info()[tables.STEPS].current_size == 0
  with pytest.raises(ValueError, match="task: here pong, there catch"):
    roles._begin(client, {'task': 'pong'}, 0)


def test_a_port_is_kept_to_the_loopback_device(server):
  _, port = address_lib.parse(server)
  loopback.restrict(port)
  devices = [
      listening.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
      for listening in loopback.sockets(port)]
  assert {device.rstrip(b'\0') for device in devices} == {b'lo'}
  socket.create_connection(('127.0.0.1', port), 5).close()


def test_what_comes_by_another_device_is_refused(monkeypatch):
  others = [name for _, name in socket.if_nameindex() if name != 'lo']
  if not others:
    pytest.skip('this machine has the loopback device alone')
  with socket.create_server(('127.0.0.1', 0)) as listening:
    port = listening.getsockname()[1]
    socket.create_connection(('127.0.0.1', port), 5).close()
    listening.setsockopt(
        socket.SOL_SOCKET, socket.SO_BINDTODEVICE, others[0].encode() + b'\0')
    with pytest.raises(ConnectionRefusedError):  # which comes by `lo`
      socket.create_connection(('127.0.0.1', port), 5)


def test_a_port_that_nobody_listens_to_is_no_restricted_one():
  with pytest.raises(ValueError, match='cannot be kept to this machine'):
    loopback.restrict(address_lib.free_port())


# The end ----------------------------------------------------------------------


def restart(server, mine, taken=0):
  """Does what a replay server does that has started from a checkpoint."""
  client = connect(server).client
  roles._begin(client, dict.fromkeys(description.ROWS, 'same') | mine, taken)
  return client


def test_collectors_hear_of_an_end_at_their_last_step_or_later(
    server, monkeypatch):
  monkeypatch.setattr(end_lib, '_LOOK_EVERY', 0.0)
  restart(server, {'settings': {}})
  end = end_lib.End(connect(server))
  monkeypatch.setattr(end._sparing, '_SHARE', 1e9)  # it is always due
  assert not end.reached(100)
  end_lib.End(connect(server)).tell(100)
  assert end.reached(100)
  assert not end.reached(101)  # of a run that is resumed with more steps
  end_lib.End(connect(server)).tell(101)
  assert end.reached(101)


def test_a_learner_that_joins_withdraws_the_end_of_an_earlier_one(
    server, monkeypatch):
  monkeypatch.setattr(end_lib, '_LOOK_EVERY', 0.0)
  restart(server, {'settings': {}})
  end_lib.End(connect(server)).tell(100)  # a callback had stopped it
  end_lib.End(connect(server)).withdraw()
  assert not end_lib.End(connect(server)).reached(100)


def test_the_end_stays_with_a_replay_server_that_is_started_again(server):
  restart(server, {'settings': {'a': '1'}})
  end_lib.End(connect(server)).tell(100)
  restart(server, {'settings': {'a': '2'}}, taken=100)
  assert connect(server).description() == {
      **dict.fromkeys(description.ROWS, 'same'),
      'settings': {'a': '2'}, description.ENDED: 100}


def test_an_end_before_the_last_step_ends_with_its_replay_server(server):
  restart(server, {})
  end_lib.End(connect(server)).tell(100)  # a callback had stopped it at 60
  restart(server, {}, taken=60)
  assert description.ENDED not in connect(server).description()


def test_a_collector_that_waits_for_a_learner_ends_with_the_run(server):
  restart(server, {})
  outbox = sending.Outbox(connect(server), _SPEC, 1, T)
  end = end_lib.End(connect(server))
  fill(outbox, 60)  # there is no room for so many tickets
  waits = threading.Thread(
      target=outbox.send, args=[lambda: end.reached(100)], daemon=True)
  waits.start()
  waits.join(1.0)
  assert waits.is_alive()
  end_lib.End(connect(server)).tell(100)
  waits.join(10)
  assert not waits.is_alive()
