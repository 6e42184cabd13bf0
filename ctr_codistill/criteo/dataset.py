"""Shards to shuffled batches for one worker of one group, from any step on.

A window of blocks is read into one buffer and gathered from there in its order;
batches are slices of what was gathered. Where each row comes is said in
`order`, so a worker that starts again at step s opens the window of s and has
what it would have had, whatever number of threads read.
"""

import contextlib
import itertools
from collections.abc import Callable
from collections.abc import Generator
from collections.abc import Iterator
from concurrent import futures

import numpy as np

from ctr_codistill.criteo import order
from ctr_codistill.criteo import records
from ctr_codistill.criteo.order import Part
from ctr_codistill.criteo.order import Window
from ctr_codistill.criteo.records import Shards
from ctr_codistill.criteo.share import Share
from ctr_codistill.errors import InputError


def batches(
  shards: Shards,
  share: Share,
  *,
  batch_rows: int,
  start_step: int = 0,
  threads: int = 0,
) -> Generator[np.ndarray, None, None]:
  """Yields int32 `[batch_rows, columns]` without end, from `start_step` on.

  Batches run on over the ends of epochs, so that all have the same shape. Three
  windows are in memory at most: the one that is being used, the next one, and
  the one that it is gathered from. `close` ends the threads.

  Args:
    shards: what to read.
    share: which of its rows, and in what order.
    batch_rows: rows of a batch.
    start_step: batches that are passed over; costs nothing.
    threads: that make the next window while one is used; 0: the caller's own
      makes each when it is wanted. They change no batch.

  Raises:
    InputError: an epoch has fewer rows than one batch; a block is damaged.
  """
  rows = order.epoch_rows(shards, share)
  if rows < batch_rows:
    raise InputError(
      f"{shards.directory} should give each of {share.workers} workers at "
      f"least one batch of {batch_rows} rows an epoch, gives {rows}"
    )
  windows = order.windows(shards, share, start_step * batch_rows)
  with contextlib.closing(_gathered(shards, windows, threads)) as gathered:
    yield from _cut(gathered, batch_rows)


def _cut(windows: Iterator[np.ndarray], size: int) -> Iterator[np.ndarray]:
  """Yields the rows of the windows in pieces of `size`."""
  rest = None
  for rows in windows:
    start = 0
    if rest is not None:
      start = size - len(rest)
      rest = np.concatenate([rest, rows[:start]])
      if len(rest) < size:
        continue
      yield rest
    end = start + (len(rows) - start) // size * size
    # Views of the last rows would keep the window while another is made.
    for at in range(start, end, size):
      yield rows[at : at + size] if at + size < end else rows[at:end].copy()
    rest = rows[end:].copy() if end < len(rows) else None
    del rows


def _gathered(
  shards: Shards, windows: Iterator[Window], threads: int
) -> Generator[np.ndarray, None, None]:
  """Yields the rows of each window in its order, int32 `[rows, columns]`."""
  if not threads:
    gather = _gatherer(shards, lambda call, items: list(map(call, items)), 1)
    yield from map(gather, windows)
    return
  readers = futures.ThreadPoolExecutor(threads, "input")
  ahead = futures.ThreadPoolExecutor(1, "input-ahead")
  gather = _gatherer(
    shards, lambda call, items: list(readers.map(call, items)), threads
  )
  try:
    # One thread alone takes from `windows`, which no two may do at once.
    following = ahead.submit(lambda: gather(next(windows)))
    while True:
      rows = following.result()
      following = ahead.submit(lambda: gather(next(windows)))
      yield rows
      del rows
  finally:
    ahead.shutdown(cancel_futures=True)
    readers.shutdown(cancel_futures=True)


def _gatherer(
  shards: Shards, run: Callable[[Callable, list], list], pieces: int
) -> Callable[[Window], np.ndarray]:
  """Returns what makes windows, `pieces` of each at once, in one buffer.

  The buffer is kept: to get its pages anew from the system costs as much as to
  fill them.
  """
  buffer = np.empty((0, shards.columns), records.ROW_TYPE)

  def gather(window: Window) -> np.ndarray:
    nonlocal buffer
    if len(buffer) < window.rows:
      buffer = np.empty((window.rows, shards.columns), records.ROW_TYPE)
    whole = buffer[: window.rows]
    run(lambda piece: _read(shards, *piece), _pieces(window, whole, pieces))
    found = np.empty((len(window.order), shards.columns), np.int32)
    bounds = np.linspace(0, len(found), pieces + 1).astype(int)

    def take(piece: int) -> None:
      own = slice(bounds[piece], bounds[piece + 1])
      # Another mode than "raise" lets numpy write into `out` at once.
      whole.take(window.order[own], axis=0, out=found[own], mode="clip")

    run(take, list(range(pieces)))
    return found

  return gather


def _pieces(
  window: Window, rows: np.ndarray, count: int
) -> list[tuple[list[Part], np.ndarray]]:
  """Returns about equal pieces of the parts, each with its place in `rows`."""
  lengths = [part.high - part.low for part in window.parts]
  starts = np.cumsum([0, *lengths])
  bounds = np.linspace(0, len(lengths), count + 1).astype(int)
  return [
    (window.parts[low:high], rows[starts[low] : starts[high]])
    for low, high in itertools.pairwise(bounds)
  ]


def _read(shards: Shards, parts: list[Part], out: np.ndarray) -> None:
  """Reads the parts one after the other into `out`, `[rows, columns]`."""
  at = 0
  for block, low, high in parts:
    place = out[at : at + high - low]
    if high - low == shards.block_lengths[block]:
      records.read_block_into(shards, block, place)
    else:
      place[:] = records.read_block(shards, block)[low:high]
    at += high - low
