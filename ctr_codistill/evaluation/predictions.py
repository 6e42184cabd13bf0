"""Files of predictions: parquet with `example`, `probability` and `label`.

`example` (int64) is the row's number in the input, ascending, each once;
`probability`, of a click, is written as float32, what models compute in, and
read as float32 or float64; `label` (int8, 0 or 1) may be missing. Files are
written whole or not at all, and read in chunks, so memory is bounded whatever
their length. Rows in messages count from 0. Further columns may follow, see
`Batch.extra`.
"""

import contextlib
import os
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ctr_codistill import places
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import row_groups
from ctr_codistill.evaluation.prediction_batch import Batch
from ctr_codistill.evaluation.prediction_batch import Checker
from ctr_codistill.evaluation.prediction_writer import DTYPES
from ctr_codistill.evaluation.prediction_writer import writing

_KINDS = {
  "example": (pa.types.is_integer, "integers"),
  "probability": (pa.types.is_floating, "floats"),
  "label": (pa.types.is_integer, "integers"),
}


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
  with writing(path) as file:
    for batch in batches:
      file.add(batch)
  return file.rows


def count(path: str | os.PathLike) -> int:
  """Returns the number of rows of `path`, reading only its footer."""
  with _open(path) as file:
    return file.metadata.num_rows


def has_labels(path: str | os.PathLike) -> bool:
  """Tells whether `path` has labels, reading only its footer."""
  with _open(path) as file:
    return "label" in file.schema_arrow.names


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
    names = [n for n in DTYPES if n in file.schema_arrow.names]
    check_has(file.schema_arrow, extra, path)
    names += [n for n in extra if n not in names]
    groups, before = row_groups.holding(file, start, stop)
    parts = file.iter_batches(
      batch_size=chunk_rows, columns=names, row_groups=groups
    )
    found = _numpy(parts, path, extra)
    if stop is not None:
      found = row_groups.between(found, start - before, stop - before)
    checker = Checker(path, start)
    for batch in found:
      checker.check(batch)
      if len(batch):
        yield batch


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
      for name in set(part.schema.names) & set(DTYPES):
        if part[name].null_count:
          empty = row + part[name].is_null().index(True).as_py()
          raise InputError(f"{path}, row {empty}: {name} is empty")
      columns = {
        n: part[n].to_numpy() for n in DTYPES if n in part.schema.names
      }
      yield Batch(**columns, extra={name: part[name] for name in extra})
      row += part.num_rows
  except (OSError, pa.ArrowException) as error:
    raise InputError(f"{path} is torn near row {row}: {error}") from None
