import queue

import pytest

from ctr_codistill.config import Training
from ctr_codistill.training import outside
from pipelines.supervising.watch import Watch


class _World:
  """A clock that moves when it is slept by, and who hears the worker."""

  def __init__(self, **training):
    self.now, self.beats = 100.0, []
    self.watch = Watch(
      outside.patience(Training(**training)),
      lambda *beat: self.beats.append(beat),
      ticks=lambda: self.now,
    )

  def sleep(self, seconds):
    self.now += seconds


@pytest.mark.parametrize(
  ("phase", "limit", "rule"),
  [
    (outside.TRAINING, 40.0, "collective_timeout"),
    (outside.BUILDING, 90.0, "start_timeout"),
    (outside.STORAGE, 70.0, "storage_timeout"),
  ],
)
def test_a_silence_is_late_after_the_limit_of_its_phase(phase, limit, rule):
  world = _World(
    collective_timeout=40.0, start_timeout=90.0, storage_timeout=70.0
  )
  world.watch.beat(phase, 3)
  world.now = 100 + limit
  assert not world.watch.late()
  world.now += 1
  assert world.watch.late() == (
    f"no step for {limit + 1:.0f} s: the workers of its group should answer "
    f"within {limit:g} s (training.{rule})"
  )
  world.watch.beat(phase, 4)
  assert not world.watch.late()
  assert world.beats == [(phase, 3), (phase, 4)]


@pytest.mark.parametrize("phase", ["", "starting", outside.JOINING])
def test_a_worker_that_waits_for_its_group_to_come_is_not_late(phase):
  # That has a deadline of its own.
  world = _World()
  if phase:
    world.watch.beat(phase)
  world.now += 1e6
  assert not world.watch.late()


def test_it_ends_the_worker_once_and_says_why():
  world, ended = _World(collective_timeout=40.0), queue.Queue()
  world.watch.beat(outside.TRAINING, 3)
  world.watch.start(ended.put, world.sleep)
  assert ended.get(timeout=60).startswith("no step for 42 s")
  assert world.now == 142 and ended.empty()
