"""Intervals over independent runs: the unit that repeats is the training.

A thousand examples of one training say nothing of how another would have come
out, so runs are what is counted, and few runs give wide intervals.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

Interval = tuple[float, float]

LEVEL = 0.95
NOTHING: Interval = (math.nan, math.nan)
"""The interval of what has too few runs for one."""


def of_mean(values: Sequence[float]) -> Interval:
  """Returns the interval of the mean of one value a run; two runs at least.

  mean +- t_{n-1} s / sqrt(n)    (Student 1908)
  """
  if len(values) < 2:
    return NOTHING
  error = np.std(values, ddof=1) / math.sqrt(len(values))
  return _around(float(np.mean(values)), float(error), len(values))


def of_pairs(values: Sequence[float], runs: int) -> Interval:
  """Returns the interval of the mean over pairs of runs; three runs at least.

      theta +- t_{n-1} se,   se^2 = (n - 1) / n  sum_i (theta_(i) - mean)^2

  with theta_(i) the mean over the pairs without run i (the jackknife of Tukey
  1958). Pairs with a run in common are no independent values: six pairs of four
  runs are as much evidence as four runs.

  Args:
    values: one a pair, in the order of `churn.sums.pairs_of`.
    runs: how many there are.
  """
  if runs < 3:
    return NOTHING
  pairs = list(itertools.combinations(range(runs), 2))
  kept = [
    [value for value, pair in zip(values, pairs, strict=True) if i not in pair]
    for i in range(runs)
  ]
  without = np.mean(kept, axis=1)
  squares = np.square(without - without.mean()).sum()
  error = math.sqrt((runs - 1) / runs * squares)
  return _around(float(np.mean(values)), error, runs)


def _around(middle: float, error: float, runs: int) -> Interval:
  half = float(stats.t.ppf((1 + LEVEL) / 2, runs - 1)) * error
  return middle - half, middle + half


def of_left_out(middle: float, without: Sequence[float]) -> Interval:
  """Returns the interval of any figure of three or more runs, by the jackknife.

  As `of_pairs`, of what is no mean over the pairs, such as a quantile.

  Args:
    middle: the figure of all runs.
    without: the same without each run in turn.
  """
  if len(without) < 3:
    return NOTHING
  squares = np.square(np.subtract(without, np.mean(without))).sum()
  error = math.sqrt((len(without) - 1) / len(without) * squares)
  return _around(middle, error, len(without))


def of_replicates(values: np.ndarray) -> np.ndarray:
  """Returns the interval from bootstrap replicates: `[2, ...]` percentiles.

  Args:
    values: `[replicates, ...]`; nan where a replicate had no example.
  """
  ends = (100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2)
  known = np.isfinite(values).any(axis=0)
  found = np.full((2, *values.shape[1:]), math.nan)
  found[:, known] = np.nanpercentile(values[:, known], ends, axis=0)
  return found
