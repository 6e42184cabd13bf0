"""Some rows of a parquet file, without reading the others."""

from collections.abc import Iterable
from collections.abc import Iterator
from typing import TypeVar

import pyarrow.parquet as pq

Rows = TypeVar("Rows")


def first(file: pq.ParquetFile, column: str) -> int:
  """Returns the least value of the first row group; -1 if not told there."""
  if not file.metadata.num_row_groups:
    return -1
  group = file.metadata.row_group(0)
  statistics = next(
    group.column(n).statistics
    for n in range(group.num_columns)
    if group.column(n).path_in_schema == column
  )
  known = statistics is not None and statistics.has_min_max
  return int(statistics.min) if known else -1


def holding(
  file: pq.ParquetFile, start: int, stop: int | None
) -> tuple[list[int], int]:
  """Returns the row groups that hold some rows, and the rows before them.

  Args:
    file: that is open.
    start: number of the first row.
    stop: number after the last; None for all rows.
  """
  if stop is None:
    return list(range(file.metadata.num_row_groups)), 0
  found, before, row = [], 0, 0
  for number in range(file.metadata.num_row_groups):
    end = row + file.metadata.row_group(number).num_rows
    if end <= start:
      before = end
    elif row < stop:
      found.append(number)
    row = end
  return found, before


def between(parts: Iterable[Rows], start: int, stop: int) -> Iterator[Rows]:
  """Yields rows `start` to `stop` of consecutive parts, which can be cut."""
  row = 0
  for part in parts:
    low, high = max(start - row, 0), max(min(stop - row, len(part)), 0)
    if low < high:
      yield part[low:high]
    row += len(part)
