"""Files of predictions: parquet with `example`, `probability` and `label`.

`example` (int64) is the row's number in the input, ascending, each once;
`probability`, of a click, is written as float32, what models compute in, and
read as float32 or float64; `label` (int8, 0 or 1) may be missing. Files are
written whole or not at all, and read in chunks, so memory is bounded whatever
their length. Rows in messages count from 0.
"""

import contextlib
import dataclasses
import functools
import itertools
import os
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ctr_codistill import places
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import metrics
from ctr_codistill.evaluation import row_groups

# Rows of a row group: the unit a writer holds in memory.
_GROUP_ROWS = 1 << 18

_DTYPES = {"example": np.int64, "probability": np.float32, "label": np.int8}
_KINDS = {
  "example": (pa.types.is_integer, "integers"),
  "probability": (pa.types.is_floating, "floats"),
  "label": (pa.types.is_integer, "integers"),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
  """Predictions of consecutive rows.

  Attributes:
    example: `[rows]` int64, the rows' numbers in the input, ascending.
    probability: `[rows]` float, of a click, in [0, 1].
    label: `[rows]` integer, 0 or 1; None where it is not known.
    extra: further columns of the file by name, `[rows]` each; not written.
  """

  example: np.ndarray
  probability: np.ndarray
  label: np.ndarray | None = None
  extra: Mapping[str, pa.Array] = dataclasses.field(default_factory=dict)

  def __post_init__(self) -> None:
    shapes = {np.shape(column) for column in self.columns().values()}
    if len(shapes) > 1 or len(shapes.pop()) != 1:
      found = {name: np.shape(c) for name, c in self.columns().items()}
      raise ValueError(f"columns should all be [rows], are {found}")

  def columns(self) -> dict[str, np.ndarray]:
    """Returns the columns that are there, by name."""
    columns = {"example": self.example, "probability": self.probability}
    return columns if self.label is None else columns | {"label": self.label}

  def __len__(self) -> int:
    return len(self.example)

  def __getitem__(self, rows: slice) -> "Batch":
    extra = {name: array[rows] for name, array in self.extra.items()}
    return Batch(
      **{name: c[rows] for name, c in self.columns().items()}, extra=extra
    )


def write(path: str | os.PathLike, batches: Iterable[Batch]) -> int:
  """Writes the batches to the file `path`, whole or not at all.

  Args:
    path: parquet, compressed with zstd; a file there is replaced.
    batches: in the input's order, of any length; all with labels or none.

  Returns:
    The number of rows written.

  Raises:
    InputError: examples out of order, a probability or label out of its range.
    ValueError: some batches have labels and some have none.
  """
  with places.written(path) as file:
    return _fill(file, _checked(batches, path))


def count(path: str | os.PathLike) -> int:
  """Returns the number of rows of `path`, reading only its footer."""
  with _open(path) as file:
    return file.metadata.num_rows


def first(path: str | os.PathLike) -> int:
  """Returns the first example of `path` if its footer tells it, else -1."""
  with _open(path) as file:
    return row_groups.first(file, "example")


def iterate(
  path: str | os.PathLike,
  *,
  chunk_rows: int = 1 << 17,
  extra: Sequence[str] = (),
  start: int = 0,
  stop: int | None = None,
) -> Iterator[Batch]:
  """Yields the predictions of `path`, at most `chunk_rows` at a time, checked.

  Args:
    path: of one file.
    chunk_rows: most rows at a time.
    extra: names of further columns to read.
    start: number of the first row.
    stop: number after the last; None for all.

  Raises:
    InputError: no parquet file, a column that is missing or of a wrong type, an
      empty cell, examples out of order or twice, a probability outside [0, 1],
      a label that is not 0 or 1.
  """
  with _open(path) as file:
    names = [n for n in _DTYPES if n in file.schema_arrow.names]
    check_has(file.schema_arrow, extra, path)
    names += [n for n in extra if n not in names]
    groups, before = row_groups.holding(file, start, stop)
    parts = file.iter_batches(
      batch_size=chunk_rows, columns=names, row_groups=groups
    )
    found = _numpy(parts, path, extra)
    if stop is not None:
      found = row_groups.between(found, start - before, stop - before)
    yield from _checked(found, path, row=start)


def check_has(
  schema: pa.Schema, names: Sequence[str], path: str | os.PathLike
) -> None:
  """Raises InputError for the first column that a file lacks."""
  for name in names:
    if name not in schema.names:
      raise InputError(
        f"{path} should have a column {name!r}, has {', '.join(schema.names)}"
      )


def read(path: str | os.PathLike) -> Batch:
  """Returns all predictions of `path`, held in memory; see `iterate`."""
  parts = list(iterate(path))
  if not parts:
    return Batch(np.zeros(0, np.int64), np.zeros(0, np.float32))
  columns = zip(*(part.columns().values() for part in parts))
  return Batch(*map(np.concatenate, columns))


def _fill(file: BinaryIO, batches: Iterator[Batch]) -> int:
  """Writes the file in row groups of `_GROUP_ROWS`; returns its rows."""
  first = next(batches, Batch(np.zeros(0), np.zeros(0)))
  schema = pa.schema(
    [(name, pa.from_numpy_dtype(_DTYPES[name])) for name in first.columns()]
  )
  rows = 0
  with pq.ParquetWriter(
    file,
    schema,
    compression="zstd",
    use_dictionary=False,
    column_encoding={"example": "DELTA_BINARY_PACKED"},
  ) as writer:
    for group in _groups(itertools.chain([first], batches)):
      writer.write_table(
        pa.Table.from_batches([_arrow(batch, schema) for batch in group])
      )
      rows += sum(map(len, group))
  return rows


def _groups(batches: Iterable[Batch]) -> Iterator[list[Batch]]:
  held: list[Batch] = []
  for batch in batches:
    held.append(batch)
    if sum(map(len, held)) >= _GROUP_ROWS:
      yield held
      held = []
  if held:
    yield held


def _arrow(batch: Batch, schema: pa.Schema) -> pa.RecordBatch:
  columns = batch.columns()
  if list(columns) != schema.names:
    raise ValueError(
      f"every batch should have the columns {schema.names} of the first, one "
      f"has {list(columns)}"
    )
  arrays = [pa.array(c.astype(_DTYPES[n])) for n, c in columns.items()]
  return pa.record_batch(arrays, schema=schema)


@contextlib.contextmanager
def _open(path: str | os.PathLike) -> Iterator[pq.ParquetFile]:
  """Opens a file of predictions whose columns are there and of right types."""
  remote = places.is_remote(path)
  try:
    source = pa.PythonFile(places.open_bytes(path)) if remote else path
    # Without pre_buffer a row group is streamed: memory stays bounded.
    file = pq.ParquetFile(source, pre_buffer=False, buffer_size=1 << 20)
  except FileNotFoundError:
    raise InputError(f"{path} does not exist") from None
  except (OSError, pa.ArrowException) as error:
    raise InputError(f"{path} should be a parquet file: {error}") from None
  with file:
    _check_columns(file.schema_arrow, path)
    yield file


def _check_columns(schema: pa.Schema, path: str | os.PathLike) -> None:
  check_has(schema, ("example", "probability"), path)
  for name, (holds, kind) in _KINDS.items():
    if name not in schema.names:
      continue
    if not holds(schema.field(name).type):
      raise InputError(
        f"{path}: column {name!r} should hold {kind}, holds "
        f"{schema.field(name).type}"
      )


def _numpy(
  parts: Iterator[pa.RecordBatch],
  path: str | os.PathLike,
  extra: Sequence[str] = (),
) -> Iterator[Batch]:
  """Yields Arrow batches as numpy; an empty cell or torn page: InputError."""
  row = 0
  try:
    for part in parts:
      for name in set(part.schema.names) & set(_DTYPES):
        if part[name].null_count:
          empty = row + part[name].is_null().index(True).as_py()
          raise InputError(f"{path}, row {empty}: {name} is empty")
      columns = {
        n: part[n].to_numpy() for n in _DTYPES if n in part.schema.names
      }
      yield Batch(**columns, extra={name: part[name] for name in extra})
      row += part.num_rows
  except (OSError, pa.ArrowException) as error:
    raise InputError(f"{path} is torn near row {row}: {error}") from None


def _checked(
  batches: Iterable[Batch], path: str | os.PathLike, *, row: int = 0
) -> Iterator[Batch]:
  """Yields the batches that have rows; a wrong value: InputError."""
  last = None
  for batch in batches:
    if not len(batch):
      continue
    _check(batch, path=path, row=row, last=last)
    row, last = row + len(batch), int(batch.example[-1])
    yield batch


def _check(
  batch: Batch, *, path: str | os.PathLike, row: int, last: int | None
) -> None:
  """Refuses wrong values; `row` is that of the first one, `last` before it."""
  before = np.concatenate([[-1 if last is None else last], batch.example[:-1]])
  rule = "0 or more, ascending, each once"
  refuse = functools.partial(metrics.refuse, where=f"{path}, ", row=row)
  refuse(batch.example <= before, batch.example, "example", rule)
  inside = (batch.probability >= 0) & (batch.probability <= 1)
  refuse(~inside, batch.probability, "probability", "in [0, 1]")
  if batch.label is not None:
    refuse((batch.label & ~1) != 0, batch.label, "label", "0 or 1")
