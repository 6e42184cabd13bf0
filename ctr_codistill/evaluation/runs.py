"""What several runs predict for the same examples, row beside row.

Churn means something only where both runs speak of the same example, so the
files are walked in step and every row is compared; none is held in memory.
"""

import dataclasses
import os
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import metrics
from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation import shards
from ctr_codistill.evaluation.predictions import Batch


@dataclasses.dataclass(frozen=True, eq=False)
class Aligned:
  """What several runs predict for the same consecutive rows.

  Attributes:
    example: `[rows]` int64.
    probability: `[runs, rows]` float64.
    label: `[rows]` integer, from the files that have it; None if none has.
    extra: further columns of the first run's files by name, `[rows]` each.
  """

  example: np.ndarray
  probability: np.ndarray
  label: np.ndarray | None
  extra: Mapping[str, pa.Array] = dataclasses.field(default_factory=dict)

  def __len__(self) -> int:
    return len(self.example)


def align(
  paths: Sequence[str | os.PathLike],
  *,
  chunk_rows: int = 1 << 17,
  extra: Sequence[str] = (),
) -> Iterator[Aligned]:
  """Yields what the files of several runs say of the same rows.

  Args:
    paths: one a run, see `shards.find`; they may be cut differently.
    chunk_rows: most rows at a time; memory grows with runs x chunk_rows.
    extra: names of further columns of the first run.

  Raises:
    InputError: as `predictions.iterate`; or a file speaks of other examples, or
      gives other labels, than the first.
  """
  _check_counts(paths)
  streams = [
    shards.iterate(path, chunk_rows=chunk_rows, extra=() if run else extra)
    for run, path in enumerate(paths)
  ]
  yield from _in_step(streams, paths, 0)


def align_rows(
  paths: Sequence[str],
  start: int,
  stop: int,
  *,
  chunk_rows: int = 1 << 17,
  extra: Sequence[str] = (),
) -> Iterator[Aligned]:
  """Yields the same of rows `start` to `stop` of single files.

  Raises:
    InputError: as `align`.
  """
  streams = [
    predictions.iterate(
      path,
      chunk_rows=chunk_rows,
      extra=() if run else extra,
      start=start,
      stop=stop,
    )
    for run, path in enumerate(paths)
  ]
  yield from _in_step(streams, paths, start)


def _in_step(
  streams: Sequence[Iterator[Batch]],
  paths: Sequence[str | os.PathLike],
  row: int,
) -> Iterator[Aligned]:
  """Yields what all streams have of the same rows, `row` the first's number."""
  parts = [next(stream, None) for stream in streams]
  while all(part is not None for part in parts):
    length = min(len(part) for part in parts)
    yield _aligned([part[:length] for part in parts], paths, row)
    row += length
    parts = [
      part[length:] if len(part) > length else next(stream, None)
      for part, stream in zip(parts, streams)
    ]


def mean(paths: Sequence[str | os.PathLike], output: str | os.PathLike) -> int:
  """Writes the mean of the runs' probabilities to `output`: their ensemble.

  Returns:
    The number of rows written.

  Raises:
    InputError: as `align`.
  """
  return predictions.write(
    output,
    (
      Batch(part.example, part.probability.mean(axis=0), part.label)
      for part in align(paths)
    ),
  )


def _check_counts(paths: Sequence[str | os.PathLike]) -> None:
  rows = shards.count(paths[0])
  for path in paths[1:]:
    found = shards.count(path)
    if found != rows:
      raise InputError(
        f"{path} should speak of the same examples as {paths[0]}, which has "
        f"{rows} rows; it has {found}"
      )


def _aligned(
  parts: Sequence[Batch], paths: Sequence[str | os.PathLike], row: int
) -> Aligned:
  for part, path in zip(parts, paths):
    _check_same(parts[0].example, part.example, "example", paths[0], path, row)
  labelled = [i for i, part in enumerate(parts) if part.label is not None]
  for i in labelled[1:]:
    first = labelled[0]
    one, other = parts[first].label, parts[i].label
    _check_same(one, other, "label", paths[first], paths[i], row)
  return Aligned(
    example=parts[0].example,
    probability=np.array([p.probability for p in parts], np.float64),
    label=parts[labelled[0]].label if labelled else None,
    extra=parts[0].extra,
  )


def _check_same(
  one: np.ndarray,
  other: np.ndarray,
  name: str,
  first: str | os.PathLike,
  path: str | os.PathLike,
  row: int,
) -> None:
  wrong = one != other
  if wrong.any():
    rule = f"{one[np.argmax(wrong)]} as in {first}"
    metrics.refuse(wrong, other, name, rule, where=f"{path}, ", row=row)
