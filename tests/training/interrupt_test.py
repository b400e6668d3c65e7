"""Tests of Ctrl-C: a request first, an end at once the second time."""

import signal
import threading

import pytest

from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.training import interrupt

_BOTH = pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])


@pytest.fixture(autouse=True)
def _handlers():
  """Whatever a test does, the handlers are those before it."""
  before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
  yield before
  for number, handler in before.items():
    signal.signal(number, handler)


def test_nothing_is_requested_at_first():
  with interrupt.Interrupt() as stop:
    assert not stop.requested


@_BOTH
def test_the_first_signal_is_a_request(number):
  with interrupt.Interrupt() as stop:
    signal.raise_signal(number)
    assert stop.requested


@pytest.mark.parametrize('number, error, arguments', [
    (signal.SIGINT, KeyboardInterrupt, None),
    (signal.SIGTERM, faults.Terminated, (143,))])
def test_the_second_signal_ends_at_once(number, error, arguments):
  with interrupt.Interrupt():
    signal.raise_signal(number)
    with pytest.raises(error) as caught:
      signal.raise_signal(number)
  assert arguments is None or caught.value.args == arguments


def test_handlers_are_restored(_handlers):
  with interrupt.Interrupt():
    signal.raise_signal(signal.SIGINT)
  assert {n: signal.getsignal(n) for n in _handlers} == _handlers


def test_handlers_are_restored_after_an_error(_handlers):
  with pytest.raises(KeyError), interrupt.Interrupt():
    raise KeyError
  assert {n: signal.getsignal(n) for n in _handlers} == _handlers


def test_errors_pass_through():
  with pytest.raises(ValueError, match='mine'), interrupt.Interrupt():
    raise ValueError('mine')


def test_another_thread_may_train_without_handlers(_handlers):
  seen = []

  def work():
    with interrupt.Interrupt() as stop:
      seen.append(stop.requested)

  thread = threading.Thread(target=work)
  thread.start()
  thread.join()
  assert seen == [False]
  assert {n: signal.getsignal(n) for n in _handlers} == _handlers


def test_sigterm_ends_a_program_as_an_error_would(_handlers):
  signal.signal(signal.SIGTERM, signal.SIG_DFL)
  with pytest.raises(SystemExit) as ended, interrupt.terminable():
    signal.raise_signal(signal.SIGTERM)
  assert ended.value.code == 143
  assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_handler_of_someone_elses_for_sigterm_stays(_handlers):
  seen = []
  signal.signal(signal.SIGTERM, lambda *_: seen.append(1))
  with interrupt.terminable():
    signal.raise_signal(signal.SIGTERM)
  assert seen == [1]
