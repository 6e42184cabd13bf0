"""Which rows a worker sees when: a pure function of (seed, group, epoch).

A full permutation of the rows would read each from another place of the disk.
Blocks are permuted instead, and rows within windows of many blocks. Logs lie in
the order of time, and a window of few blocks taken at random would be of some
hours more than of others, so windows are stratified: each takes one block of
every stretch of the log, as long as there are windows. Its rows are then a
sample of all the log, and so is every batch.
"""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ctr_codistill.criteo import share as shares
from ctr_codistill.criteo.records import Shards
from ctr_codistill.criteo.share import Share


class Part(NamedTuple):
  """Rows `low` to `high` - 1 of a block."""

  block: int
  low: int
  high: int


@dataclasses.dataclass(frozen=True, eq=False)
class Stretch:
  """A part of a window, as a worker comes by it.

  Attributes:
    name: of the part, the same in all groups: "EPOCH-WINDOW-PART".
    places: which rows of the part come, in their order; the same row has the
      same place in all groups. int64 `[at most size]`, fewer where the worker
      began inside the part.
    size: rows of the part.
  """

  name: str
  places: np.ndarray
  size: int


@dataclasses.dataclass(frozen=True, eq=False)
class Window:
  """Rows that are shuffled together.

  Attributes:
    parts: where its rows lie, one part a block.
    rows: in how many rows the parts have together.
    order: which of them come, and when: int64 `[at most rows]`.
  """

  parts: list[Part]
  rows: int
  order: np.ndarray


def epoch_rows(shards: Shards, share: Share) -> int:
  """Returns the rows that each worker of the group reads in an epoch."""
  own = shares.blocks(share, len(shards.block_lengths))
  return int(shards.block_lengths[own].sum()) // share.workers


def windows(shards: Shards, share: Share, start: int) -> Iterator[Window]:
  """Yields the worker's endless stream, from its row number `start` on.

  Windows of an epoch are of one size, to within a row. They are never smaller
  than a block, since of each block that has a part in a window all is read.
  """
  rows = epoch_rows(shards, share)
  known = -1
  for epoch, number, low, high, skipped in _spans(shards, share, start):
    if epoch != known:
      blocks = _blocks(shards, share, epoch, _count(shards, share))
      ends = np.cumsum(shards.block_lengths[blocks])
      known = epoch
    first = share.worker * rows
    yield Window(
      _parts(shards, blocks, ends, first + low, first + high),
      high - low,
      _order(share, epoch, number, high - low)[skipped:],
    )


def stretches(shards: Shards, share: Share, start: int) -> Iterator[Stretch]:
  """Yields the parts of the windows that `windows` yields, as they come.

  Args:
    shards: what is read.
    share: of the worker; its `parts` are above 1.
    start: number of the stream's row to begin at.
  """
  for epoch, number, low, high, skipped in _spans(shards, share, start):
    for part, places in _turns(share, epoch, number, high - low):
      taken = places[skipped:]
      skipped = max(skipped - len(places), 0)
      if len(taken):
        yield Stretch(f"{epoch}-{number}-{part}", taken, len(places))


def _spans(
  shards: Shards, share: Share, start: int
) -> Iterator[tuple[int, int, int, int, int]]:
  """Yields epoch, number, first row, end, and rows passed over of a window."""
  rows, count = epoch_rows(shards, share), _count(shards, share)
  epoch, offset = divmod(start, rows)
  while True:
    for number in range(count):
      low, high = rows * number // count, rows * (number + 1) // count
      if high > offset:
        yield epoch, number, low, high, max(offset - low, 0)
    epoch, offset = epoch + 1, 0


def _count(shards: Shards, share: Share) -> int:
  """Returns how many windows an epoch has."""
  size = max(share.window_rows, shards.block_rows)
  return -(-epoch_rows(shards, share) // size)


def _order(share: Share, epoch: int, number: int, rows: int) -> np.ndarray:
  """Returns the rows of a window in the order in which they come."""
  if share.parts == 1:
    return _random(share, epoch, number).permutation(rows)
  common = _random(share, epoch, number, common=True).permutation(rows)
  bounds = _bounds(share, rows)
  return np.concatenate(
    [
      common[bounds[part] : bounds[part + 1]][places]
      for part, places in _turns(share, epoch, number, rows)
    ]
  )


def _turns(
  share: Share, epoch: int, number: int, rows: int
) -> Iterator[tuple[int, np.ndarray]]:
  """Yields the parts of a window in the group's order, each with its places."""
  sizes = np.diff(_bounds(share, rows))
  random = _random(share, epoch, number)
  first = share.group * share.parts // share.groups
  for turn in range(share.parts):
    part = (first + turn) % share.parts
    yield part, random.permutation(sizes[part])


def _bounds(share: Share, rows: int) -> np.ndarray:
  """Returns where the parts of a window begin, and its end."""
  return rows * np.arange(share.parts + 1) // share.parts


def _blocks(
  shards: Shards, share: Share, epoch: int, windows: int
) -> np.ndarray:
  """Returns the group's blocks in the order of an epoch, int64 `[blocks]`.

  Every stretch of as many blocks as the group's workers have windows is dealt
  to these windows, one each; the order within a window is random too.
  """
  own = shares.blocks(share, len(shards.block_lengths))
  columns = windows * share.workers
  random = _random(share, epoch, -1, common=share.parts > 1)
  drawn = random.random_sample((-(-len(own) // columns), columns))
  dealt = np.argsort(drawn, axis=1, kind="stable").ravel()[: len(own)]
  place = dealt + random.random_sample(len(own))
  return own[np.argsort(place, kind="stable")]


def _random(
  share: Share, epoch: int, window: int, *, common: bool = False
) -> np.random.RandomState:
  """Returns the generator of an epoch's blocks (-1) or a window's rows.

  `RandomState` because its stream is frozen over versions of numpy. `common`:
  the one that all groups have, beside their own.
  """
  group = 0 if share.coordinated else share.group
  if common:
    group = share.groups
  worker = 0 if window < 0 else 1 + share.worker
  key = [share.seed, group, epoch, worker, window + 1]
  return np.random.RandomState(np.array(key, np.uint32))


def _parts(
  shards: Shards, blocks: np.ndarray, ends: np.ndarray, low: int, high: int
) -> list[Part]:
  """Returns where rows [low, high) of the blocks put end to end lie."""
  first, last = np.searchsorted(ends, [low, high - 1], side="right")
  inside = slice(first, last + 1)
  lengths = shards.block_lengths[blocks[inside]]
  starts = ends[inside] - lengths
  return list(
    map(
      Part,
      blocks[inside].tolist(),
      np.maximum(low - starts, 0).tolist(),
      np.minimum(high - starts, lengths).tolist(),
    )
  )
