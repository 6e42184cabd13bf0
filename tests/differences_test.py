import math

import numpy as np
import pytest

from ctr_codistill.evaluation import differences
from ctr_codistill.evaluation.differences import Runs


def _runs(losses, pairs, seeds=None, **more):
  measures = {name: losses for name in differences.MEASURES}
  seeds = tuple(range(len(losses))) if seeds is None else seeds
  return Runs(seeds, measures, pairs, **more)


FIRST = _runs([0.50, 0.52, 0.48], {(0, 1): 2.0, (0, 2): 4.0, (1, 2): 3.0})


def test_repeats_of_the_same_seeds_are_paired():
  other = _runs([0.49, 0.50, 0.48], {(0, 1): 1.0, (0, 2): 2.0, (1, 2): 1.5})
  found = differences.of(FIRST, other)
  assert found["paired"] == 3
  # -0.01, -0.02, 0: mean -0.01, s 0.01, s / sqrt 3 = 0.0057735; t_2 = 4.30265.
  assert found["log_loss"] == pytest.approx(-0.01)
  wanted = (-0.034842, 0.014842)
  assert found["interval"]["log_loss"] == pytest.approx(wanted, abs=1e-6)
  # Each pair has half the churn of its like: nothing is left to doubt.
  assert found["churn"] == pytest.approx(-0.5)
  assert found["interval"]["churn"] == pytest.approx((-0.5, -0.5))


def test_other_seeds_make_samples_of_their_own():
  other = _runs(
    [0.49, 0.50, 0.48], {(0, 1): 1.0, (0, 2): 2.0, (1, 2): 1.5}, (7, 8, 9)
  )
  found = differences.of(FIRST, other)
  assert found["paired"] == 0
  assert found["log_loss"] == pytest.approx(-0.01)
  # Variances 0.0004 / 3 and 0.0001 / 3: se 0.0129099, of 2.9412 degrees of
  # freedom; t = 3.21876.
  low, high = found["interval"]["log_loss"]
  assert high - low == pytest.approx(2 * 3.21876 * 0.0129099, rel=1e-3)
  assert found["churn"] == pytest.approx(-0.5)
  low, high = found["interval"]["churn"]
  assert -1 < low < -0.6
  assert high > -0.4


def test_only_the_repeats_that_both_have_are_paired():
  losses, churn = [0.5, 0.52, 0.48, 9.9], {(i, 3): 99.0 for i in range(3)}
  first = _runs(losses, {**FIRST.pairs, **churn})
  other = _runs([0.49, 0.50, 0.48], {(0, 1): 1.0, (0, 2): 2.0, (1, 2): 1.5})
  found = differences.of(first, other)
  assert found["paired"] == 3
  assert found["log_loss"] == pytest.approx(-0.01)
  assert found["churn"] == pytest.approx(-0.5)


def test_two_repeats_are_too_few_to_pair_and_churn_has_no_interval():
  found = differences.of(FIRST, _runs([0.5, 0.5], {(0, 1): 1.5}))
  assert found["paired"] == 0
  assert found["churn"] == pytest.approx(-0.5)
  assert np.isnan(found["interval"]["churn"]).all()


def test_refreshed_repeats_are_left_out_one_by_one_of_either_data():
  pairs = {(0, 1): 1.0, (0, 3): 2.0, (1, 2): 3.0, (2, 3): 6.0}
  half = {pair: value / 2 for pair, value in pairs.items()}
  first = _runs([0.5] * 4, pairs, is_refreshed=True)
  other = _runs([0.5] * 4, half, is_refreshed=True)
  found = differences.of(first, other)
  assert found["paired"] == 4
  assert found["interval"]["churn"] == pytest.approx((-0.5, -0.5))


@pytest.mark.parametrize(
  ("low", "high", "said"),
  [
    (0.1, 0.2, "worse"),
    (-0.2, -0.1, "better"),
    (-0.1, 0.1, "not shown"),
    (math.nan, math.nan, "not shown"),
  ],
)
def test_the_verdict_is_what_the_interval_shows_of_zero(low, high, said):
  found = {"interval": {"log_loss": (low, high)}}
  assert differences.verdict(found) == said
