import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from ctr_codistill.errors import InputError
from ctr_codistill.evaluation.churn import Churn
from ctr_codistill.evaluation.churn import bins
from ctr_codistill.evaluation.metrics import Quality

special = pytest.importorskip("scipy.special")

# Differences 0.1, 0, -0.2 and 0.3.
_P = np.array([0.3, 0.5, 0.2, 0.6])
_Q = np.array([0.2, 0.5, 0.4, 0.3])


def _runs(rows, runs=2, seed=0, noise=0.3):
  rng = np.random.default_rng(seed)
  logits = rng.normal(-1.3, 1.2, rows)
  return special.expit(logits + noise * rng.normal(size=(runs, rows)))


def _pairs(low=0.0):
  probability = st.floats(low, 1 - low)
  return st.lists(
    st.tuples(probability, probability), min_size=1, max_size=50
  ).map(lambda rows: np.array(rows).T)


def test_four_examples_by_hand():
  found = Churn.of(np.array([_P, _Q]), thresholds=(0.5, 0.25))
  (pair,) = found.pairs
  # (0.1 + 0 + 0.2 + 0.3) / 4
  assert pair.mean_absolute == pytest.approx(0.6 / 4)
  # 2 (0.1 / 0.5 + 0 + 0.2 / 0.6 + 0.3 / 0.9) / 4
  assert pair.mean_relative == pytest.approx((0.4 + 2 / 3 + 2 / 3) / 4)
  # (0.1 + 0 - 0.2 + 0.3) / 4
  assert pair.shift == pytest.approx(0.05)
  # Mean square (0.01 + 0 + 0.04 + 0.09) / 4 less the square of the shift.
  assert pair.scatter == pytest.approx(math.sqrt(0.035 - 0.0025))
  assert pair.maximum == pytest.approx(0.3)
  assert pair.equal_share == 1 / 4
  # At 0.5 only 0.6 | 0.3 parts; at 0.25, 0.3 | 0.2 and 0.2 | 0.4 do.
  assert np.array_equal(pair.flip_shares, [1 / 4, 2 / 4])
  # ln of the ratios of odds: (3/7)/(1/4), 1, (1/4)/(2/3), (3/2)/(3/7).
  logits = np.log([12 / 7, 1, 3 / 8, 7 / 2])
  assert pair.logit_rms == pytest.approx(math.sqrt((logits**2).mean()))


def test_equal_predictions_have_no_churn():
  found = Churn.of(np.array([_P, _P]))
  assert found.mean_absolute == found.mean_relative == found.maximum == 0
  assert found.mean("logit_rms") == found.mean("scatter") == 0
  assert found.mean("equal_share") == 1
  assert found.quantile(0.99) == 0


def test_two_zeros_are_no_relative_difference():
  found = Churn.of(np.array([[0.0, 0.0], [0.0, 0.5]]))
  # 0 of 0 counts as 0; 0 against 0.5 is the largest possible, 2.
  assert found.mean_relative == 1.0
  assert math.isfinite(found.mean("logit_rms"))


def test_a_shift_is_told_from_scatter():
  shifted = Churn.of(np.array([_P + 0.1, _P]))
  assert shifted.shift == pytest.approx(0.1)
  assert shifted.mean("scatter") == pytest.approx(0, abs=1e-8)
  swapped = Churn.of(np.array([[0.2, 0.4], [0.4, 0.2]]))
  assert swapped.shift == pytest.approx(0)
  assert swapped.mean("scatter") == pytest.approx(0.2)


def test_every_pair_of_three_runs_counts_and_the_mean_is_theirs():
  found = Churn.of(np.array([[0.1], [0.2], [0.5]]))
  # Pairs (0, 1), (0, 2), (1, 2) in this order.
  wanted = [0.1, 0.4, 0.3]
  assert [p.mean_absolute for p in found.pairs] == pytest.approx(wanted)
  assert [p.shift for p in found.pairs] == pytest.approx([-0.1, -0.4, -0.3])
  assert found.mean_absolute == pytest.approx(0.8 / 3)
  assert found.maximum == pytest.approx(0.4)
  assert (found.runs, found.examples) == (3, 1)
  assert bins.pairs_of(3) == [(0, 1), (0, 2), (1, 2)]


def test_parts_merge_to_the_same_bits_in_any_order():
  probability, label = _runs(5000, runs=3), np.arange(5000) % 2
  cuts = (slice(0, 1), slice(1, 1234), slice(1234, None))
  parts = [
    Churn.of(
      probability[:, rows],
      thresholds=(0.1, 0.5),
      example=np.arange(5000)[rows],
      label=label[rows],
    )
    for rows in cuts
  ]
  merged = [
    parts[a].merge(parts[b]).merge(parts[c])
    for a, b, c in itertools.permutations(range(3))
  ]
  merged.append(parts[2].merge(parts[1].merge(parts[0])))
  assert all(one == merged[0] for one in merged)
  assert all(
    one.mean_absolute == merged[0].mean_absolute
    and one.qualities[0] == merged[0].qualities[0]
    for one in merged
  )


def test_merged_parts_equal_the_whole():
  probability = _runs(5000, runs=3)
  whole = Churn.of(probability, thresholds=(0.1, 0.5))
  first, second = (
    Churn.of(probability[:, rows], thresholds=(0.1, 0.5))
    for rows in (slice(0, 1234), slice(1234, None))
  )
  for ours, wanted in zip(first.merge(second).pairs, whole.pairs):
    for name, value in vars(wanted).items():
      if value is not None:
        assert getattr(ours, name) == pytest.approx(value), name


def test_sums_of_other_runs_or_thresholds_do_not_merge():
  one = Churn.of(_runs(5))
  with pytest.raises(ValueError, match=r"\(2, \(0.5,\)\), are \(3, \(0.5,\)\)"):
    one.merge(Churn.of(_runs(5, runs=3)))
  with pytest.raises(ValueError, match=r"\(0.5,\)\), are \(2, \(0.1,\)\)"):
    one.merge(Churn.of(_runs(5), thresholds=(0.1,)))


def test_sums_with_and_without_labels_do_not_merge():
  one, other = _runs(5), np.zeros(5)
  with pytest.raises(ValueError, match=r"should.*'clicks'"):
    Churn.of(one, label=other).merge(Churn.of(one))


def test_flips_are_won_by_the_run_that_is_right():
  # At 0.5: rows 0 and 1 flip to a click, row 2 away from one.
  probability = np.array([[0.4, 0.4, 0.6, 0.1], [0.6, 0.6, 0.4, 0.1]])
  (pair,) = Churn.of(probability, label=np.array([1, 0, 0, 1])).pairs
  # The second run is right in rows 0 and 2.
  assert (pair.flips[0], pair.wins[0]) == (3, 2)


def test_quality_is_that_of_the_metrics():
  probability, label = _runs(500), np.arange(500) % 2
  found = Churn.of(probability, label=label).qualities
  for ours, row in zip(found, probability):
    wanted = Quality.of(row, label)
    assert ours.to_dict() == pytest.approx(wanted.to_dict())


def test_one_run_is_refused():
  with pytest.raises(InputError, match="at least 2 runs, got 1"):
    Churn.of(np.array([_P]))


def test_no_rows_have_no_ratios():
  found = Churn.of(np.zeros((2, 0)))
  assert math.isnan(found.mean_absolute)
  assert math.isnan(found.quantile(0.5))
  assert found.maximum == 0


@settings(max_examples=100, deadline=None)
@given(_pairs(low=1e-6))
def test_equals_plain_numpy_and_scipy(probability):
  (pair,) = Churn.of(probability).pairs
  p, q = probability
  assert pair.mean_absolute == pytest.approx(np.mean(abs(p - q)))
  relative = np.mean(2 * abs(p - q) / (p + q))
  assert pair.mean_relative == pytest.approx(relative)
  logits = special.logit(p) - special.logit(q)
  wanted = np.sqrt(np.mean(logits**2))
  assert pair.logit_rms == pytest.approx(wanted, rel=1e-6, abs=1e-9)
  assert pair.scatter == pytest.approx(np.std(p - q), abs=1e-7)
  assert pair.maximum == np.max(abs(p - q))


@settings(max_examples=100, deadline=None)
@given(_pairs())
def test_every_example_is_in_one_bin_of_each_histogram(probability):
  found = Churn.of(probability)
  (pair,) = found.pairs
  rows = probability.shape[1]
  for counts in (pair.histogram, pair.density, found.counts["levels"]):
    assert counts.sum() == rows
  assert found.floats("levels")[0].sum() == pytest.approx(pair.absolute)


def test_differences_fall_between_the_edges_of_their_bins():
  edges = bins.difference_edges()
  for size in (0, 1e-9, 2e-7, 0.001234, 0.5, 1.0):
    (pair,) = Churn.of(np.array([[size], [0.0]])).pairs
    (place,) = np.flatnonzero(pair.histogram)
    assert edges[place] <= size <= edges[place + 1]


def test_predictions_fall_between_the_edges_of_their_levels():
  edges = bins.level_edges()
  p, q = 0.012, 0.7
  found = Churn.of(np.array([[p], [q]]))
  (pair,) = found.pairs
  ((row, column),) = np.argwhere(pair.density)
  assert edges[row] <= p <= edges[row + 1]
  assert edges[column] <= q <= edges[column + 1]
  # The level is that of the mean logit.
  mean = special.expit((special.logit(p) + special.logit(q)) / 2)
  (level,) = np.flatnonzero(found.counts["levels"])
  assert edges[level] <= mean <= edges[level + 1]


def test_quantiles_are_within_a_bin_of_the_true_ones():
  probability = _runs(20_000)
  found = Churn.of(probability)
  for share in (0.1, 0.5, 0.9, 0.99):
    true = np.quantile(abs(probability[0] - probability[1]), share)
    assert found.quantile(share) == pytest.approx(true, rel=0.0625)


def test_planted_noise_is_recovered():
  # Two runs with noise of 0.3 logits each differ by 0.3 * sqrt(2).
  found = Churn.of(_runs(200_000, noise=0.3))
  assert found.mean("logit_rms") == pytest.approx(0.3 * 2**0.5, rel=0.01)
