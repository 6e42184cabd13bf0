"""Churn: how far the predictions of independent trainings differ.

Every measure is a function of sums over examples, so chunks, shards and jobs
merge, to the same bits in any order (`exact`). Never give it a group and its
codistilling peer: they learned from each other; their agreement says nothing of
a retrain.
"""

import dataclasses
import functools
from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np

from ctr_codistill.errors import InputError
from ctr_codistill.evaluation.churn import bins
from ctr_codistill.evaluation.churn import chunk
from ctr_codistill.evaluation.churn import exact
from ctr_codistill.evaluation.churn.chunk import Chunk
from ctr_codistill.evaluation.churn.pair import Pair
from ctr_codistill.evaluation.metrics import Quality


@dataclasses.dataclass(frozen=True, eq=False)
class Churn:
  """The sums of every pair of runs; its ratios are means over the pairs.

  Attributes:
    runs: number of runs, at least 2.
    thresholds: at which decisions are compared, each in [0, 1].
    counts: integers by name, see `chunk.Sums`.
    parts: sums of floats by name, as `exact.split` lays them out.
    maximum_of: `[pairs]`, largest |p - q| of each.
  """

  runs: int
  thresholds: tuple[float, ...]
  counts: Mapping[str, np.ndarray]
  parts: Mapping[str, np.ndarray]
  maximum_of: np.ndarray

  @classmethod
  def of(
    cls,
    probability: np.ndarray,
    *,
    thresholds: Sequence[float] = (0.5,),
    example: np.ndarray | None = None,
    label: np.ndarray | None = None,
    codes: Mapping[str, np.ndarray] | None = None,
    slices: Mapping[str, int] | None = None,
  ) -> "Churn":
    """Returns the sums over `[runs, rows]` probabilities in [0, 1].

    Args:
      probability: `[runs, rows]`, of a click.
      thresholds: at which decisions are compared, each in [0, 1].
      example: `[rows]` integers, the examples' numbers; 0, 1, ... by default.
        They say what is resampled together, so chunks should not reuse them.
      label: `[rows]`, 0 or 1, if known.
      codes: by name of a column, the number of each row's slice: `[rows]`.
      slices: by the same names, how many slices the column has.

    Raises:
      InputError: fewer than two runs.
    """
    probability = np.asarray(probability, np.float64)
    if len(probability) < 2:
      raise InputError(f"churn needs at least 2 runs, got {len(probability)}")
    if example is None:
      example = np.arange(probability.shape[1])
    found = chunk.Sums(
      Chunk(
        probability=probability,
        bucket=bins.buckets(example),
        label=None if label is None else np.asarray(label).astype(np.int64),
        thresholds=tuple(thresholds),
        codes=dict(codes or {}),
        slices=dict(slices or {}),
      )
    )
    parts = {name: exact.split(value) for name, value in found.floats.items()}
    return cls(
      len(probability), tuple(thresholds), found.counts, parts, found.maximum
    )

  def merge(self, other: "Churn") -> "Churn":
    """Returns the sums over the examples of both, which name the same runs.

    Raises:
      ValueError: other numbers of runs or other thresholds; labels or slices
        that only one of them has.
    """
    ours, theirs = (self.runs, self.thresholds), (other.runs, other.thresholds)
    if ours != theirs:
      raise ValueError(f"runs and thresholds should be {ours}, are {theirs}")
    if set(self.counts) != set(other.counts):
      raise ValueError(
        f"sums should be those of {sorted(self.counts)}, are those of "
        f"{sorted(other.counts)}"
      )
    return Churn(
      self.runs,
      self.thresholds,
      {name: value + other.counts[name] for name, value in self.counts.items()},
      {n: exact.add(value, other.parts[n]) for n, value in self.parts.items()},
      np.maximum(self.maximum_of, other.maximum_of),
    )

  def __eq__(self, other: object) -> bool:
    if not isinstance(other, Churn):
      return NotImplemented
    return (
      (self.runs, self.thresholds) == (other.runs, other.thresholds)
      and _equal(self.counts, other.counts)
      and _equal(self.parts, other.parts)
      and np.array_equal(self.maximum_of, other.maximum_of)
    )

  def floats(self, name: str) -> np.ndarray:
    """Returns sums of floats by their name, see `chunk.Sums`."""
    return exact.join(self.parts[name])

  @property
  def labelled(self) -> bool:
    """Tells whether the examples had labels."""
    return "clicks" in self.counts

  @property
  def examples(self) -> int:
    """Number of examples."""
    return int(self.counts["examples"].sum())

  @functools.cached_property
  def pairs(self) -> tuple[Pair, ...]:
    """The sums of runs (0, 1), (0, 2), ..., (1, 2), ... ."""
    sums = self.floats("pair").sum(axis=2)
    wins = self.counts.get("wins")
    return tuple(
      Pair(
        examples=self.examples,
        absolute=float(sums[i, chunk.ABSOLUTE]),
        relative=float(sums[i, chunk.RELATIVE]),
        difference=float(sums[i, chunk.DIFFERENCE]),
        squared=float(sums[i, chunk.SQUARED]),
        logit_difference=float(sums[i, chunk.LOGIT]),
        logit_squared=float(sums[i, chunk.LOGIT_SQUARED]),
        maximum=float(self.maximum_of[i]),
        equal=int(self.counts["equal"][i].sum()),
        flips=self.counts["flips"][i].sum(axis=1),
        wins=None if wins is None else wins[i].sum(axis=1),
        histogram=self.counts["differences"][i],
        density=self.counts["density"][i].reshape(bins.LEVELS, bins.LEVELS),
      )
      for i in range(len(sums))
    )

  @functools.cached_property
  def qualities(self) -> tuple[Quality, ...] | None:
    """The quality of each run; None without labels."""
    if not self.labelled:
      return None
    sums = self.floats("run").sum(axis=2)
    return tuple(
      Quality(
        probability=float(run[chunk.PROBABILITY]),
        loss=float(run[chunk.LOSS]),
        positives=counts[1].astype(np.float64),
        negatives=counts[0].astype(np.float64),
      )
      for run, counts in zip(sums, self.counts["quality"])
    )

  @property
  def mean_absolute(self) -> float:
    """`Pair.mean_absolute`, mean over the pairs."""
    return self.mean("mean_absolute")

  @property
  def mean_relative(self) -> float:
    """`Pair.mean_relative`, mean over the pairs."""
    return self.mean("mean_relative")

  @property
  def maximum(self) -> float:
    """Largest difference of any pair, in [0, 1]."""
    return float(self.maximum_of.max())

  @property
  def flip_shares(self) -> np.ndarray:
    """`Pair.flip_shares`, mean over the pairs: `[thresholds]`."""
    return np.mean([pair.flip_shares for pair in self.pairs], axis=0)

  @property
  def shift(self) -> float:
    """Mean over the pairs of the size of `Pair.shift`, in [0, 1]."""
    return float(np.mean([abs(pair.shift) for pair in self.pairs]))

  def mean(self, measure: str) -> float:
    """Returns the mean over the pairs of the property of `Pair` so named."""
    return float(np.mean([getattr(pair, measure) for pair in self.pairs]))

  def total(self, sums: str) -> np.ndarray:
    """Returns the sum over the pairs of the array of `Pair` so named."""
    return np.sum([getattr(pair, sums) for pair in self.pairs], axis=0)

  def quantile(self, share: float) -> float:
    """Returns the |p - q| that a `share` of the rows of all pairs stays within.

    From the histogram, see `quantiles`; nan without examples.
    """
    counts, edges = self.total("histogram"), bins.difference_edges()
    return float(quantiles(counts[None], edges, share, most=self.maximum)[0])


def quantiles(
  counts: np.ndarray, edges: np.ndarray, share: float, *, most: float
) -> np.ndarray:
  """Returns the quantile of each histogram, `[histograms]`; nan if empty.

  Examples count as evenly spread inside a bin. A bin is at most 6.25 % wide, so
  the true quantile is no further away than that, above the first bin's edge.

  Args:
    counts: `[histograms, bins]`, 0 or more.
    edges: `[bins + 1]`, ascending.
    share: of the examples, in (0, 1).
    most: the largest value there was; none is above it.
  """
  before = np.cumsum(counts, axis=1)
  wanted = share * before[:, -1:]
  at = np.argmax(before >= wanted, axis=1)
  row = np.arange(len(counts))
  held = counts[row, at]
  past = before[row, at] - wanted[:, 0]
  with np.errstate(invalid="ignore", divide="ignore"):
    inside = 1 - past / held
  found = edges[at] + inside * (edges[at + 1] - edges[at])
  found = np.where(at == 0, 0.0, found)  # the first bin holds what is equal
  return np.where(before[:, -1] > 0, np.minimum(found, most), np.nan)


def _equal(
  one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]
) -> bool:
  return one.keys() == other.keys() and all(
    np.array_equal(one[name], other[name]) for name in one
  )
