"""Parquet files as record batches of some thousand rows, and their columns.

Read by pyarrow: tensorflow-io's reader is many times slower, and takes nulls
for values in silence.
"""

import contextlib
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from ctr_codistill import places
from ctr_codistill.errors import InputError

MAGIC = b"PAR1"
_BATCH_ROWS = 16_384
# What is buffered of each column; without it a row group is read whole.
_BUFFER = 1 << 18


def columns(path: str) -> tuple[str, ...]:
  """Returns the names of the columns.

  Raises:
    InputError: naming a file that is missing or no whole parquet.
  """
  with _opened(path) as file:
    return tuple(file.schema_arrow.names)


def types(path: str) -> dict[str, pa.DataType]:
  """Returns the types of the columns by their names; raises as `columns`."""
  with _opened(path) as file:
    return {field.name: field.type for field in file.schema_arrow}


def rows(path: str) -> int:
  """Returns the number of rows; raises as `columns`."""
  with _opened(path) as file:
    return file.metadata.num_rows


def batches(path: str) -> Iterator[pa.RecordBatch]:
  """Yields the rows in order, some thousand at a time; raises as `columns`."""
  with _opened(path) as file:
    yield from file.iter_batches(_BATCH_ROWS)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[pq.ParquetFile]:
  try:
    with (
      _source(path) as source,
      pq.ParquetFile(
        source, buffer_size=_BUFFER, page_checksum_verification=True
      ) as file,
    ):
      yield file
  except (pa.ArrowException, OSError) as error:
    said = getattr(error, "strerror", None) or str(error).split("\n", 1)[0]
    raise InputError(f"input {path} as parquet: {said}") from None


def _source(path: str) -> pa.NativeFile:
  if places.is_remote(path):
    return pa.PythonFile(places.open_bytes(path))
  return pa.OSFile(path)
