"""Tables of values and counts as sorted runs on disk, merged part by part.

A log's distinct values need not fit in memory: of a terabyte of Criteo's they
are hundreds of millions. Runs are sorted, so that a merge holds no more than
the heads of all of them; nothing is estimated and nothing is lost.
"""

import os
import pathlib
import uuid
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence

import pyarrow as pa
from pyarrow import compute
from pyarrow import ipc

TYPE = pa.schema([("value", pa.binary()), ("count", pa.int64())])
"""The columns of every table here."""
_BATCH_ROWS = 1 << 14


def grouped(table: pa.Table) -> pa.Table:
  """Returns each value once, with the sum of its counts."""
  found = table.group_by("value", use_threads=False).aggregate(
    [("count", "sum")]
  )
  return found.rename_columns({"count_sum": "count"}).combine_chunks()


def write(table: pa.Table, path: str | os.PathLike) -> int:
  """Writes a run: each value of `table` once, ascending; returns its bytes.

  Raises:
    OSError: such as a full disk; nothing is left at `path`.
  """
  path = pathlib.Path(path)
  table = grouped(table).sort_by("value")
  # A name of its own: elsewhere someone may do the same work again.
  aside = path.with_name(f".tmp-{path.name}-{uuid.uuid4().hex[:8]}")
  try:
    with aside.open("wb") as file:
      with ipc.new_file(file, TYPE) as writer:
        writer.write_table(table, _BATCH_ROWS)
      file.flush()
      os.fsync(file.fileno())
      size = file.tell()
    os.replace(aside, path)
  except BaseException:
    aside.unlink(missing_ok=True)
    raise
  return size


def merged(
  paths: Sequence[str | os.PathLike], table: pa.Table
) -> Iterator[pa.Table]:
  """Yields each value of some runs and of `table` once, with its count.

  Args:
    paths: of the runs.
    table: in any order; a value may stand there more than once.
  """
  if not paths:
    yield grouped(table)
    return
  rest = grouped(table).sort_by("value")
  heads = [_Head(part) for part in (*map(_read, paths), _slices(rest))]
  while heads := [head for head in heads if head.fill()]:
    # A value up to the least of their ends lies in the heads, or nowhere.
    end = min(head.end for head in heads)
    yield grouped(pa.concat_tables([head.take(end) for head in heads]))


class _Head:
  """The values of a sorted run that come next."""

  def __init__(self, tables: Iterable[pa.Table]) -> None:
    self._tables = iter(tables)
    self._table = TYPE.empty_table()

  @property
  def end(self) -> bytes:
    """The last value."""
    return self._table["value"][-1].as_py()

  def fill(self) -> bool:
    """Reads on where little is left; tells whether there is any value."""
    while len(self._table) < _BATCH_ROWS:
      more = next(self._tables, None)
      if more is None:
        break
      self._table = pa.concat_tables([self._table, more])
    return len(self._table) > 0

  def take(self, end: bytes) -> pa.Table:
    """Returns the values up to `end`, which are then gone."""
    among = compute.less_equal(
      self._table["value"], pa.scalar(end, pa.binary())
    )
    count = compute.sum(among).as_py()
    found, self._table = self._table[:count], self._table[count:]
    return found


def _read(path: str | os.PathLike) -> Iterator[pa.Table]:
  """Yields a run's batches; keeps no file open, for there may be thousands."""
  number, count = 0, 1
  while number < count:
    with pa.OSFile(os.fspath(path)) as file:
      reader = ipc.open_file(file)
      count = reader.num_record_batches
      if number < count:
        yield pa.Table.from_batches([reader.get_batch(number)])
    number += 1


def _slices(table: pa.Table) -> Iterator[pa.Table]:
  for first in range(0, len(table), _BATCH_ROWS):
    yield table[first : first + _BATCH_ROWS]
