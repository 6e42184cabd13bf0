"""Runs beside each other: their churn, and the quality of each.

Churn alone misleads: a model that predicts the base rate has none. So whoever
compares gets both, from one pass over the files of predictions.
"""

import dataclasses
import os
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence

from ctr_codistill.criteo import parallel
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import aligning
from ctr_codistill.evaluation.churn import Churn
from ctr_codistill.evaluation.churn.ranks import Ranks
from ctr_codistill.evaluation.churn.slicing import Slicing
from ctr_codistill.evaluation.metrics import Quality
from ctr_codistill.evaluation.runs import Aligned


@dataclasses.dataclass(frozen=True)
class Comparison:
  """What independent trainings of one model predicted for the same examples.

  Attributes:
    names: of the runs, each once.
    churn: sums of their differences.
    qualities: sums of each run against the labels; None without labels.
    slicings: how the columns of the slices in `churn` are cut.
    ranks: how alike the runs order groups of examples; None if not asked for.
  """

  names: tuple[str, ...]
  churn: Churn
  qualities: tuple[Quality, ...] | None
  slicings: tuple[Slicing, ...] = ()
  ranks: Ranks | None = None


def compare(
  paths: Sequence[str | os.PathLike],
  *,
  thresholds: Sequence[float] = (0.5,),
  progress: Callable[[int], None] = lambda rows: None,
  slicings: Sequence[Slicing] = (),
  table: str | os.PathLike | None = None,
  threads: int = 1,
) -> Comparison:
  """Reads the files of predictions of two or more runs, once, in chunks.

  Args:
    paths: one a run, of independent trainings: a file of `predictions`, or
      many, see `shards.find`.
    thresholds: at which decisions are compared, each in [0, 1].
    progress: called with the number of rows newly done.
    slicings: how columns are cut into slices, see `survey`.
    table: that has these columns; None for the first run's files.
    threads: that sum, beside the one that reads.

  Raises:
    InputError: fewer than two runs, one twice, a threshold outside [0, 1], no
      examples, files that `runs.align` refuses.
  """
  check(paths, thresholds)
  names_ = [cut.column for cut in slicings]
  parts = aligning.chunks(paths, names_, table=table)
  churn = total(parts, thresholds, slicings, threads=threads, progress=progress)
  if churn is None:
    raise InputError(f"{paths[0]} should have examples, has 0 rows")
  return Comparison(names(paths), churn, churn.qualities, tuple(slicings))


def total(
  parts: Iterable[Aligned],
  thresholds: Sequence[float],
  slicings: Sequence[Slicing] = (),
  *,
  threads: int = 1,
  progress: Callable[[int], None] = lambda rows: None,
) -> Churn | None:
  """Returns the sums over aligned chunks; None without any."""
  found = None
  for churn in parallel.in_order(
    lambda part: of_chunk(part, thresholds, slicings), parts, threads
  ):
    found = found.merge(churn) if found else churn
    progress(churn.examples)
  return found


def of_chunk(
  part: Aligned, thresholds: Sequence[float], slicings: Sequence[Slicing] = ()
) -> Churn:
  """Returns the sums over one chunk of what the runs predicted."""
  return Churn.of(
    part.probability,
    thresholds=thresholds,
    example=part.example,
    label=part.label,
    codes={cut.column: cut.codes(part.extra[cut.column]) for cut in slicings},
    slices={cut.column: len(cut.names) for cut in slicings},
  )


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


def check(
  paths: Sequence[str | os.PathLike], thresholds: Sequence[float]
) -> None:
  """Raises InputError for what `compare` refuses before it reads."""
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
