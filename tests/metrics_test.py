import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import metrics
from ctr_codistill.evaluation.metrics import Quality

sklearn_metrics = pytest.importorskip("sklearn.metrics")

_P = np.array([0.1, 0.4, 0.4, 0.8])
_Y = np.array([0, 0, 1, 1])


def _rows():
  probability = st.floats(0, 1, width=32)
  return st.lists(
    st.tuples(probability, st.integers(0, 1)), min_size=1, max_size=60
  )


def _clicks(rows, seed=0):
  rng = np.random.default_rng(seed)
  probability = 1 / (1 + np.exp(-rng.normal(-1.3, 1.2, rows)))
  return probability, (rng.random(rows) < probability).astype(np.int64)


def test_four_examples_by_hand():
  quality = Quality.of(_P, _Y)
  # -ln of 0.9, 0.6, 0.4 and 0.8, the probabilities of what happened.
  loss = (0.105361 + 0.510826 + 0.916291 + 0.223144) / 4
  assert quality.log_loss == pytest.approx(loss, abs=1e-6)
  # Pairs (click, other): 0.4 beats 0.1, ties 0.4; 0.8 beats both: 3.5 of 4.
  assert quality.auc == 3.5 / 4
  # Two clicks in four: always predicting 1/2 costs ln 2.
  assert quality.normalized_entropy == pytest.approx(loss / math.log(2))
  # 0.1 + 0.4 + 0.4 + 0.8 = 1.7 clicks predicted, 2 came.
  assert quality.calibration == pytest.approx(1.7 / 2)
  assert (quality.examples, quality.clicks, quality.base_rate) == (4, 2, 0.5)


def test_the_tied_pair_bounds_the_error_of_the_binned_auc():
  # One of the four pairs shares a bin: it may count 0 to 1 instead of 1/2.
  assert Quality.of(_P, _Y).auc_error == 0.5 / 4


def test_certain_and_wrong_costs_the_clip_and_not_infinity():
  quality = Quality.of(np.array([0.0, 1.0]), np.array([1, 0]))
  assert quality.log_loss == pytest.approx(-math.log(1e-7), rel=1e-6)


def test_certain_and_right_costs_nothing():
  quality = Quality.of(np.array([0.0, 1.0]), np.array([0, 1]))
  assert quality.log_loss == pytest.approx(1e-7, rel=1e-3)
  assert quality.auc == 1.0


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_no_auc_and_no_normalized_entropy(label):
  quality = Quality.of(np.array([0.2, 0.3]), np.array([label, label]))
  assert math.isnan(quality.auc)
  assert math.isnan(quality.auc_error)
  assert math.isnan(quality.normalized_entropy)
  assert quality.log_loss > 0
  assert math.isnan(metrics.auc(np.array([0.2, 0.3]), np.array([label] * 2)))


def test_calibration_without_a_click_is_nan():
  assert math.isnan(Quality.of(np.array([0.2]), np.array([0])).calibration)


def test_nothing_has_no_ratios_and_changes_nothing():
  empty = Quality.empty()
  assert empty.examples == 0
  assert all(
    math.isnan(v) for name, v in empty.to_dict().items() if name != "examples"
  )
  whole = Quality.of(_P, _Y)
  assert empty.merge(whole) == whole == whole.merge(empty)


def test_no_rows_are_the_empty_sums():
  assert Quality.of(np.zeros(0), np.zeros(0, int)) == Quality.empty()


def test_merged_parts_equal_the_whole():
  probability, label = _clicks(10_000)
  whole = Quality.of(probability, label)
  parts = Quality.empty()
  for rows in (slice(0, 1), slice(1, 700), slice(700, None)):
    parts = parts.merge(Quality.of(probability[rows], label[rows]))
  assert np.array_equal(parts.positives, whole.positives)
  assert np.array_equal(parts.negatives, whole.negatives)
  assert parts.to_dict() == pytest.approx(whole.to_dict(), rel=1e-12)


def test_vectors_add_like_merge():
  one, other = Quality.of(_P, _Y), Quality.of(_P[:1], _Y[:1])
  summed = Quality.from_vector(one.to_vector() + other.to_vector())
  assert summed == one.merge(other)
  assert one.to_vector().dtype == np.float64
  assert Quality.from_vector(one.to_vector()) == one
  assert one != other


def test_a_vector_of_another_length_is_refused():
  with pytest.raises(ValueError, match=r"\(65538,\), is \(3,\)"):
    Quality.from_vector(np.zeros(3))


@settings(max_examples=100, deadline=None)
@given(_rows())
def test_equals_scikit_learn(rows):
  probability, label = map(np.array, zip(*rows))
  quality = Quality.of(probability, label)
  clipped = np.clip(probability, metrics.EPSILON, 1 - metrics.EPSILON)
  wanted = sklearn_metrics.log_loss(label, clipped, labels=[0, 1])
  assert quality.log_loss == pytest.approx(wanted, rel=1e-9)
  if 0 < label.sum() < len(label):
    exact = sklearn_metrics.roc_auc_score(label, probability)
    assert metrics.auc(probability, label) == pytest.approx(exact, abs=1e-12)
    assert abs(quality.auc - exact) <= quality.auc_error + 1e-12


def test_the_binned_auc_is_near_the_exact_one_on_clicks():
  probability, label = _clicks(200_000)
  quality = Quality.of(probability, label)
  exact = metrics.auc(probability, label)
  assert quality.auc_error < 2e-4
  assert abs(quality.auc - exact) < 2e-6


def test_predicting_the_base_rate_has_normalized_entropy_one():
  quality = Quality.of(np.full(4, 0.25), np.array([0, 0, 0, 1]))
  assert quality.normalized_entropy == pytest.approx(1)
  assert quality.auc == 0.5


@pytest.mark.parametrize("wrong", [math.nan, -0.1, 1.5])
def test_a_probability_out_of_range_is_refused_with_its_row(wrong):
  message = rf"row 2: probability should be in \[0, 1\], is {wrong}"
  with pytest.raises(InputError, match=message):
    Quality.of(np.array([0.1, 0.2, wrong]), np.array([0, 1, 1]))


def test_a_label_that_is_no_label_is_refused_with_its_row():
  with pytest.raises(InputError, match="row 1: label should be 0 or 1, is 2"):
    metrics.auc(np.array([0.1, 0.2]), np.array([0, 2]))


def test_different_lengths_are_refused():
  with pytest.raises(InputError, match=r"\(2,\) and \(3,\)"):
    Quality.of(np.array([0.1, 0.2]), np.array([0, 1, 1]))
