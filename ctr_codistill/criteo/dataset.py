"""Shards to shuffled batches for one worker of one group, from any step on.

The order is a pure function of (seed, group, epoch, position): blocks are
permuted over the whole epoch, rows within windows of many blocks. So a worker
that starts again at step s opens the window of s and has what it would have
had.
"""

import dataclasses
import queue
import threading
from collections.abc import Iterator

import numpy as np

from ctr_codistill.criteo import records
from ctr_codistill.criteo.records import Shards
from ctr_codistill.errors import InputError


@dataclasses.dataclass(frozen=True)
class Share:
  """Which rows a worker of a group reads, and in what order.

  `sharing` is "same" (each group reads all rows, in its own order) or
  "disjoint" (block b belongs to group b mod groups). Within a group each row of
  an epoch goes to one worker; fewer than `workers` rows an epoch stay out,
  others each time.
  """

  group: int = 0
  groups: int = 1
  worker: int = 0
  workers: int = 1
  sharing: str = "same"
  seed: int = 0
  window_rows: int = 131_072

  def __post_init__(self) -> None:
    for name, count in (("group", self.groups), ("worker", self.workers)):
      if not 0 <= getattr(self, name) < count:
        raise InputError(
          f"{name} should be in [0, {count}), is {getattr(self, name)}"
        )
    if self.sharing not in ("same", "disjoint"):
      raise InputError(
        f"sharing should be one of same, disjoint, is {self.sharing!r}"
      )
    if self.window_rows < 1:
      raise InputError(
        f"window_rows should be at least 1, is {self.window_rows}"
      )


def epoch_rows(shards: Shards, share: Share) -> int:
  """Returns the rows that each worker of the group reads in an epoch."""
  return (
    int(shards.block_lengths[_blocks(shards, share)].sum()) // share.workers
  )


def batches(
  shards: Shards, share: Share, *, batch_rows: int, start_step: int = 0
) -> Iterator[np.ndarray]:
  """Yields int32 `[batch_rows, columns]` without end, from `start_step` on.

  Batches run on over the ends of epochs, so that all have the same shape.

  Raises:
    InputError: an epoch has fewer rows than one batch; a block is damaged.
  """
  rows = epoch_rows(shards, share)
  if rows < batch_rows:
    raise InputError(
      f"{shards.directory} should give each of {share.workers} workers at "
      f"least one batch of {batch_rows} rows an epoch, gives {rows}"
    )
  held: list[np.ndarray] = []
  count = 0
  for window in _windows(shards, share, start_step * batch_rows):
    held.append(window)
    count += len(window)
    if count < batch_rows:
      continue
    joined = np.concatenate(held) if len(held) > 1 else window
    end = count - count % batch_rows
    for at in range(0, end, batch_rows):
      yield joined[at : at + batch_rows]
    held, count = ([joined[end:]], count - end) if end < count else ([], 0)


def prefetch(source: Iterator[np.ndarray], *, depth: int) -> Iterator:
  """Yields what `source` yields, made up to `depth` ahead by a thread."""
  ready: queue.Queue = queue.Queue(maxsize=depth)
  stop = threading.Event()

  def put(item: object) -> None:
    while not stop.is_set():
      try:
        return ready.put(item, timeout=0.1)
      except queue.Full:
        continue

  def fill() -> None:
    try:
      for item in source:
        put((item, None))
        if stop.is_set():
          return
      put((None, StopIteration()))
    except Exception as error:
      put((None, error))

  threading.Thread(target=fill, name="prefetch", daemon=True).start()
  try:
    while True:
      item, error = ready.get()
      if isinstance(error, StopIteration):
        return
      if error is not None:
        raise error
      yield item
  finally:
    stop.set()


def _blocks(shards: Shards, share: Share) -> np.ndarray:
  """Returns the indices of the blocks that the group reads."""
  blocks = np.arange(len(shards.block_lengths))
  if share.sharing == "disjoint":
    return blocks[share.group :: share.groups]
  return blocks


def _windows(shards: Shards, share: Share, start: int) -> Iterator[np.ndarray]:
  """Yields shuffled windows of the worker's endless stream, from a row on."""
  rows = epoch_rows(shards, share)
  epoch, offset = divmod(start, rows)
  while True:
    blocks = _order(share, epoch, -1).permutation(_blocks(shards, share))
    for window in range(
      offset // share.window_rows, -(-rows // share.window_rows)
    ):
      low = window * share.window_rows
      high = min(low + share.window_rows, rows)
      first = share.worker * rows
      found = _rows(shards, blocks, first + low, first + high)
      shuffled = _order(share, epoch, window).permutation(high - low)
      yield found[shuffled[max(offset - low, 0) :]]
    epoch, offset = epoch + 1, 0


def _order(share: Share, epoch: int, window: int) -> np.random.RandomState:
  """Returns the generator of an epoch's blocks (-1) or a window's rows.

  `RandomState` because its stream is frozen over versions of numpy.
  """
  worker = 0 if window < 0 else 1 + share.worker
  key = [share.seed, share.group, epoch, worker, window + 1]
  return np.random.RandomState(np.array(key, np.uint32))


def _rows(
  shards: Shards, blocks: np.ndarray, low: int, high: int
) -> np.ndarray:
  """Returns rows [low, high) of the blocks put end to end."""
  ends = np.cumsum(shards.block_lengths[blocks])
  first, last = np.searchsorted(ends, [low, high - 1], side="right")
  parts = []
  for at in range(first, last + 1):
    start = ends[at] - shards.block_lengths[blocks[at]]
    block = records.read_block(shards, int(blocks[at]))
    parts.append(block[max(low - start, 0) : high - start])
  return np.concatenate(parts)
