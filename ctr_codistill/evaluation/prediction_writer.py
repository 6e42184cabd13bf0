"""Writes a file of predictions, batch by batch; `predictions` reads it."""

import contextlib
import os
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ctr_codistill import places
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation.prediction_batch import Batch
from ctr_codistill.evaluation.prediction_batch import Checker

DTYPES = {"example": np.int64, "probability": np.float32, "label": np.int8}
"""What the columns are written as; further ones have their own types."""

# Rows of a row group: the unit a writer holds in memory.
_GROUP_ROWS = 1 << 18


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator["Writer"]:
  """Opens a file to write: whole when the body is done, or what was before."""
  with places.written(path) as file:
    writer = Writer(file, path)
    try:
      yield writer
    except BaseException:
      with contextlib.suppress(Exception):
        writer.close()  # else its end complains, of a file that is gone
      raise
    writer.close()


class Writer:
  """A file that is being written.

  Attributes:
    rows: that were added.
  """

  def __init__(self, file: BinaryIO, path: str | os.PathLike) -> None:
    """Begins at the start of `file`; `path` is its name in errors."""
    self.rows = 0
    self._file, self._path = file, path
    self._checker = Checker(path)
    self._held: list[pa.RecordBatch] = []
    self._schema: pa.Schema | None = None
    self._parquet: pq.ParquetWriter | None = None

  def add(self, batch: Batch) -> None:
    """Adds rows; the first batch decides the columns.

    Raises:
      InputError: examples out of order, a probability or label out of its
        range, a further column that changes its type.
      ValueError: some batches have labels and some have none.
    """
    self._checker.check(batch)
    if not len(batch):
      self._schema = self._schema or _schema(batch)
      return
    if not self.rows:
      self._schema = _schema(batch)
    self._held.append(_arrow(batch, self._schema, self._path))
    self.rows += len(batch)
    if sum(part.num_rows for part in self._held) >= _GROUP_ROWS:
      self._write()

  def close(self) -> None:
    """Writes what is held and the footer."""
    self._write()
    self._parquet.close()

  def _write(self) -> None:
    schema = self._schema or _schema(Batch(np.zeros(0), np.zeros(0)))
    self._parquet = self._parquet or pq.ParquetWriter(
      self._file,
      schema,
      compression="zstd",
      use_dictionary=[name for name in schema.names if name not in DTYPES],
      column_encoding={"example": "DELTA_BINARY_PACKED"},
    )
    if self._held:
      self._parquet.write_table(pa.Table.from_batches(self._held))
    self._held = []


def _schema(batch: Batch) -> pa.Schema:
  own = [(name, pa.from_numpy_dtype(DTYPES[name])) for name in batch.columns()]
  return pa.schema(own + [(n, v.type) for n, v in batch.extra.items()])


def _arrow(
  batch: Batch, schema: pa.Schema, path: str | os.PathLike
) -> pa.RecordBatch:
  columns = batch.columns()
  if [*columns, *batch.extra] != schema.names:
    raise ValueError(
      f"every batch should have the columns {schema.names} of the first, one "
      f"has {[*columns, *batch.extra]}"
    )
  arrays = [pa.array(c.astype(DTYPES[n])) for n, c in columns.items()]
  for name, values in batch.extra.items():
    kind = schema.field(name).type
    try:
      arrays.append(values if values.type == kind else values.cast(kind))
    except pa.ArrowException:
      raise InputError(
        f"{path}: column {name!r} should be of {kind} as in the first rows, is "
        f"of {values.type}"
      ) from None
  return pa.record_batch(arrays, schema=schema)
