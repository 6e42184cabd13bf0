"""Fixed-length rows in checksummed shards: the fastest thing to read again.

Eight times as many rows a second as TFRecords of examples, and a row's place
follows from its number, so that a reader can begin anywhere. A shard is blocks
one after the other; a block is up to `block_rows` rows, row-major little-endian
int32 `[rows, columns]`, and the 8-byte xxh3_64 of those bytes. Only a shard's
last block may be shorter. `records.json` says what there is, and comes last.
"""

import bisect
import dataclasses
import functools
import itertools
import json
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import xxhash

from ctr_codistill import places
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.errors import InputError

VERSION = 1
MANIFEST = "records.json"
BLOCK_ROWS = 1024
SUM_BYTES = 8
ROW_TYPE = np.dtype("<i4")


@dataclasses.dataclass(frozen=True)
class Shard:
  """One file of rows: its name in the directory, its rows and its bytes.

  `digest` is the xxh3_128 of its blocks' sums, as hexadecimal digits; "" in
  data that were prepared before it was noted.
  """

  name: str
  rows: int
  bytes: int
  digest: str = ""

  def __post_init__(self) -> None:
    if len(bytes.fromhex(self.digest)) not in (0, 16):
      raise ValueError(f"digest should be of 16 bytes, is {self.digest!r}")


@dataclasses.dataclass(frozen=True)
class Shards:
  """The shards of a directory, in order; reading them keeps no state.

  Attributes:
    directory: where they lie.
    schema: fingerprint of the one that they were made with.
    columns: width of a row.
    block_rows: rows of every block but a shard's last.
    shards: the files.
  """

  directory: str | os.PathLike
  schema: str
  columns: int
  block_rows: int
  shards: tuple[Shard, ...]

  @property
  def row_bytes(self) -> int:
    """Bytes of a row."""
    return self.columns * ROW_TYPE.itemsize

  @functools.cached_property
  def rows(self) -> int:
    """Rows of all shards."""
    return sum(shard.rows for shard in self.shards)

  @functools.cached_property
  def block_lengths(self) -> np.ndarray:
    """Rows of each block over all shards, in order: int64 `[blocks]`."""
    lengths = [block_lengths(s.rows, self.block_rows) for s in self.shards]
    return np.concatenate([np.zeros(0, np.int64), *lengths])

  @functools.cached_property
  def _first_blocks(self) -> list[int]:
    """Number of the first block of each shard."""
    counts = (-(-shard.rows // self.block_rows) for shard in self.shards)
    return list(itertools.accumulate(counts, initial=0))[:-1]

  @functools.cached_property
  def _paths(self) -> tuple[str, ...]:
    return tuple(os.path.join(self.directory, s.name) for s in self.shards)


def open_shards(directory: str | os.PathLike, schema: Schema) -> Shards:
  """Returns the shards of `directory` after a look at their sizes.

  Raises:
    InputError: no directory, manifest or shard, a shard of another size than
      the manifest says, or rows that were made with another schema.
  """
  shards = read_manifest(pathlib.Path(directory))
  if shards.schema != schema.fingerprint:
    raise InputError(
      f"{directory} does not fit the schema: its rows were made with "
      f"{shards.schema}, the schema is {schema.fingerprint}"
    )
  if shards.columns != schema.columns:
    raise InputError(
      f"{directory} should have {schema.columns} columns, has {shards.columns}"
    )
  for shard in shards.shards:
    _check_size(shards, shard)
  return shards


def read_block(shards: Shards, index: int) -> np.ndarray:
  """Returns block `index` of all shards, int32 `[rows, columns]`, read-only.

  Any number of threads may read at once.

  Raises:
    IndexError: `index` is not in [0, blocks).
    InputError: naming the file and block that is gone or was altered.
  """
  if not 0 <= index < len(shards.block_lengths):
    raise IndexError(f"block {index} of {len(shards.block_lengths)}")
  rows = np.empty((shards.block_lengths[index], shards.columns), ROW_TYPE)
  read_block_into(shards, index, rows)
  rows.flags.writeable = False
  return rows


def read_block_into(shards: Shards, index: int, out: np.ndarray) -> None:
  """Reads block `index` into `out`, contiguous `[rows, columns]`.

  As `read_block`, without a copy: what is read is checked in its place.
  """
  # Of shards without a row, which begin where the next does, the last counts.
  number = bisect.bisect_right(shards._first_blocks, index) - 1
  within = index - shards._first_blocks[number]
  path = shards._paths[number]
  full = shards.block_rows * shards.row_bytes + SUM_BYTES
  body, wanted = memoryview(out).cast("B"), bytearray(SUM_BYTES)
  size = _pread(path, [body, wanted], within * full)
  check_block(path, within, body, wanted, size)


def check_block(
  path: str,
  number: int,
  body: bytearray | memoryview,
  wanted: bytearray,
  size: int,
) -> None:
  """Checks a block that was read.

  Args:
    path: of the shard.
    number: of the block in it.
    body: the rows, if all was there.
    wanted: the sum behind them.
    size: bytes that there were of both.

  Raises:
    InputError: naming file and block if it is not whole or was altered.
  """
  if size != len(body) + SUM_BYTES:
    raise InputError(
      f"{path}: block {number} should have {len(body) + SUM_BYTES} bytes, "
      f"has {size}"
    )
  if wanted != xxhash.xxh3_64_digest(body):
    raise InputError(
      f"{path}: block {number} should have the sum {wanted.hex()}, "
      f"has {xxhash.xxh3_64_hexdigest(body)}"
    )


def read_rows(
  shards: Shards, start: int = 0, stop: int | None = None
) -> Iterator[np.ndarray]:
  """Yields rows `start` ... `stop` - 1 in order, int32 `[rows, columns]`.

  Args:
    shards: what to read.
    start: the first row, in [0, rows].
    stop: one after the last, in [start, rows]; `None` is the end.

  Raises:
    IndexError: a range outside the rows.
    InputError: as `read_block`.
  """
  stop = shards.rows if stop is None else stop
  if not 0 <= start <= stop <= shards.rows:
    raise IndexError(f"rows {start} to {stop} of {shards.rows}")
  ends = np.cumsum(shards.block_lengths)
  block = int(np.searchsorted(ends, start, side="right"))
  while start < stop:
    first = int(ends[block] - shards.block_lengths[block])
    yield read_block(shards, block)[start - first : stop - first]
    start, block = int(ends[block]), block + 1


def digest(shards: Shards) -> str:
  """Returns a hash of all rows in their order, of the blocks' sums alone.

  Each worker asks for it when it starts: of terabytes the sums alone are
  millions of reads, so what a shard's are was noted when it was written. Hence
  it is of the shards that the manifest speaks of; whether a block is as it was
  written is seen when it is read.
  """
  found = xxhash.xxh3_128()
  for path, shard in zip(shards._paths, shards.shards, strict=True):
    noted = shard.digest or _digest(path, shards, shard)
    found.update(bytes.fromhex(noted))
  return found.hexdigest()


def _digest(path: str, shards: Shards, shard: Shard) -> str:
  found = xxhash.xxh3_128()
  full = shards.block_rows * shards.row_bytes + SUM_BYTES
  for block in range(len(block_lengths(shard.rows, shards.block_rows))):
    wanted = bytearray(SUM_BYTES)
    end = min((block + 1) * full, shard.bytes)
    _pread(path, [wanted], end - SUM_BYTES)
    found.update(wanted)
  return found.hexdigest()


def block_lengths(rows: int, block_rows: int) -> np.ndarray:
  """Returns the rows of each block of a shard of `rows`: int64 `[blocks]`."""
  lengths = np.full(-(-rows // block_rows), block_rows, np.int64)
  if rows % block_rows:
    lengths[-1] = rows % block_rows
  return lengths


def read_manifest(directory: str | os.PathLike) -> Shards:
  """Returns what a directory, which may be remote, should hold.

  Raises:
    InputError: there is no manifest that says it.
  """
  path = os.path.join(directory, MANIFEST)
  try:
    manifest = json.loads(places.read_bytes(path))
    if manifest["version"] != VERSION:
      raise ValueError(f"version should be {VERSION}")
    return Shards(
      directory=directory,
      schema=manifest["schema"],
      columns=manifest["columns"],
      block_rows=manifest["block_rows"],
      shards=tuple(Shard(**item) for item in manifest["shards"]),
    )
  except OSError as error:
    raise InputError(
      f"{directory} should be a directory of shards; {MANIFEST} there: "
      f"{error.strerror or error}"
    ) from None
  except (ValueError, KeyError, TypeError) as error:
    raise InputError(f"{path} is no manifest of shards: {error}") from None


def _check_size(shards: Shards, shard: Shard) -> None:
  path = os.path.join(shards.directory, shard.name)
  try:
    found = os.path.getsize(path)
  except OSError as error:
    raise InputError(f"{path}: {error.strerror}") from None
  blocks = len(block_lengths(shard.rows, shards.block_rows))
  size = shard.rows * shards.row_bytes + blocks * SUM_BYTES
  if not size == shard.bytes == found:
    raise InputError(
      f"{path} should have {size} bytes for {shard.rows} rows, has {found}"
    )


def _pread(path: str, places: list, offset: int) -> int:
  """Fills `places` from `offset` on; returns the bytes that there were."""
  try:
    file = os.open(path, os.O_RDONLY)
    try:
      return os.preadv(file, places, offset)
    finally:
      os.close(file)
  except OSError as error:
    raise InputError(f"{path}: {error.strerror}") from None
