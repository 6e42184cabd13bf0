"""Aligned predictions in chunks of fixed rows, with the columns of slices.

Chunks are cut at multiples of their size, whatever the files' own cuts, so that
the same examples give the same sums, to the bit, from one file or many.
"""

import dataclasses
import os
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ctr_codistill.evaluation import runs
from ctr_codistill.evaluation import shards
from ctr_codistill.evaluation.churn import slicing
from ctr_codistill.evaluation.churn.slicing import Slicing
from ctr_codistill.evaluation.joined import Table
from ctr_codistill.evaluation.runs import Aligned

CHUNK_ROWS = 1 << 18


def chunks(
  paths: Sequence[str | os.PathLike],
  columns: Sequence[str] = (),
  *,
  table: str | os.PathLike | None = None,
  rows: int = CHUNK_ROWS,
) -> Iterator[Aligned]:
  """Yields what the runs say of the same `rows` examples, the last of fewer.

  Args:
    paths: one a run.
    columns: for `Aligned.extra`.
    table: that has them, joined by example; None for the first run's files.
    rows: of a chunk.

  Raises:
    InputError: as `runs.align` and `joined.Table`.
  """
  own = () if table else columns
  found = even(runs.align(paths, chunk_rows=rows, extra=own), rows)
  if not table:
    yield from found
    return
  joined = Table(table, columns)
  for part in found:
    yield dataclasses.replace(part, extra=joined.take(part.example))


def slicings(
  path: str | os.PathLike,
  names: Sequence[str],
  *,
  table: str | os.PathLike | None = None,
  slices: int = 20,
) -> tuple[Slicing, ...]:
  """Returns how columns cut the examples of one run; none without names.

  Args:
    path: of the run.
    names: of the columns.
    table: that has them, see `chunks`.
    slices: most values, or ranges, of a column.
  """
  if not names:
    return ()
  return slicing.survey(columns(path, names, table=table), slices=slices)


def columns(
  path: str | os.PathLike,
  names: Sequence[str],
  *,
  table: str | os.PathLike | None = None,
) -> Iterator[dict[str, pa.Array]]:
  """Yields columns alone, of the examples of one run; as `chunks` has them."""
  joined = Table(table, names) if table else None
  for part in shards.iterate(path, extra=() if table else names):
    yield dict(joined.take(part.example) if joined else part.extra)


def even(parts: Iterable[Aligned], rows: int) -> Iterator[Aligned]:
  """Yields the same examples, `rows` at a time."""
  held: list[Aligned] = []
  count = 0
  for part in parts:
    while count + len(part) >= rows:
      yield _joined([*held, _cut(part, slice(None, rows - count))])
      part = _cut(part, slice(rows - count, None))
      held, count = [], 0
    if len(part):
      held.append(part)
      count += len(part)
  if held:
    yield _joined(held)


def _cut(part: Aligned, rows: slice) -> Aligned:
  return Aligned(
    part.example[rows],
    part.probability[:, rows],
    None if part.label is None else part.label[rows],
    {name: array[rows] for name, array in part.extra.items()},
  )


def _joined(parts: Sequence[Aligned]) -> Aligned:
  if len(parts) == 1:
    return parts[0]
  labels = [part.label for part in parts if part.label is not None]
  return Aligned(
    np.concatenate([part.example for part in parts]),
    np.concatenate([part.probability for part in parts], axis=1),
    np.concatenate(labels) if labels else None,
    {
      name: pa.concat_arrays([part.extra[name] for part in parts])
      for name in parts[0].extra
    },
  )
