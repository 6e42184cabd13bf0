import numpy as np
import pyarrow as pa
import pytest

from ctr_codistill.evaluation.churn import Churn
from ctr_codistill.evaluation.churn import slices
from ctr_codistill.evaluation.churn import slicing
from ctr_codistill.evaluation.churn.slicing import Slicing


def _expit(logit):
  return 1 / (1 + np.exp(-logit))


def _churn(code, count, *, noise, off=0.0, seed=0):
  """Two runs whose logits scatter by `noise`, and are `off` the truth."""
  rng = np.random.default_rng(seed)
  truth = rng.normal(-1, 1, len(code))
  logit = truth + off + noise * rng.normal(size=(2, len(code)))
  label = rng.random(len(code)) < _expit(truth)
  cut = Slicing("c", values=tuple(f"v{n}" for n in range(count)))
  churn = Churn.of(
    _expit(logit),
    label=label.astype(int),
    codes={"c": code},
    slices={"c": len(cut.names)},
  )
  return churn, cut


def test_a_slice_is_what_its_rows_are_alone():
  code = np.arange(3000) % 3
  churn, cut = _churn(code, 3, noise=0.2)
  rng = np.random.default_rng(0)
  truth = rng.normal(-1, 1, 3000)
  p, q = _expit(truth + 0.2 * rng.normal(size=(2, 3000)))
  label = rng.random(3000) < _expit(truth)
  found = {one.name: one for one in slices.of(churn, [cut])}
  assert set(found) == {"v0", "v1", "v2"}  # those without examples are none
  for name, one in found.items():
    rows = code == int(name[1])
    wanted = abs(p - q)[rows].mean()
    assert one.measures["mean_absolute"].value == pytest.approx(wanted)
    calibration = (p + q)[rows].sum() / 2 / label[rows].sum()
    assert one.measures["calibration"].value == pytest.approx(calibration)
    assert one.examples == 1000


def test_the_slice_with_planted_churn_comes_first():
  code = np.arange(20_000) % 10
  churn, cut = _churn(code, 10, noise=np.where(code == 7, 0.4, 0.2))
  worst, *others = slices.of(churn, [cut])
  assert (worst.name, worst.churns) == ("v7", True)
  assert not any(one.churns for one in others)


def test_a_planted_bias_is_found_and_the_other_slices_are_not_blamed():
  code = np.arange(40_000) % 10
  churn, cut = _churn(code, 10, noise=0.1, off=np.where(code == 3, 0.3, 0))
  marked = [s.name for s in slices.of(churn, [cut]) if s.miscalibrated]
  assert marked == ["v3"]


def test_small_slices_by_chance_are_rarely_beyond_chance():
  # 100 slices of equal noise: with p < 0.05 alone about 5 would be marked.
  code = np.arange(20_000) % 100
  marked = 0
  for seed in range(5):
    churn, cut = _churn(code, 100, noise=0.2, seed=seed)
    marked += sum(
      one.churn_fdr <= slices.RATE for one in slices.of(churn, [cut])
    )
  assert marked <= 3


def test_top_values_have_slices_and_the_rest_shares_one():
  array = pa.array(["a"] * 5 + ["b"] * 3 + ["c"] + [None])
  (cut,) = slicing.survey([{"x": array}], slices=2)
  assert cut.names == ("a", "b", slicing.OTHER, slicing.NONE)
  assert np.array_equal(cut.codes(array), [0] * 5 + [1] * 3 + [2, 3])


def test_integers_booleans_and_dictionaries_are_values():
  for array in (
    pa.array([7, 7, 9]),
    pa.array([True, True, False]),
    pa.array(["x", "x", "y"]).dictionary_encode(),
  ):
    (cut,) = slicing.survey([{"x": array}], slices=1)
    assert np.array_equal(cut.codes(array), [0, 0, 1])


def test_floats_are_cut_at_their_quantiles():
  rng = np.random.default_rng(0)
  values = np.concatenate([rng.normal(size=9999), [np.nan]])
  parts = [{"x": pa.array(v)} for v in np.array_split(values, 7)]
  (cut,) = slicing.survey(parts, slices=4)
  wanted = np.quantile(values[:-1], [0.25, 0.5, 0.75])
  assert cut.edges == pytest.approx(wanted, rel=0.01, abs=0.01)
  code = cut.codes(pa.array(values))
  assert code[-1] == len(cut.names) - 1
  assert np.bincount(code)[:4] == pytest.approx([2500] * 4, rel=0.03)


def test_equal_floats_make_no_empty_ranges():
  (cut,) = slicing.survey([{"x": pa.array([0.0] * 90 + [1.0] * 10)}], slices=5)
  code = cut.codes(pa.array([0.0, 1.0]))
  assert code[0] != code[1]
  assert len(cut.edges) == 1
