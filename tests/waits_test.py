import pytest

from ctr_codistill.training.waits import Waits


class _Clock:
  def __init__(self):
    self.now = 50.0

  def __call__(self):
    return self.now


def _slow(clock, *seconds):
  for taken in seconds:
    clock.now += taken
    yield taken


def test_the_share_is_that_of_the_time_since_it_was_told():
  clock = _Clock()
  waits = Waits(_slow(clock, 1, 2, 5), clock=clock)
  next(waits)
  clock.now += 2
  next(waits)
  clock.now += 1
  assert waits.share() == pytest.approx((1 + 2) / 6)
  next(waits)
  clock.now += 15
  assert waits.share() == pytest.approx(5 / 20)
  assert waits.whole_share == pytest.approx(8 / 26)


def test_no_time_has_no_share_and_items_go_through():
  clock = _Clock()
  waits = Waits(iter("ab"), clock=clock)
  assert (list(waits), waits.share(), waits.whole_share) == (["a", "b"], 0, 0)
