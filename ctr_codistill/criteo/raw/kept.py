"""Columns of the input that a job passes on as they came.

Of text: integers as int64 (whatever their spelling), others as strings, in
which bytes that are no UTF-8 are written as \\xNN; an empty field is a null.
Of parquet: the column as it lies there, of its own type.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from pyarrow import compute

from ctr_codistill.criteo.raw import judging
from ctr_codistill.criteo.raw import lines
from ctr_codistill.criteo.raw import parquet
from ctr_codistill.criteo.raw.layouts import Layout
from ctr_codistill.errors import InputError


def check(
  paths: Sequence[str], layout: Layout, sliced: Sequence[str] = ()
) -> None:
  """Looks at the kept columns before they are read.

  Args:
    paths: of the files.
    layout: of their columns.
    sliced: names of kept columns by which rows are to be cut.

  Raises:
    InputError: for the first one that a file lacks, or that holds no values to
      cut by.
  """
  for path in paths if layout.kept else ():
    is_parquet = lines.is_parquet(path)
    types = parquet.types(path) if is_parquet else layout.read_types
    names = types if is_parquet else layout.names
    for name in layout.kept:
      if name not in names:
        raise InputError(
          f"{path} should have a column {name!r}, has {', '.join(names)}"
        )
    for name in sliced:
      if pa.types.is_nested(types[name]):
        raise InputError(
          f"{path}: column {name!r} should hold one value a row to cut slices "
          f"by, holds {types[name]}"
        )


def of_batch(
  batch: pa.RecordBatch, layout: Layout, good: np.ndarray
) -> dict[str, pa.Array]:
  """Returns the columns of the rows at the places `good` of a parquet."""
  found = {name: batch.column(name) for name in layout.kept}
  if len(good) < batch.num_rows:
    found = {n: values.take(pa.array(good)) for n, values in found.items()}
  return {name: _plain(values) for name, values in found.items()}


def of_table(table: pa.Table, layout: Layout) -> dict[str, pa.Array]:
  """Returns the columns of a text's rows, which `judging.table` made."""
  return {
    name: _text(judging.array(table.column(name))) for name in layout.kept
  }


def _plain(values: pa.Array) -> pa.Array:
  is_dictionary = pa.types.is_dictionary(values.type)
  return values.dictionary_decode() if is_dictionary else values


def _text(values: pa.Array) -> pa.Array:
  if not pa.types.is_dictionary(values.type):
    return values
  try:
    strings = values.dictionary.cast(pa.string())
  except pa.ArrowInvalid:
    decoded = [
      value.decode(errors="backslashreplace")
      for value in values.dictionary.to_pylist()
    ]
    strings = pa.array(decoded, pa.string())
  empty = compute.equal(strings, "")
  strings = compute.if_else(empty, pa.scalar(None, pa.string()), strings)
  return strings.take(values.indices)
