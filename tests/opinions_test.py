import types

import numpy as np
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill.training.opinions import FromPredictions
from ctr_codistill.training.opinions import FromSnapshots

ROWS = tf.reshape(tf.range(16), [8, 2])


class _Teacher:
  """Says of a row the number of its batch's row; counts who was asked."""

  def __init__(self, *steps):
    self.snapshots = {
      peer: types.SimpleNamespace(step=step, facts={"published": 10.0 * step})
      for peer, step in enumerate(steps)
    }
    self.asked = 0

  def __call__(self, features):
    self.asked += len(features["all"])
    return tf.cast(features["all"][:, 0], tf.float32) / 100


def _from_snapshots(teacher, **codistill):
  return FromSnapshots(
    teacher,
    lambda rows: {"all": rows},
    config.Codistill(**codistill),
    clock=lambda: 200.0,
  )


def test_snapshots_are_asked_about_a_share_that_counts_as_much_more():
  teacher = _Teacher(3)
  opinions = _from_snapshots(
    teacher, weight=0.5, burn_in_steps=0, taught_share=0.25
  )
  said = opinions(7, ROWS)
  # Two of eight rows, so 4 x 1/2; step 3 is 4 steps and 200 - 30 seconds old.
  assert teacher.asked == 2
  nan = float("nan")
  np.testing.assert_allclose(said.probability, [0, 0.02] + [nan] * 6)
  assert said.weight == 2.0
  assert (said.staleness_steps, said.staleness_seconds) == (4, 170.0)


def test_of_a_small_batch_one_row_at_least_is_asked_about():
  teacher = _Teacher(3)
  _from_snapshots(teacher, burn_in_steps=0, taught_share=0.01)(7, ROWS)
  assert teacher.asked == 1


def test_nobody_is_asked_before_the_end_of_the_burn_in():
  teacher = _Teacher(3)
  said = _from_snapshots(teacher, burn_in_steps=8)(7, ROWS)
  assert teacher.asked == 0 and said.weight == 0
  assert said.probability.shape == [8] and np.isnan(said.probability).all()


def test_the_stalest_of_the_peers_is_told():
  said = _from_snapshots(_Teacher(5, 3), burn_in_steps=0)(7, ROWS)
  assert (said.staleness_steps, said.staleness_seconds) == (4, 170.0)


class _Exchange:
  def __init__(self, *said):
    self._said, self.left = said, None

  def take(self, step):
    return np.array(self._said, np.float32), 2.0

  def leave(self, step, logits):
    self.left = (step, logits.tolist())


def test_predictions_of_peers_are_handed_on_and_own_ones_left():
  exchange = _Exchange(0.5, float("nan"))
  opinions = FromPredictions(exchange, config.Codistill(burn_in_steps=5))
  assert opinions(4, ROWS[:2]).weight == 0  # burn-in
  said = opinions(5, ROWS[:2])
  assert said.weight == 1 and said.staleness_steps == 2
  np.testing.assert_array_equal(said.probability, [0.5, float("nan")])
  opinions.hear(5, tf.constant([1.0, 2.0]))
  assert exchange.left == (5, [1.0, 2.0])


def test_without_any_prediction_the_teacher_does_not_count():
  exchange = _Exchange(float("nan"), float("nan"))
  opinions = FromPredictions(exchange, config.Codistill(burn_in_steps=0))
  assert opinions(5, ROWS[:2]).weight == 0
