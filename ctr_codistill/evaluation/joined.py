"""Columns of a table, such as country or hour, joined to examples by number.

The table is parquet, with `example` ascending, each once, and may have more
examples than are asked for; it is read beside them, a chunk in memory.
"""

import os
from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import predictions

EXAMPLE = "example"


class Table:
  """A table whose rows are taken in the order of its examples."""

  def __init__(
    self,
    path: str | os.PathLike,
    names: Sequence[str],
    *,
    chunk_rows: int = 1 << 17,
  ):
    """Opens `path`, of which the columns `names` are wanted.

    Raises:
      InputError: no parquet file, or one without such columns.
    """
    self._path, self._names = path, tuple(names)
    try:
      file = pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
    except FileNotFoundError:
      raise InputError(f"{path} does not exist") from None
    except (OSError, pa.ArrowException) as error:
      raise InputError(f"{path} should be a parquet file: {error}") from None
    predictions.check_has(file.schema_arrow, (EXAMPLE, *names), path)
    columns = list(dict.fromkeys((EXAMPLE, *names)))
    self._parts = file.iter_batches(batch_size=chunk_rows, columns=columns)
    self._held = pa.Table.from_batches(
      [], pa.schema([file.schema_arrow.field(n) for n in columns])
    )
    self._last, self._row = -1, 0

  def take(self, example: np.ndarray) -> Mapping[str, pa.Array]:
    """Returns the columns at `[rows]` examples, ascending as all before them.

    Raises:
      InputError: an example is missing, or the table's are out of order.
    """
    while self._last < example[-1] and self._read():
      pass
    there = np.append(self._held[EXAMPLE].to_numpy(), -1)
    place = np.searchsorted(there[:-1], example)
    missing = there[place] != example
    if missing.any():
      which = example[np.argmax(missing)]
      raise InputError(f"{self._path} should have example {which}, has not")
    rows = self._held.take(pa.array(place))
    self._held = self._held.slice(int(place[-1]) + 1)
    return {n: _whole(rows[n]) for n in self._names}

  def _read(self) -> bool:
    part = next(self._parts, None)
    if part is None:
      return False
    number = pc.fill_null(part[EXAMPLE], -1).to_numpy(zero_copy_only=False)
    before = np.concatenate([[self._last], number[:-1]])
    wrong = number <= before
    if wrong.any():
      at = int(np.argmax(wrong))
      raise InputError(
        f"{self._path}, row {self._row + at}: example should be 0 or more, "
        f"ascending, each once, is {number[at]}"
      )
    if len(number):
      self._last, self._row = int(number[-1]), self._row + len(number)
    part = pa.Table.from_batches([part])
    self._held = pa.concat_tables([self._held, part])
    return True


def _whole(column: pa.ChunkedArray) -> pa.Array:
  found = column.combine_chunks()
  if isinstance(found, pa.Array):
    return found
  return pa.concat_arrays(found.chunks)
