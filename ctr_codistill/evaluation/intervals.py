"""Intervals over independent runs: the unit that repeats is the training.

A thousand examples of one training say nothing of how another would have come
out, so runs are what is counted, and few runs give wide intervals.
"""

import itertools
import math
from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Mapping
from collections.abc import Sequence
from collections.abc import Set

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
  return _around(float(np.mean(values)), float(error), len(values) - 1)


def of_difference(one: Sequence[float], other: Sequence[float]) -> Interval:
  """Returns the interval of the mean of `other` less that of `one`, unpaired.

  t with the degrees of freedom of Welch 1947: variances may differ. Two runs
  of each at least.
  """
  if min(len(one), len(other)) < 2:
    return NOTHING
  parts = [(np.var(v, ddof=1) / len(v), len(v)) for v in (one, other)]
  middle = float(np.mean(other) - np.mean(one))
  return _around(middle, math.sqrt(sum(p for p, _ in parts)), _degrees(parts))


def jackknife(
  measure: Callable[[frozenset[Hashable]], float],
  samples: Sequence[Sequence[Hashable]],
) -> Interval:
  """Returns the interval of a measure of runs that each can be left out.

      theta +- t se,   se^2 = sum_s v_s,
      v_s = (n_s - 1) / n_s  sum_{i in s} (theta_(i) - mean_s)^2

  with theta_(i) the measure without run i (the jackknife of Tukey 1958; over
  independent samples s Arvesen 1969). t has n - 1 degrees of freedom with one
  sample, those of Welch and Satterthwaite with more.

  Args:
    measure: of the runs it is given; nan where they are too few.
    samples: the runs, by the sample that each belongs to; two of each at least.
  """
  every = frozenset(itertools.chain(*samples))
  middle, parts = measure(every), []
  for sample in samples:
    count = len(sample)
    without = np.array([measure(every - {run}) for run in sample])
    if count < 2 or not np.isfinite(without).all():
      return NOTHING
    squares = np.square(without - without.mean()).sum()
    parts.append(((count - 1) / count * squares, count))
  error = math.sqrt(sum(part for part, _ in parts))
  return _around(middle, error, _degrees(parts))


def of_pairs(values: Sequence[float], runs: int) -> Interval:
  """Returns the interval of the mean over pairs of runs; three runs at least.

  The `jackknife` over runs: pairs with a run in common are no independent
  values: six pairs of four runs are as much evidence as four runs.

  Args:
    values: one a pair, in the order of `churn.sums.pairs_of`.
    runs: how many there are.
  """
  pairs = itertools.combinations(range(runs), 2)
  known = dict(zip(pairs, values, strict=True))
  return jackknife(lambda kept: over_pairs(known, kept), [range(runs)])


def over_pairs(
  values: Mapping[tuple[Hashable, Hashable], float], kept: Set[Hashable]
) -> float:
  """Returns the mean over the pairs of runs that are kept, nan if none is."""
  found = [v for (i, j), v in values.items() if i in kept and j in kept]
  return float(np.mean(found)) if found else math.nan


def _degrees(parts: Sequence[tuple[float, int]]) -> float:
  """Returns the degrees of freedom of a sum of variances, each of n runs."""
  total = sum(part for part, _ in parts)
  if len(parts) == 1 or not total:
    return min(count for _, count in parts) - 1
  return total**2 / sum(part**2 / (count - 1) for part, count in parts)


def _around(middle: float, error: float, degrees: float) -> Interval:
  half = float(stats.t.ppf((1 + LEVEL) / 2, degrees)) * error
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
  return _around(middle, error, len(without) - 1)


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
