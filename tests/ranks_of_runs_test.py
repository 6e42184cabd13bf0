import numpy as np
import pytest

from ctr_codistill.evaluation.churn import ranks

stats = pytest.importorskip("scipy.stats")


def test_three_candidates_by_hand():
  # Orders abc and acb: two of three pairs agree, one does not: (2 - 1) / 3.
  block = np.array([[[0.9, 0.5, 0.1]], [[0.9, 0.1, 0.5]]])
  assert ranks.taus(block)[0, 0] == pytest.approx(1 / 3)
  # The top 1 is a in both; the top 2 are ab and ac.
  assert ranks.overlaps(block, 1)[0, 0] == 1
  assert ranks.overlaps(block, 2)[0, 0] == 0.5


@pytest.mark.parametrize("size", [2, 7, 300])
def test_tau_is_that_of_scipy_with_ties(size):
  rng = np.random.default_rng(size)
  block = rng.integers(0, 5, (3, 4, size)) / 4
  found = ranks.taus(block)
  for pair, (i, j) in enumerate(((0, 1), (0, 2), (1, 2))):
    wanted = [
      stats.kendalltau(p, q, variant="b").statistic
      for p, q in zip(block[i], block[j])
    ]
    assert found[pair] == pytest.approx(wanted, nan_ok=True)


def test_groups_may_be_anywhere_and_lone_examples_are_none():
  rng = np.random.default_rng(0)
  group = rng.permutation(np.concatenate([np.repeat(np.arange(40), 6), [99]]))
  probability = rng.random((3, len(group)))
  parts = [
    (group[cut], probability[:, cut])
    for cut in (slice(0, 100), slice(100, None))
  ]
  found = ranks.of("query", parts, tops=(1, 6))
  wanted = [
    stats.kendalltau(p[group == g], q[group == g]).statistic
    for g in range(40)
    for p, q in zip(probability[[0, 0, 1]], probability[[1, 2, 2]])
  ]
  assert found.groups == 40
  assert found.tau.value == pytest.approx(np.mean(wanted))
  low, high = found.tau.interval_examples
  assert low < found.tau.value < high
  # A top 6 of 6 says nothing.
  assert np.isnan(found.overlap[6].value)


def test_the_same_order_has_tau_1_whatever_the_probabilities():
  p = np.random.default_rng(0).random(50)
  group = np.repeat(np.arange(10), 5)
  found = ranks.of("query", [(group, np.array([p, p**3]))], tops=(2,))
  assert found.tau.value == pytest.approx(1)
  assert found.overlap[2].value == 1
  # Two runs are one pair: no interval over runs.
  assert np.isnan(found.tau.interval_runs[0])
