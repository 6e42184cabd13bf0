import numpy as np
import pytest

from pipelines.benchmarks import shuffle


def test_the_order_of_the_input_is_no_shuffle():
  # Neighbours are 1 apart, 3 in a permutation; 4 of 7 pairs share a batch of
  # 2, 1 of 7 in a permutation. Means 0.5, 2.5, 4.5, 6.5 lie 3, 1, 1, 3 from
  # 3.5: variance 5 where 63 / 12 / 2 x 6 / 7 = 2.25 is expected.
  assert shuffle.quality(np.arange(8), 2) == pytest.approx(
    {
      "distance": 1 / 3,
      "same_batch": 4.0,
      "rank_correlation": 1.0,
      "scatter": 5 / 2.25,
    }
  )


def test_a_permutation_is_a_full_shuffle():
  seen = np.random.RandomState(1).permutation(200_000)
  found = shuffle.quality(seen, 500)
  assert found["rank_correlation"] == pytest.approx(0, abs=0.01)
  for name in ("distance", "same_batch", "scatter"):
    assert found[name] == pytest.approx(1, abs=0.2)
