"""Rank churn: how alike two runs order the candidates of one query.

What a user sees is an order, and an order may hold while all probabilities
move, or turn where they hardly do. Needs all examples in memory, unlike the
rest: some 40 bytes each and 16 a run, for groups may be anywhere in the files.

Kendall's tau-b (Kendall 1945) of two runs within a group, from -1 to 1, 1 for
the same order; ties count in neither run's favour:

  tau_b = (C - D) / sqrt((n0 - n1) (n0 - n2))

with C and D the pairs of examples that both runs order alike and otherwise, n0
all pairs, n1 and n2 those that are ties in the one and in the other. Top-k
overlap: the share of the k highest of one run that are among the k highest of
the other, in groups of more than k; of equal predictions the earlier example
counts as higher.
"""

import dataclasses
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping

import numpy as np
from scipy import stats

from ctr_codistill.evaluation import intervals
from ctr_codistill.evaluation.churn import bins
from ctr_codistill.evaluation.churn import resampling
from ctr_codistill.evaluation.churn.measures import Measure

_LARGE = 256  # examples of a group from which scipy's n log n is faster
_CELLS = 1 << 22  # pairs of examples that are compared at a time


@dataclasses.dataclass(frozen=True)
class Ranks:
  """Rank churn within the groups of a column: means over groups and pairs.

  Attributes:
    column: that names the group of an example.
    groups: with two examples or more.
    tau: Kendall's tau-b, over groups where no run has all equal.
    overlap: by k, over groups of more than k examples.
  """

  column: str
  groups: int
  tau: Measure
  overlap: Mapping[int, Measure]


def of(
  column: str,
  parts: Iterable[tuple[np.ndarray, np.ndarray]],
  *,
  tops: tuple[int, ...],
) -> Ranks:
  """Returns the rank churn within groups.

  Args:
    column: its name.
    parts: of consecutive examples, integers that say the group `[rows]`, equal
      for equal groups; and `[runs, rows]` probabilities.
    tops: the k of the overlaps, 1 or more.
  """
  groups, probability = zip(*parts)
  group = np.concatenate(groups)
  probability = np.concatenate(probability, axis=1)
  order = np.argsort(group, kind="stable")
  group, probability = group[order], probability[:, order]
  start = np.flatnonzero(np.diff(group, prepend=group[0] - 1))
  size = np.diff(start, append=len(group))
  kept = size > 1
  start, size = start[kept], size[kept]
  bucket = bins.buckets(group[start])
  runs = len(probability)
  tau = np.empty((len(bins.pairs_of(runs)), len(start)))
  shared = {k: np.full_like(tau, np.nan) for k in tops}
  for n in np.unique(size):
    for chosen in _portions(np.flatnonzero(size == n), int(n)):
      block = probability[:, start[chosen][:, None] + np.arange(n)]
      tau[:, chosen] = taus(block)
      for k in tops:
        if n > k:
          shared[k][:, chosen] = overlaps(block, k)
  return Ranks(
    column,
    len(start),
    _measure(tau, bucket, runs),
    {k: _measure(values, bucket, runs) for k, values in shared.items()},
  )


def taus(block: np.ndarray) -> np.ndarray:
  """Returns tau-b of each pair of runs and group: `[pairs, groups]`.

  Args:
    block: `[runs, groups, examples]` predictions; nan where one has all equal.
  """
  pairs = bins.pairs_of(len(block))
  if block.shape[2] >= _LARGE:
    return np.array(
      [
        [stats.kendalltau(p, q).statistic for p, q in zip(block[i], block[j])]
        for i, j in pairs
      ]
    )
  first, second = np.triu_indices(block.shape[2], 1)
  signs = np.sign(block[:, :, first] - block[:, :, second]).astype(np.float32)
  untied = np.abs(signs).sum(axis=2)
  with np.errstate(invalid="ignore", divide="ignore"):
    return np.array(
      [
        np.einsum("gp,gp->g", signs[i], signs[j])
        / np.sqrt(untied[i].astype(np.float64) * untied[j])
        for i, j in pairs
      ]
    )


def overlaps(block: np.ndarray, k: int) -> np.ndarray:
  """Returns the shares of the top k that pairs have in common.

  Args:
    block: `[runs, groups, examples]`, of more than k examples.
    k: 1 or more.

  Returns:
    `[pairs, groups]`, in [0, 1].
  """
  place = np.argsort(np.argsort(-block, axis=2, kind="stable"), axis=2)
  top = place < k
  return np.array(
    [(top[i] & top[j]).sum(axis=1) / k for i, j in bins.pairs_of(len(block))]
  )


def _portions(chosen: np.ndarray, size: int) -> Iterator[np.ndarray]:
  """Yields groups of one size, as many as are compared at a time."""
  step = max(1, _CELLS // (size * min(size, _LARGE)))
  for at in range(0, len(chosen), step):
    yield chosen[at : at + step]


def _measure(values: np.ndarray, bucket: np.ndarray, runs: int) -> Measure:
  """Returns the mean of `[pairs, groups]`; nan groups are left out."""
  known = np.isfinite(values).all(axis=0)
  values, bucket = values[:, known], bucket[known]
  if not known.any():
    return Measure(float("nan"))
  counts = np.bincount(bucket, minlength=bins.BUCKETS)
  sums = np.bincount(bucket, values.mean(axis=0), minlength=bins.BUCKETS)
  weights = resampling.weights()
  with np.errstate(invalid="ignore", divide="ignore"):
    drawn = (weights @ sums) / (weights @ counts)
  low, high = intervals.of_replicates(drawn)
  by_pair = values.mean(axis=1)
  return Measure(
    float(by_pair.mean()),
    intervals.of_pairs(by_pair, runs),
    (float(low), float(high)),
  )
