"""How an arm differs from the first: paired by repeat where seeds are the same.

Two arms whose repeats have the same seed see the same rows in the same order,
and start from the same weights where their models are alike. What such a pair
has in common drops out of its difference, which so few repeats could not show
otherwise.
"""

import dataclasses
import math
from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Mapping
from collections.abc import Sequence
from collections.abc import Set
from typing import Any

from ctr_codistill.evaluation import intervals
from ctr_codistill.evaluation.intervals import Interval

MEASURES = ("log_loss", "auc", "normalized_entropy", "calibration")
UNSHOWN = "not shown"
PAIRED_LEAST = 3
"""Repeats in common below which pairing has no degrees of freedom worth it."""

_Run = tuple[str, int]


@dataclasses.dataclass(frozen=True, eq=False)
class Runs:
  """What the repeats of an arm gave.

  Attributes:
    seeds: of the repeats; none for a mean.
    measures: one value a repeat, by each of `MEASURES`.
    pairs: mean absolute difference of the predictions of each pair of repeats
      whose churn counts.
    is_refreshed: whether even and odd repeats have other data; only pairs of an
      even and an odd one count then.
  """

  seeds: tuple[int, ...]
  measures: Mapping[str, Sequence[float]]
  pairs: Mapping[tuple[int, int], float]
  is_refreshed: bool = False

  @property
  def count(self) -> int:
    """Number of repeats."""
    return len(self.measures["log_loss"])


def samples(repeats: int, *, is_refreshed: bool) -> list[list[int]]:
  """Returns the repeats by the data that they had."""
  if not is_refreshed:
    return [list(range(repeats))]
  return [list(range(first, repeats, 2)) for first in (0, 1)]


def of(first: Runs, other: Runs) -> dict[str, Any]:
  """Returns how `other` differs from `first`, as `report.json` has it.

  Quality: means of `other` less those of `first`. Churn: the share by which it
  is above (below: negative) that of the first, with the interval

      exp(log(ratio) +- t se) - 1

  of the jackknife over runs of the logarithm of the ratio. Paired, with k
  repeats from the first on that have the same seeds: over these k only, of
  which each leaves both arms at once. Otherwise all repeats count, and each arm
  is a sample of its own.
  """
  common = _common(first, other)
  if common:
    first, other = _cut(first, common), _cut(other, common)
  found: dict[str, Any] = {"paired": common}
  within: dict[str, Interval] = {}
  for measure in MEASURES:
    ours, theirs = other.measures[measure], first.measures[measure]
    found[measure] = _mean(ours) - _mean(theirs)
    within[measure] = (
      intervals.of_mean([a - b for a, b in zip(ours, theirs)])
      if common
      else intervals.of_difference(theirs, ours)
    )
  found["churn"], within["churn"] = _churn(first, other, is_paired=common > 0)
  return found | {"interval": within}


def verdict(difference: Mapping[str, Any]) -> str:
  """Returns whether the log loss is worse: what its interval shows of 0."""
  low, high = difference["interval"]["log_loss"]
  if low > 0:
    return "worse"
  return "better" if high < 0 else UNSHOWN


def _common(first: Runs, other: Runs) -> int:
  """Returns how many repeats, from the first on, have the same seeds."""
  count = 0
  for one, two in zip(first.seeds, other.seeds):
    if one != two:
      break
    count += 1
  return count if count >= PAIRED_LEAST else 0


def _cut(runs: Runs, count: int) -> Runs:
  return dataclasses.replace(
    runs,
    seeds=runs.seeds[:count],
    measures={name: values[:count] for name, values in runs.measures.items()},
    pairs={p: v for p, v in runs.pairs.items() if max(p) < count},
  )


def _churn(
  first: Runs, other: Runs, *, is_paired: bool
) -> tuple[float, Interval]:
  if is_paired:
    ratio = _log_ratio(first.pairs, other.pairs)
    units: list[Sequence[Hashable]] = list(
      samples(
        first.count, is_refreshed=first.is_refreshed or other.is_refreshed
      )
    )
  else:
    ratio = _log_ratio(_named("first", first), _named("other", other))
    units = [
      [(name, repeat) for repeat in sample]
      for name, runs in (("first", first), ("other", other))
      for sample in samples(runs.count, is_refreshed=runs.is_refreshed)
    ]
  low, high = intervals.jackknife(ratio, units)
  whole = ratio(frozenset(unit for sample in units for unit in sample))
  return math.exp(whole) - 1, (math.exp(low) - 1, math.exp(high) - 1)


def _named(name: str, runs: Runs) -> dict[tuple[_Run, _Run], float]:
  return {((name, i), (name, j)): v for (i, j), v in runs.pairs.items()}


def _log_ratio(
  first: Mapping[tuple[Hashable, Hashable], float],
  other: Mapping[tuple[Hashable, Hashable], float],
) -> Callable[[Set[Hashable]], float]:
  def measure(kept: Set[Hashable]) -> float:
    over = intervals.over_pairs(other, kept)
    under = intervals.over_pairs(first, kept)
    return math.log(over / under) if over > 0 and under > 0 else math.nan

  return measure


def _mean(values: Sequence[float]) -> float:
  return sum(values) / len(values)
