"""Writes rows into shards: each complete or absent, the manifest last.

What the bytes are is said in `records`, which reads them.
"""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np
import xxhash

from ctr_codistill import places
from ctr_codistill import stamped
from ctr_codistill.criteo import records
from ctr_codistill.criteo.records import Shard
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.errors import InputError

SHARD_ROWS = 262_144


class ShardWriter:
  """Takes rows of any number at a time and writes full shards.

  Use it in a `with`; a body that fails leaves no manifest, so nobody takes the
  shards for a whole.

  Args:
    directory: made if missing; may be remote.
    schema: of the rows.
    block_rows: rows of a block, at least 1.
    shard_rows: rows of a shard, a multiple of `block_rows`.
    shards: that are there already, written by one who did not come to the end.

  Raises:
    InputError: `shard_rows` is no positive multiple of `block_rows`; one of
      `shards` is gone or has another size.
    OSError: a remote directory cannot be listed.
  """

  def __init__(
    self,
    directory: str | os.PathLike,
    schema: Schema,
    *,
    block_rows: int = records.BLOCK_ROWS,
    shard_rows: int = SHARD_ROWS,
    shards: Sequence[Shard] = (),
  ) -> None:
    if block_rows < 1 or shard_rows < 1 or shard_rows % block_rows:
      raise InputError(
        "shard_rows should be a positive multiple of block_rows, is "
        f"{shard_rows} with block_rows {block_rows}"
      )
    self._directory = os.fspath(directory)
    if not places.is_remote(directory):
      os.makedirs(directory, exist_ok=True)
    self._schema = schema
    self._block_rows = block_rows
    self._shard_rows = shard_rows
    # One for all shards: new memory costs as much as what is done with it.
    self._buffer: np.ndarray | None = None
    self._pending = 0
    self._shards = list(shards)
    self._closed = False
    _check(self._directory, shards)

  def __enter__(self) -> "ShardWriter":
    return self

  def __exit__(self, kind: type | None, *unused: object) -> None:
    if kind is None:
      self.close()

  @property
  def rows(self) -> int:
    """Rows taken so far."""
    return sum(shard.rows for shard in self._shards) + self.pending

  @property
  def pending(self) -> int:
    """Of those the last ones, which are in no shard yet."""
    return self._pending

  @property
  def shards(self) -> tuple[Shard, ...]:
    """The shards that are complete."""
    return tuple(self._shards)

  def write(self, rows: np.ndarray) -> None:
    """Adds int32 `[rows, columns]` after those before; keeps no reference.

    Raises:
      ValueError: another type or width.
    """
    if rows.dtype != np.int32 or rows.shape[1:] != (self._schema.columns,):
      raise ValueError(
        f"rows should be int32 [rows, {self._schema.columns}], are "
        f"{rows.dtype} {list(rows.shape)}"
      )
    if self._buffer is None:
      shape = (self._shard_rows, self._schema.columns)
      self._buffer = np.empty(shape, records.ROW_TYPE)
    while len(rows):
      part = rows[: self._shard_rows - self._pending]
      self._buffer[self._pending : self._pending + len(part)] = part
      self._pending += len(part)
      rows = rows[len(part) :]
      if self._pending == self._shard_rows:
        self._flush()

  def close(self) -> None:
    """Writes the last shard and the manifest, the first time it is called."""
    if self._closed:
      return
    self._closed = True
    if self._pending:
      self._flush()
    self._buffer = None
    manifest = {
      "version": records.VERSION,
      "schema": self._schema.fingerprint,
      "columns": self._schema.columns,
      "block_rows": self._block_rows,
      "rows": self.rows,
      "shards": [dataclasses.asdict(shard) for shard in self._shards],
    }
    path = os.path.join(self._directory, records.MANIFEST)
    stamped.write_json(path, manifest)

  def _flush(self) -> None:
    shard, self._pending = self._buffer[: self._pending], 0
    number = len(self._shards)
    self._shards.append(
      write_shard(self._directory, number, shard, self._block_rows)
    )


def write_shard(
  directory: str | os.PathLike, number: int, rows: np.ndarray, block_rows: int
) -> Shard:
  """Writes shard `number`, all of whose rows are given; complete or absent."""
  name = f"shard-{number:05d}.rows"
  rows = np.ascontiguousarray(rows, records.ROW_TYPE)
  sums = xxhash.xxh3_128()
  # Durable, before anybody notes that the shard is there.
  with places.written(os.path.join(directory, name), durable=True) as file:
    for first in range(0, len(rows), block_rows):
      block = memoryview(rows[first : first + block_rows]).cast("B")
      file.write(block)
      own = xxhash.xxh3_64_digest(block)
      file.write(own)
      sums.update(own)
    return Shard(name, len(rows), file.tell(), sums.hexdigest())


def _check(directory: str, shards: Sequence[Shard]) -> None:
  """Refuses to go on where a shard is gone."""
  if not shards:
    return
  remote = places.is_remote(directory)
  try:
    there = set(places.names(directory))
  except FileNotFoundError:
    there = set()
  for shard in shards:
    path, found = os.path.join(directory, shard.name), "none"
    if shard.name in there:
      # An object's size was looked at when it was written, and to ask for each
      # again takes minutes where there are thousands.
      found = shard.bytes if remote else os.path.getsize(path)
    if found != shard.bytes:
      raise InputError(f"{path} was left with {shard.bytes} bytes, has {found}")
