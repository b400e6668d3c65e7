"""`benchmarks/scale`: its model and ages by hand, its tables, a tiny run."""

import math
import pathlib
import subprocess
import sys

import pytest

_FOLDER = pathlib.Path(__file__).resolve().parents[2] / 'benchmarks' / 'scale'
sys.path.append(str(_FOLDER))
import figures  # noqa: E402 - needs the path
import limits  # noqa: E402
import processes  # noqa: E402
import whole  # noqa: E402

_cost = limits.Cost
_COSTS = limits.Costs(
    random=_cost(1.0, 0.5, 0.0), act=_cost(5.0, 2.5, 0.0),
    feed=_cost(0.1, 0.1, 0.0), row=_cost(2.0, 1.0, 0.25),
    put=_cost(3.0, 1.5, 0.5), take=_cost(0.25, 0.125, 0.0625),
    window=_cost(2.0, 1.0, 0.75),
    push=_cost(100.0, 50.0, 10.0), pull=_cost(20.0, 10.0, 4.0),
    update=_cost(24.0, 48.0, 0.0), row_bytes=1000.0, window_bytes=7000.0,
    weights_bytes=10**6)
_RUN = limits.Run(collectors=6, steps_per_update=4, batch_size=8)


def test_collectors_share_a_policy_step_among_their_environments():
  # 1 + 4 / E + 3 seconds a step, nine tenths of the time.
  assert limits.collect(_COSTS, _RUN) == pytest.approx(6 * 0.9 / 8)
  four = _RUN._replace(environments=4)
  assert limits.collect(_COSTS, four) == pytest.approx(6 * 0.9 / 5)
  none = _RUN._replace(weights_share=0.0)
  assert limits.collect(_COSTS, none) == pytest.approx(6 / 8)


def test_a_learner_updates_takes_tickets_and_sends_weights():
  # 24 + 4 * 0.25 = 25 seconds; a tenth more for weights.
  assert limits.learn(_COSTS, _RUN) == pytest.approx(4 / 27.5)
  small = _COSTS._replace(push=_cost(2.0, 0.0, 0.0))
  assert limits.learn(small, _RUN) == pytest.approx(4 / 27)
  # 12 + 1, for the tickets are taken by one.
  two = _RUN._replace(learners=2)
  assert limits.learn(small, two) == pytest.approx(4 / (13 + 1.3))


def test_a_batch_that_takes_longer_than_an_update_is_waited_for():
  # 32 * 2 + 4 * 0.25 = 65 seconds; a tenth more for weights.
  large = _RUN._replace(batch_size=32)
  assert limits.learn(_COSTS, large) == pytest.approx(4 / 71.5)


def test_servers_store_rows_and_tickets_and_give_windows():
  # 0.5 + 0.0625 + 8 / 4 * 0.75 = 2.0625 seconds a step.
  run = _RUN._replace(servers=2, server_cores=3)
  assert limits.serve(_COSTS, run) == pytest.approx(6 / 2.0625)


def test_bytes_of_a_step_are_its_row_and_its_windows():
  assert limits.step_bytes(_COSTS, _RUN) == 1000 + 2 * 7000
  run = _RUN._replace(servers=2, bandwidth=30_000.0)
  assert limits.limits(_COSTS, run)['wire'] == pytest.approx(4.0)


def test_a_collector_fetches_weights_for_a_tenth_of_its_time():
  assert limits.pulls(_COSTS, _RUN) == pytest.approx(6 * 0.1 / 20)


def test_a_step_is_counted_after_the_slices_of_all_collectors():
  assert limits.age(_RUN) == 6 * 16 / 4


def test_processes_of_a_machine_share_its_processors():
  # 0.5 + 2 + 1.5 + 0.5 + 0.125 + 0.0625 + (8 * 1.75 + 48) / 4 = 20.1875
  run = _RUN._replace(machine_cores=2)
  assert limits.share(_COSTS, run) == pytest.approx(2 / 20.1875)
  two = run._replace(environments=2)
  assert limits.share(_COSTS, two) == pytest.approx(2 / 19.1875)


def test_the_first_part_is_the_slowest():
  parts = limits.limits(_COSTS, _RUN._replace(machine_cores=8))
  assert limits.first(parts) == ('learner', parts['learner'])
  assert limits.first(limits.limits(
      _COSTS, _RUN._replace(machine_cores=1)))[0] == 'machine'


def test_costs_are_read_without_what_prepares_the_rows():
  lines = [
      ('feed_wall', '', 100), ('put_wall', '', 700), ('row_wire', 'frames', 9),
      ('window_wire', 'frames', 8), ('weights', '', 7), ('act_wall', '', 50)]
  rows = [
      {'preset': 'catch', 'collectors': '', 'measure': measure,
       'content': content, 'value': str(value)}
      for measure, content, value in lines]
  other = dict(rows[-1], preset='atari', value='1')
  costs = limits.read([*rows, other], 'catch')
  assert costs.put.wall == pytest.approx(600e-6)
  assert costs.act.wall == pytest.approx(50e-6)
  assert (costs.row_bytes, costs.window_bytes, costs.weights_bytes) == (9, 8, 7)
  assert math.isnan(costs.update.wall)


def test_the_age_of_weights_is_the_updates_done_since():
  updates = [  # each before an update; two send no weights
      {'time': 1.0, 'number': 1, 'steps': 10, 'push': 0.1},
      {'time': 2.0, 'number': 2, 'steps': 14},
      {'time': 3.0, 'number': 3, 'steps': 18, 'push': 0.1},
      {'time': 4.0, 'number': 4, 'steps': 18}]
  slices = [
      {'time': 0.5, 'arrived': False, 'steps': 0},
      {'time': 1.5, 'arrived': True, 'steps': 10},  # none is done
      {'time': 2.5, 'arrived': True, 'steps': 10},  # one is
      {'time': 3.5, 'arrived': True, 'steps': 18},  # two, and in the weights
      {'time': 4.5, 'arrived': True, 'steps': 18}]
  assert whole.staleness(updates, slices) == ([0, 1, 0], [1, 2, 1])


def test_the_readme_has_the_tables_that_were_measured():
  text = (_FOLDER / 'README.md').read_text()
  for table in figures.tables(figures.read()):
    assert table in text


def test_measured_points_are_those_that_the_model_is_asked_for():
  found = figures.points(figures.read())
  for kind in figures.KINDS:
    assert any(each == kind for _, each, _ in found)
  assert all(
      ('catch', 'collector', count) in found for count in (1, 2, 4, 8))


@pytest.mark.slow
def test_a_tiny_measurement_runs():
  pytest.importorskip('reverb')
  with processes.Child('points.py', 'stub', 'catch', '1', '0.2') as child:
    found = child.wait()
  (rate,) = [line['value'] for line in found if line['measure'] == 'steps']
  assert rate > 0


def test_a_child_that_fails_is_shown():
  with processes.Child('whole.py') as child:
    with pytest.raises(RuntimeError, match='not enough values'):
      child.wait()


def test_help_measures_nothing():
  ended = subprocess.run(
      [sys.executable, str(_FOLDER / 'scale.py'), '--help'],
      capture_output=True, text=True, check=False, timeout=60)
  assert '--[no]quick' in ended.stdout
