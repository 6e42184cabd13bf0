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
  count = -(-rows // max(share.window_rows, shards.block_rows))
  epoch, offset = divmod(start, rows)
  while True:
    blocks = _blocks(shards, share, epoch, count)
    ends = np.cumsum(shards.block_lengths[blocks])
    first = share.worker * rows
    for number in range(count):
      low, high = rows * number // count, rows * (number + 1) // count
      if high <= offset:
        continue
      order = _random(share, epoch, number).permutation(high - low)
      yield Window(
        _parts(shards, blocks, ends, first + low, first + high),
        high - low,
        order[max(offset - low, 0) :],
      )
    epoch, offset = epoch + 1, 0


def _blocks(
  shards: Shards, share: Share, epoch: int, windows: int
) -> np.ndarray:
  """Returns the group's blocks in the order of an epoch, int64 `[blocks]`.

  Every stretch of as many blocks as the group's workers have windows is dealt
  to these windows, one each; the order within a window is random too.
  """
  own = shares.blocks(share, len(shards.block_lengths))
  columns = windows * share.workers
  random = _random(share, epoch, -1)
  drawn = random.random_sample((-(-len(own) // columns), columns))
  dealt = np.argsort(drawn, axis=1, kind="stable").ravel()[: len(own)]
  place = dealt + random.random_sample(len(own))
  return own[np.argsort(place, kind="stable")]


def _random(share: Share, epoch: int, window: int) -> np.random.RandomState:
  """Returns the generator of an epoch's blocks (-1) or a window's rows.

  `RandomState` because its stream is frozen over versions of numpy.
  """
  group = 0 if share.coordinated else share.group
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
