"""The sums as they are, without a run, or over examples drawn anew.

Two things are uncertain about a figure of churn. Which examples there were:
they are drawn anew. And which runs: they are left out in turn. A measure is one
function of `Totals`, and both intervals come from giving it other totals.

Examples are drawn anew by the Poisson bootstrap (each comes Poisson(1) times;
Oza & Russell 2001, Chamandy et al. 2012), which needs no second pass, since the
number of draws is not fixed. Not each example gets a weight of its own, which
would cost replicates x examples: a hash of its number puts it in one of 256
buckets, whose sums are exact, and buckets are drawn. A hash knows nothing of
the predictions, so the buckets are random groups of examples (Wolter 2007,
chapter 2): their sums vary around one mean as independent examples make them
vary, and the error of a total is that of a sum of 256 independent draws. An
interval's width is so known to 1 / sqrt(2 * 255), 4 %. With fewer examples than
buckets it is the plain bootstrap, nearly. It merges, as sums do, and costs 256
numbers a sum. Rows that depend on one another, such as those of one user, are
counted as independent.
"""

import dataclasses
import functools

import numpy as np

from ctr_codistill.evaluation.churn import bins
from ctr_codistill.evaluation.churn.sums import Churn

REPLICATES = 2000
_SEED = 0  # a report of the same sums has the same bytes


@functools.cache
def weights() -> np.ndarray:
  """Returns how often each bucket is drawn: `[REPLICATES, BUCKETS]`."""
  draws = np.random.RandomState(_SEED).poisson(1, (REPLICATES, bins.BUCKETS))
  found = draws.astype(np.float64)
  found.setflags(write=False)
  return found


@dataclasses.dataclass(frozen=True, eq=False)
class Totals:
  """Sums over examples, of one or more weightings of them.

  Attributes:
    examples: `[weightings]`.
    pair: `[weightings, pairs, sums]`, in the order of `chunk`.
    equal: `[weightings, pairs]`.
    flips: `[weightings, pairs, thresholds]`.
    wins: the same; None without labels.
    differences: `[weightings, DIFFERENCES]`, of all pairs.
    logit_differences: `[weightings, LOGIT_DIFFERENCES]`, of all pairs.
  """

  examples: np.ndarray
  pair: np.ndarray
  equal: np.ndarray
  flips: np.ndarray
  wins: np.ndarray | None
  differences: np.ndarray
  logit_differences: np.ndarray


def whole(churn: Churn) -> Totals:
  """Returns the sums as they are: one weighting, of ones."""
  return _totals(churn, np.ones((1, bins.BUCKETS)), slice(None))


def redrawn(churn: Churn) -> Totals:
  """Returns those of `REPLICATES` draws of the examples."""
  found = _totals(churn, weights(), slice(None))
  drawn = {
    name: weights() @ churn.counts[f"bucket_{name}"]
    for name in ("differences", "logit_differences")
  }
  return dataclasses.replace(found, **drawn)


def without_each(churn: Churn) -> list[Totals]:
  """Returns the sums without each run in turn; nothing for two runs."""
  if churn.runs < 3:
    return []
  pairs, ones = bins.pairs_of(churn.runs), np.ones((1, bins.BUCKETS))
  return [
    _totals(churn, ones, [n for n, p in enumerate(pairs) if run not in p])
    for run in range(churn.runs)
  ]


def _totals(
  churn: Churn, drawn: np.ndarray, pairs: slice | list[int]
) -> Totals:
  """Returns the sums of some pairs; the histograms are never weighted."""

  def weighted(sums: np.ndarray) -> np.ndarray:
    return np.moveaxis(sums @ drawn.T, -1, 0)

  counts = churn.counts
  return Totals(
    examples=drawn @ counts["examples"],
    pair=weighted(churn.floats("pair")[pairs]),
    equal=weighted(counts["equal"][pairs]),
    flips=weighted(counts["flips"][pairs]),
    wins=weighted(counts["wins"][pairs]) if churn.labelled else None,
    differences=counts["differences"][pairs].sum(axis=0)[None],
    logit_differences=counts["logit_differences"][pairs].sum(axis=0)[None],
  )
