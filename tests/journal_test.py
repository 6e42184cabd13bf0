import json
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import (
  EventAccumulator,
)
from tensorboard.util import tensor_util

from ctr_codistill.training.journal import Entry
from ctr_codistill.training.journal import Journal
from ctr_codistill.training.strategy import Agreement

NAN = float("nan")


class _Clock:
  def __init__(self):
    self.now = 100.0

  def __call__(self):
    return self.now


@pytest.fixture
def clock():
  return _Clock()


@pytest.fixture
def make(tmp_path, clock):
  def journal(*, is_chief=True):
    return Journal(
      tmp_path / "group-0",
      Agreement(tf.distribute.get_strategy()),
      batch_size=10,
      stop=8,
      clock=clock,
      now=lambda: 1.5e9,
      is_chief=is_chief,
    )

  return journal


def _entry(
  step, label, teacher=0.0, weight=0.0, stale=NAN, seconds=NAN, taught=0.0
):
  terms = tf.constant([label, teacher, taught])
  return Entry(step, terms, weight, stale, seconds)


def _progress(tmp_path):
  return json.loads((tmp_path / "group-0" / "progress.json").read_text())


def _scalars(tmp_path):
  """Returns by tag the values by step, as tensorboard reads them."""
  events = EventAccumulator(str(tmp_path / "group-0" / "events"))
  events.Reload()
  return {
    tag: {
      event.step: float(tensor_util.make_ndarray(event.tensor_proto))
      for event in events.Tensors(tag)
    }
    for tag in events.Tags()["tensors"]
  }


def test_a_new_journal_says_that_it_starts(make, tmp_path):
  make()
  assert _progress(tmp_path) == {"state": "starting", "step": 0, "steps": 8}


def test_scalars_are_means_over_the_batch(make, clock, tmp_path):
  journal = make()
  journal.add(_entry(1, 7.0))
  journal.add(
    _entry(2, 6.0, 5.0, weight=0.5, stale=1.0, seconds=0.25, taught=4.0)
  )
  clock.now += 4  # 2 steps of 10 examples in 4 seconds
  journal.write(2)
  journal.scalars(2, {"validation/log_loss": 0.5, "validation/auc": NAN})
  journal.close()
  found = _scalars(tmp_path)
  assert found == {
    "loss": pytest.approx({1: 0.7, 2: 0.6 + 0.5 * 0.5}),
    "loss/label": pytest.approx({1: 0.7, 2: 0.6}),
    "loss/teacher": pytest.approx({2: 0.5 / 0.4}),  # of the rows taught
    "teacher/weight": pytest.approx({1: 0.0, 2: 0.5 * 0.4}),
    "teacher/taught_share": pytest.approx({1: 0.0, 2: 0.4}),
    "teacher/staleness_steps": {2: 1.0},
    "teacher/staleness_seconds": {2: 0.25},
    "examples_per_second": {2: 5.0},
    "validation/log_loss": {2: 0.5},
  }


def test_the_progress_file_says_how_far_and_how_fast(make, clock, tmp_path):
  journal = make()
  for step in (1, 2, 3, 4):
    journal.add(_entry(step, float(10 * step), stale=3.0))
  clock.now += 2  # 4 steps of 10 examples in 2 seconds
  journal.write(4)
  # The loss is the mean of the later half; 4 steps are left, at 20 a second.
  wanted = {
    "state": "training",
    "step": 4,
    "steps": 8,
    "loss": 3.5,
    "examples_per_second": 20.0,
    "staleness_steps": 3.0,
    "taught_steps": 0,
    "trained_steps": 4,
    "seconds_left": 2.0,
  }
  assert _progress(tmp_path) == pytest.approx(wanted)


def test_the_rate_is_a_running_mean_and_absent_staleness_is_null(
  make, clock, tmp_path
):
  journal = make()
  for step, seconds in ((1, 1), (2, 2)):
    journal.add(_entry(step, 1.0))
    clock.now += seconds
    journal.write(step)
  # 10 examples/s, then 5: 0.8 x 10 + 0.2 x 5 = 9. 60 examples are left.
  progress = _progress(tmp_path)
  assert progress["examples_per_second"] == pytest.approx(9.0)
  assert progress["seconds_left"] == pytest.approx(60 / 9)
  assert progress["staleness_steps"] is None


def test_the_steps_in_which_the_teacher_counted_are_counted(
  make, clock, tmp_path
):
  journal = make()
  journal.add(_entry(1, 1.0, taught=4.0))  # before the burn-in
  journal.add(_entry(2, 1.0, weight=0.5, taught=4.0))
  clock.now += 1
  journal.write(2)
  journal.add(_entry(3, 1.0, weight=0.5))  # a teacher that says nothing
  journal.add(_entry(4, 1.0, weight=0.5, taught=1.0))
  clock.now += 1
  journal.write(4)
  progress = _progress(tmp_path)
  assert (progress["taught_steps"], progress["trained_steps"]) == (2, 4)
  assert journal.taught == "taught in 2 of 4 steps"


def test_notes_are_added(make, tmp_path):
  journal = make()
  journal.note(validation={"auc": 0.75})
  journal.note(state="done", step=8)
  assert _progress(tmp_path) == {
    "state": "done",
    "step": 8,
    "steps": 8,
    "validation": {"auc": 0.75},
  }


def test_writing_nothing_changes_nothing(make, tmp_path):
  journal = make()
  journal.write(3)
  assert _progress(tmp_path)["step"] == 0


def test_others_than_the_chief_write_no_file(make, tmp_path):
  journal = make(is_chief=False)
  journal.add(_entry(1, 1.0))
  journal.write(1)
  journal.scalars(1, {"validation/auc": 0.5})
  journal.note(state="done")
  journal.close()
  assert not (tmp_path / "group-0").exists()


def test_a_journal_that_goes_on_keeps_what_was_written(make, clock, tmp_path):
  for step in (1, 2):
    journal = make()
    clock.now += 1
    journal.add(_entry(step, 10.0 * step))
    journal.write(step)
    journal.close()
  assert _scalars(tmp_path)["loss"] == {1: 1.0, 2: 2.0}


def test_losses_are_kept_exactly(make, clock, tmp_path):
  journal = make()
  values = np.random.RandomState(0).rand(7).astype(np.float32)
  for step, value in enumerate(values, start=1):
    journal.add(_entry(step, value))
  clock.now += 1
  journal.write(7)
  journal.close()
  found = _scalars(tmp_path)["loss/label"]
  np.testing.assert_allclose(list(found.values()), values / 10, rtol=1e-6)


def test_what_was_logged_is_held_by_nothing(make):
  journal = make()
  step, value = int("123456"), float("0.4321")
  before = sys.getrefcount(step), sys.getrefcount(value)
  journal.scalars(step, {"loss": value})
  assert (sys.getrefcount(step), sys.getrefcount(value)) == before
  journal.close()
