"""Rank churn of files of predictions, by a column that names the groups."""

import os
from collections.abc import Iterator
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ctr_codistill.evaluation import aligning
from ctr_codistill.evaluation.churn import ranks as ranks_
from ctr_codistill.evaluation.churn.ranks import Ranks


def ranks(
  paths: Sequence[str | os.PathLike],
  column: str,
  *,
  table: str | os.PathLike | None = None,
  tops: tuple[int, ...] = (1, 5),
) -> Ranks:
  """Returns how alike runs order the examples of one value of `column`.

  It holds all examples in memory. Examples without a value are one group.

  Args:
    paths: one a run.
    column: that names the group, such as a query's id.
    table: that has it; None for the first run's files.
    tops: the k of the overlaps.
  """
  return ranks_.of(column, _parts(paths, column, table), tops=tops)


def _parts(
  paths: Sequence[str | os.PathLike],
  column: str,
  table: str | os.PathLike | None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  numbers: dict[str, int] = {}
  for part in aligning.chunks(paths, [column], table=table):
    yield _numbered(part.extra[column], numbers), part.probability


def _numbered(array: pa.Array, numbers: dict[str, int]) -> np.ndarray:
  """Returns a group's number for each row; fills `numbers`, by value."""
  if pa.types.is_integer(array.type) and not array.null_count:
    return array.to_numpy(zero_copy_only=False).astype(np.int64)
  if pa.types.is_dictionary(array.type):
    array = array.dictionary_decode()
  coded = pc.cast(array, pa.string()).dictionary_encode(null_encoding="encode")
  found = [
    numbers.setdefault(value, len(numbers))
    for value in coded.dictionary.to_pylist()
  ]
  return np.array(found, np.int64)[coded.indices.to_numpy()]
