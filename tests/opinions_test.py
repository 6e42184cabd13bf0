import types

import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill.codistill import column
from ctr_codistill.codistill.listening import Listening
from ctr_codistill.codistill.schedule import Span
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
    self.asked, self.fixed = 0, ()

  def __call__(self, features, shares):
    self.shares = shares
    self.asked += len(features["all"])
    return tf.cast(features["all"][:, 0], tf.float32) / 100


SPAN = Span(steps=100, epoch_steps=50.0)


def _from_snapshots(teacher, *, bound=0, **codistill):
  codistill = config.Codistill(**codistill)
  return FromSnapshots(
    teacher,
    lambda rows: {"all": rows},
    Listening(codistill, SPAN, bound=bound),
    taught_share=codistill.taught_share,
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
  np.testing.assert_allclose(said.logit, [0, 0.02] + [nan] * 6)
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
  assert said.logit.shape == [8] and np.isnan(said.logit).all()


def test_the_stalest_of_the_peers_is_told():
  said = _from_snapshots(_Teacher(5, 3), burn_in_steps=0)(7, ROWS)
  assert (said.staleness_steps, said.staleness_seconds) == (4, 170.0)


def test_a_peer_beyond_the_bound_is_not_asked_and_of_no_account():
  teacher = _Teacher(9, 3)
  opinions = _from_snapshots(teacher, bound=5, burn_in_steps=0)
  said = opinions(9, ROWS)
  assert teacher.shares == {0: 1.0}
  assert (said.staleness_steps, said.staleness_seconds) == (0, 110.0)
  said = opinions(20, ROWS)
  assert said.weight == 0 and np.isnan(said.logit).all()
  assert np.isnan(said.staleness_steps)


class _Exchange:
  """Of two peers, groups 3 and 4; the second is older."""

  peers = (3, 4)

  def __init__(self, *said):
    self._said, self.left = said, None

  def take(self, step):
    said = np.array(self._said, np.float32)
    there = ~np.isnan(said).all(1)
    return said, {p: a for p, a, is_ in zip((3, 4), (2, 6), there) if is_}

  def leave(self, step, logits):
    self.left = (step, logits.tolist())


def _from_predictions(exchange, *, bound=0, **codistill):
  listening = Listening(config.Codistill(**codistill), SPAN, bound=bound)
  return FromPredictions(exchange, listening, column.mean_logit)


NAN = float("nan")


def test_predictions_of_peers_are_brought_together_and_own_ones_left():
  exchange = _Exchange([0.5, NAN, 1.0], [NAN, NAN, 2.0])
  opinions = _from_predictions(exchange, burn_in_steps=5)
  assert opinions(4, ROWS[:3]).weight == 0  # burn-in
  said = opinions(5, ROWS[:3])
  assert said.weight == 1 and said.staleness_steps == 6
  np.testing.assert_array_equal(said.logit, [0.5, NAN, 1.5])
  opinions.hear(5, tf.constant([1.0, 2.0]))
  assert exchange.left == (5, [1.0, 2.0])


def test_stale_predictions_are_passed_over():
  exchange = _Exchange([0.5, NAN, 1.0], [NAN, NAN, 2.0])
  said = _from_predictions(exchange, burn_in_steps=0, bound=5)(5, ROWS[:3])
  assert said.staleness_steps == 2
  np.testing.assert_array_equal(said.logit, [0.5, NAN, 1.0])


def test_a_peer_counts_as_much_as_it_is_fresh():
  exchange = _Exchange([1.0], [4.0])
  opinions = _from_predictions(
    exchange, burn_in_steps=0, staleness_half_life=4.0, weight=2.0
  )
  said = opinions(5, ROWS[:1])
  # 2^(-2/4) and 2^(-6/4), which is half of it: 1 counts twice as much as 4.
  assert said.weight == pytest.approx(2 * 0.75 * 0.5**0.5)
  np.testing.assert_allclose(said.logit, [2.0], rtol=1e-6)


def test_without_any_prediction_the_teacher_does_not_count():
  exchange = _Exchange([NAN, NAN], [NAN, NAN])
  assert _from_predictions(exchange, burn_in_steps=0)(5, ROWS[:2]).weight == 0
