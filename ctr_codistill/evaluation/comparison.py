"""Runs beside each other: their churn, and the quality of each.

Churn alone misleads: a model that predicts the base rate has none. So whoever
compares gets both, from one pass over the files of predictions.
"""

import dataclasses
import os
from collections.abc import Callable
from collections.abc import Sequence

from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import runs
from ctr_codistill.evaluation.churn import Churn
from ctr_codistill.evaluation.metrics import Quality
from ctr_codistill.evaluation.runs import Aligned


@dataclasses.dataclass(frozen=True)
class Comparison:
  """What independent trainings of one model predicted for the same examples.

  Attributes:
    names: of the runs, each once.
    churn: sums of their differences.
    qualities: sums of each run against the labels; None without labels.
  """

  names: tuple[str, ...]
  churn: Churn
  qualities: tuple[Quality, ...] | None


def compare(
  paths: Sequence[str | os.PathLike],
  *,
  thresholds: Sequence[float] = (0.5,),
  progress: Callable[[int], None] = lambda rows: None,
) -> Comparison:
  """Reads the files of predictions of two or more runs, once, in chunks.

  Args:
    paths: one file a run, of independent trainings; see `predictions`.
    thresholds: at which decisions are compared, each in [0, 1].
    progress: called with the number of rows newly done.

  Raises:
    InputError: fewer than two files, one file twice, a threshold outside
      [0, 1], no examples, files that `runs.align` refuses.
  """
  _check(paths, thresholds)
  churn, qualities = None, None
  for part in runs.align(paths):
    found = Churn.of(part.probability, thresholds=thresholds)
    churn = churn.merge(found) if churn else found
    if part.label is not None:
      qualities = _add(qualities, part)
    progress(len(part.example))
  if churn is None:
    raise InputError(f"{paths[0]} should have examples, has 0 rows")
  return Comparison(names(paths), churn, qualities)


def names(paths: Sequence[str | os.PathLike]) -> tuple[str, ...]:
  """Returns a name a file: the shortest end of its path that is its own."""
  parts = [
    os.path.splitext(p)[0].split(os.sep) for p in map(os.path.abspath, paths)
  ]
  for length in range(1, max(map(len, parts)) + 1):
    found = tuple("/".join(part[-length:]) for part in parts)
    if len(set(found)) == len(found):
      return found
  return tuple(map(os.fspath, paths))


def _check(
  paths: Sequence[str | os.PathLike], thresholds: Sequence[float]
) -> None:
  if len(paths) < 2:
    raise InputError(f"churn needs at least 2 runs, got {len(paths)}")
  seen = set()
  for path in paths:
    if os.path.realpath(path) in seen:
      raise InputError(f"{path} should be given once, as one run, is twice")
    seen.add(os.path.realpath(path))
  for threshold in thresholds:
    if not 0 <= threshold <= 1:
      raise InputError(f"a threshold should be in [0, 1], is {threshold}")


def _add(
  qualities: tuple[Quality, ...] | None, part: Aligned
) -> tuple[Quality, ...]:
  found = tuple(Quality.of(row, part.label) for row in part.probability)
  if qualities is None:
    return found
  return tuple(a.merge(b) for a, b in zip(qualities, found))
