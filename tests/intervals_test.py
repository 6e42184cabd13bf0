import itertools
import math

import numpy as np
import pytest

from ctr_codistill.evaluation import intervals


def test_the_mean_of_four_values():
  # Mean 2.5, s = 1.29099, s / 2 = 0.645497, t_3 = 3.18245 (97.5 %).
  low, high = intervals.of_mean([1.0, 2.0, 3.0, 4.0])
  assert (low, high) == pytest.approx((0.44574, 4.55426), abs=1e-5)


def test_pairs_of_three_runs():
  # Pairs 01, 02, 12 are 1, 2, 6. Without run 0: 6, without 1: 2, without 2: 1.
  # Their mean 3, squares 9 + 1 + 4 = 14, se^2 = 2/3 x 14; t_2 = 4.30265.
  half = 4.30265 * math.sqrt(28 / 3)
  found = intervals.of_pairs([1.0, 2.0, 6.0], 3)
  assert found == pytest.approx((3 - half, 3 + half), abs=1e-4)


def test_a_figure_without_each_run_in_turn_has_the_interval_of_pairs():
  found = intervals.of_left_out(3.0, [6.0, 2.0, 1.0])
  assert found == pytest.approx(intervals.of_pairs([1.0, 2.0, 6.0], 3))


def test_too_few_runs_have_no_interval():
  assert np.isnan(intervals.of_mean([1.0])).all()
  assert np.isnan(intervals.of_pairs([1.0], 2)).all()


def test_equal_runs_have_an_interval_of_no_width():
  assert intervals.of_pairs([0.5] * 6, 4) == (0.5, 0.5)


def test_pairs_across_two_samples_leave_out_runs_of_either():
  # Mean 3. Without run 0: 4.5, without 2: 1.5; v = 1/2 x 4.5 = 2.25. Without
  # run 1: 4, without 3: 2; v = 1. se^2 = 3.25, with 3.25^2 / (2.25^2 + 1) =
  # 1.74 degrees of freedom; t = 4.97403.
  values = {(0, 1): 1.0, (0, 3): 2.0, (1, 2): 3.0, (2, 3): 6.0}
  found = intervals.jackknife(
    lambda kept: intervals.over_pairs(values, kept), [[0, 2], [1, 3]]
  )
  half = 4.97403 * math.sqrt(3.25)
  assert found == pytest.approx((3 - half, 3 + half), abs=1e-4)


def test_a_sample_of_one_run_has_no_interval():
  values = {(0, 1): 1.0, (1, 2): 3.0}
  found = intervals.jackknife(
    lambda kept: intervals.over_pairs(values, kept), [[0, 2], [1]]
  )
  assert np.isnan(found).all()


def test_unpaired_means_have_the_interval_of_welch():
  # Means 2 and 5; variances 1 / 3 and 4 / 3: se 1.29099, of (5/3)^2 /
  # ((1/9 + 16/9) / 2) = 2.941 degrees of freedom; t = 3.21876.
  low, high = intervals.of_difference([1, 2, 3], [3, 5, 7])
  half = 3.21876 * 1.2909944
  assert (low, high) == pytest.approx((3 - half, 3 + half), abs=1e-4)
  assert np.isnan(intervals.of_difference([1], [3, 5])).all()


def test_the_interval_of_pairs_holds_the_truth_about_as_often_as_it_says():
  """The mean distance of two normal points of variance v is 2 sqrt(v / pi)."""
  random = np.random.RandomState(0)
  hit, trials, runs = 0, 400, 6
  for _ in range(trials):
    # Predictions of one run for many examples, so that a pair is nearly exact.
    z = random.randn(runs, 1) * 0.5 + random.randn(runs, 50)
    values = [
      np.abs(z[i] - z[j]).mean()
      for i, j in itertools.combinations(range(runs), 2)
    ]
    truth = 2 * math.sqrt(1.25 / math.pi)  # 0.5^2 a run, 1 an example
    low, high = intervals.of_pairs(values, runs)
    hit += low <= truth <= high
  assert 0.88 <= hit / trials <= 0.99
