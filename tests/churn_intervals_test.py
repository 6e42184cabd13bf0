import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from ctr_codistill.evaluation.churn import Churn
from ctr_codistill.evaluation.churn import bins
from ctr_codistill.evaluation.churn import exact
from ctr_codistill.evaluation.churn import facts
from ctr_codistill.evaluation.churn import measures
from ctr_codistill.evaluation.churn import quality
from ctr_codistill.evaluation.churn import resampling

_NOISE = 0.3


def _made(seed, rows, *, runs=4, bias=0.0):
  """Runs whose logits scatter by `_NOISE`, each shifted by its own bias."""
  rng = np.random.default_rng(seed)
  truth = rng.normal(-1.3, 1.2, rows)
  shift = bias * rng.normal(size=(runs, 1))
  logit = truth + shift + _NOISE * rng.normal(size=(runs, rows))
  label = rng.random(rows) < 1 / (1 + np.exp(-truth))
  return 1 / (1 + np.exp(-logit)), label.astype(int)


def test_planted_noise_is_within_its_interval_95_times_of_100():
  # Two independent runs differ by _NOISE sqrt(2) in logits. Of 40 intervals 38
  # hold it on average; 34 or fewer come once in 30 times, and the seeds stay.
  held = {"interval_examples": 0, "interval_runs": 0}
  for seed in range(40):
    found = measures.of(Churn.of(_made(seed, 1000)[0]))["logit_rms"]
    for kind in held:
      low, high = getattr(found, kind)
      held[kind] += low <= _NOISE * 2**0.5 <= high
  assert all(35 <= count <= 40 for count in held.values()), held


def test_the_interval_over_examples_is_that_of_the_plain_bootstrap():
  probability, _ = _made(0, 3000, runs=2)
  size = abs(probability[0] - probability[1])
  rng = np.random.default_rng(1)
  drawn = rng.poisson(1, (2000, 3000))
  wanted = np.percentile(drawn @ size / drawn.sum(axis=1), (2.5, 97.5))
  found = measures.of(Churn.of(probability))["mean_absolute"]
  width = wanted[1] - wanted[0]
  assert np.ptp(found.interval_examples) == pytest.approx(width, rel=0.15)
  assert found.interval_examples == pytest.approx(wanted, abs=width / 8)


def test_two_runs_have_no_interval_over_runs():
  found = measures.of(Churn.of(_made(0, 100, runs=2)[0]))
  assert all(np.isnan(one.interval_runs[0]) for one in found.values())


def test_the_jackknife_over_runs_by_hand():
  # One example at 0.1, 0.2, 0.4: pairs 0.1, 0.3, 0.2, mean 0.2. Without a run:
  # 0.2, 0.3, 0.1. Squares from 0.2: 0 + 0.01 + 0.01; se^2 = 2/3 * 0.02.
  found = measures.of(Churn.of(np.array([[0.1], [0.2], [0.4]])))
  low, high = found["mean_absolute"].interval_runs
  half = 4.302653 * (2 / 3 * 0.02) ** 0.5  # Student's t, 2 degrees of freedom
  assert (low, high) == pytest.approx((0.2 - half, 0.2 + half))


def test_variance_is_that_of_numpy_and_adds_up():
  probability, _ = _made(0, 500, bias=0.5)
  found = measures.of(Churn.of(probability))
  total = probability.var(axis=0, ddof=1).mean()
  systematic = probability.mean(axis=1).var(ddof=1)
  assert found["variance.total"].value == pytest.approx(total)
  assert found["variance.systematic"].value == pytest.approx(systematic)
  parts = found["variance.scatter"].value + systematic
  assert parts == pytest.approx(total)


def test_a_biased_retrain_is_told_from_a_noisy_one():
  noisy = measures.of(Churn.of(_made(0, 20_000)[0]))
  biased = measures.of(Churn.of(_made(0, 20_000, bias=0.5)[0]))
  name = "variance.systematic_share"
  assert noisy[name].value < 0.001
  assert biased[name].value > 0.3


def test_the_most_variable_examples_hold_the_planted_variance():
  # A tenth of the examples differs by 0.4 of 3 runs, the others not at all.
  probability = np.full((3, 1000), 0.3)
  probability[0, :100] = 0.7
  held = facts.concentration(Churn.of(probability))
  assert held[0.1] == pytest.approx(1)
  assert held[0.01] == pytest.approx(0.1)


def test_quantiles_of_differences_of_logits_are_those_of_numpy():
  probability, _ = _made(0, 20_000, runs=2)
  logit = np.log(probability) - np.log1p(-probability)
  found = measures.of(Churn.of(probability))
  for share in measures.SHARES:
    wanted = np.quantile(abs(logit[0] - logit[1]), share)
    value = found[f"logit_quantiles.{share}"].value
    assert value == pytest.approx(wanted, rel=0.01)


def test_quality_is_that_of_scikit_learn():
  probability, label = _made(0, 5000, runs=2)
  found = quality.by_run(Churn.of(probability, label=label))
  for one, p in zip(found, probability):
    wanted = sklearn_metrics.log_loss(label, p)
    assert one["log_loss"].value == pytest.approx(wanted)
    wanted = sklearn_metrics.roc_auc_score(label, p)
    assert one["auc"].value == pytest.approx(wanted, abs=1e-4)


def test_a_worse_run_is_significantly_worse_and_its_like_is_not():
  probability, label = _made(0, 20_000, runs=3)
  logit = np.log(probability) - np.log1p(-probability)
  probability[2] = 1 / (1 + np.exp(-logit[2] * 0.5))
  found = {
    (one.run, one.measure): one
    for one in quality.differences(Churn.of(probability, label=label))
  }
  assert not found[1, "log_loss"].significant
  assert found[2, "log_loss"].significant
  assert found[2, "log_loss"].value > 0


def test_the_interval_of_the_auc_is_near_that_of_hanley_and_mcneil():
  probability, label = _made(0, 5000, runs=2)
  one = quality.by_run(Churn.of(probability, label=label))[0]["auc"]
  a, n, m = one.value, label.sum(), (1 - label).sum()
  q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
  error = a * (1 - a) + (n - 1) * (q1 - a * a) + (m - 1) * (q2 - a * a)
  width = 2 * 1.96 * (error / (n * m)) ** 0.5
  assert np.ptp(one.interval_examples) == pytest.approx(width, rel=0.2)


def test_the_same_sums_have_the_same_intervals():
  churn = Churn.of(_made(0, 100)[0])
  assert repr(measures.of(churn)) == repr(measures.of(churn))


def test_buckets_spread_neighbours_and_hold_the_same_share():
  found = bins.buckets(np.arange(256_000))
  counts = np.bincount(found, minlength=bins.BUCKETS)
  # 1000 each, with a standard deviation of 32.
  assert abs(counts - 1000).max() < 5 * 32
  assert np.mean(np.diff(found) == 0) < 0.006


def test_draws_are_poisson_of_one():
  drawn = resampling.weights()
  assert drawn.mean() == pytest.approx(1, abs=0.01)
  assert drawn.var() == pytest.approx(1, abs=0.02)


def test_exact_sums_hold_large_and_small_and_merge_in_any_order():
  rng = np.random.default_rng(0)
  values = rng.normal(size=1000) * 10.0 ** rng.integers(-12, 6, 1000)
  parts = [exact.split(np.array([value])) for value in values]
  totals = []
  for order in (parts, parts[::-1], [parts[i] for i in rng.permutation(1000)]):
    total = order[0]
    for part in order[1:]:
      total = exact.add(total, part)
    totals.append(total)
  assert all(np.array_equal(one, totals[0]) for one in totals)
  assert exact.join(totals[0])[0] == pytest.approx(values.sum(), rel=1e-14)
