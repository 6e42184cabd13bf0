"""A group that waits for its peers' snapshots, which are real ones."""

import math

import pytest

from ctr_codistill import stamped
from ctr_codistill.codistill.teacher import Teacher
from ctr_codistill.errors import InputError
from ctr_codistill.method_config import Exchange
from ctr_codistill.training.following import Following
from ctr_codistill.training.following import needed_from

EXCHANGE = Exchange(every_steps=4, wait_timeout=5.0)


class _Time:
  """A clock that only sleeping moves; at second s it first does `events[s]`."""

  def __init__(self, teacher, events=()):
    self.now, self._events, self._teacher = 0.0, dict(events), teacher

  def clock(self):
    return self.now

  def sleep(self, seconds):
    self._teacher.wait()
    self.now += seconds
    for second in [s for s in self._events if s <= self.now]:
      self._events.pop(second)()


@pytest.fixture
def teacher(tmp_path):
  return Teacher({1: tmp_path / "1"})


def test_the_teacher_is_a_period_behind_the_student():
  due = [EXCHANGE.due(step) for step in range(0, 14)]
  # Below 1: none. After 8 to 11 steps that of step 4.
  assert due == [-4] * 4 + [0] * 4 + [4] * 4 + [8] * 2


def test_a_delay_is_made_whole_periods():
  assert Exchange(every_steps=4, delay_steps=5, keep=4).due(16) == 8


@pytest.mark.parametrize("last", [100, 7])
def test_a_peer_that_trains_less_is_heard_by_its_last(teacher, last):
  following = Following(teacher, EXCHANGE, (100, last))
  assert [following.wanted(step) for step in (7, 8, 13)] == [
    [-1],
    [4],
    [min(8, last)],
  ]


def _used(teacher):
  return [snapshot.step for snapshot in teacher.snapshots.values()]


def test_exactly_the_snapshot_that_is_due_is_taken(teacher, publish, tmp_path):
  for step in (4, 8, 12):
    publish(tmp_path / "1", step, step)
  time, found = _Time(teacher), []
  following = Following(teacher, EXCHANGE, (99, 99))
  act = following.action(time.clock, time.sleep)
  for step in (0, 4, 8, 12, 13):
    following.look(step)
    act(step)
    found.append(_used(teacher))
  assert found == [[], [], [4], [8], [8]]


def test_one_that_is_torn_or_late_is_waited_for_and_named(
  teacher, publish, flip, tmp_path, caplog
):
  path = publish(tmp_path / "1", 4, 1)
  flip(path / "variables" / "variables.index")

  def again():
    stamped.delete(path)
    publish(tmp_path / "1", 4, 1)

  time = _Time(
    teacher, {2.0: again, 1.0: lambda: publish(tmp_path / "1", 8, 1)}
  )
  Following(teacher, EXCHANGE, (99, 99)).action(time.clock, time.sleep)(8)
  assert _used(teacher) == [4]
  assert time.now >= 2
  said = f"a snapshot is waited for: {path}: variables/variables.index should"
  assert caplog.text.count(said) == 1


def test_one_that_never_comes_ends_the_wait(teacher, publish, tmp_path):
  publish(tmp_path / "1", 8, 1)
  time = _Time(teacher)
  act = Following(teacher, EXCHANGE, (99, 99)).action(time.clock, time.sleep)
  said = r"snapshot 4 of group 1 should be there within 5 s .* of step 8, is "
  said += r"not; .*/4 is no complete directory"
  with pytest.raises(InputError, match=said):
    act(8)
  assert 5 <= time.now < 5.2


def test_what_a_peer_may_go_back_to_stays(tmp_path):
  for name, steps in (("a", (7, 14)), ("b", (21, 28))):
    for step in steps:
      stamped.write(tmp_path / name / str(step), lambda path: None, {})
  folders = [tmp_path / "b"]
  # From step 21 on it asks for 16; the other, from 7 on, for all there are.
  assert needed_from(folders, EXCHANGE) == 16
  assert needed_from([*folders, tmp_path / "a"], EXCHANGE) == 0
  assert needed_from([*folders, tmp_path / "none yet"], EXCHANGE) < 0
  assert needed_from([], EXCHANGE) == math.inf
