"""What the input costs, part by part, and how well it shuffles.

Measured on made shards in a folder that is deleted again, warm in the page
cache. Threads of other processes change the wall clock, so processor seconds
are told too.
"""

import itertools
import pathlib
import tempfile
import time
from collections.abc import Callable
from collections.abc import Mapping

import numpy as np
import xxhash

from ctr_codistill.criteo import dataset
from ctr_codistill.criteo import order
from ctr_codistill.criteo import records
from ctr_codistill.criteo.preparing.shard_writer import ShardWriter
from ctr_codistill.criteo.records import Shards
from ctr_codistill.criteo.schema import Numeric
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.criteo.share import Share

_COLUMNS = 40
_ROWS = 1_048_576
_PART = 65_536


def rates(batch_rows: int) -> dict[str, dict[str, float]]:
  """Returns by part {"rows/s": by the clock, "rows/cpu-s": a processor}."""
  with tempfile.TemporaryDirectory() as folder:
    shards = _shards(pathlib.Path(folder), _ROWS, _COLUMNS)
    return {name: _rate(run) for name, run in _parts(shards, batch_rows)}


def results(rates: Mapping[str, float]) -> list[dict[str, object]]:
  """Returns the lines of the benchmark for rows/s by part."""
  compared = (
    ("records_to_batches", "batches, 1 threads", "read files whole"),
    ("records_to_batches_memcpy", "batches, 1 threads", "memcpy"),
    ("records_to_batches_2_threads", "batches, 2 threads", "read files whole"),
  )
  return [
    {
      "name": name,
      "value": rates[part],
      "unit": "rows/s",
      "against": against,
      "ratio": rates[part] / rates[against],
    }
    for name, part, against in compared
  ]


def qualities(batch_rows: int) -> list[dict[str, object]]:
  """Returns how well orders are shuffled, for small and large data."""
  sizes = ((100_000, 131_072), (117_549, 7_347), (4_194_304, 131_072))
  found = []
  for rows, window in sizes:
    with tempfile.TemporaryDirectory() as folder:
      shards = _shards(pathlib.Path(folder), rows, 2)
      orders = {
        "full permutation": np.random.RandomState(0).permutation(rows),
        "blocks at random": _unstratified(rows, window),
        "ours": _ours(shards, window),
      }
      for name, seen in orders.items():
        facts = {"rows": rows, "window_rows": window, "order": name}
        found.append(facts | quality(seen, batch_rows))
  return found


def quality(seen: np.ndarray, batch_rows: int) -> dict[str, float]:
  """Returns how far an epoch is from the order of the input.

  The first two and the last are relative to what a permutation of all rows
  gives on average, 1 is as good; a rank correlation of 0 is.

  Args:
    seen: the input's row at each place of the epoch, int `[rows]`.
    batch_rows: rows of a batch, below `rows`.

  Returns:
    distance: mean distance in the epoch of rows that were neighbours;
    same_batch: share of neighbours that land in one batch;
    rank_correlation: of the places of a row in the input and in the epoch;
    scatter: variance over batches of the mean place in the input: above 1,
      batches are of one time more than of another.
  """
  rows = len(seen)
  place = np.empty(rows, np.int64)
  place[seen] = np.arange(rows)
  whole = rows // batch_rows * batch_rows
  means = seen[:whole].reshape(-1, batch_rows).mean(axis=1)
  together = np.mean(np.diff(place // batch_rows) == 0)
  drawn = (rows**2 - 1) / 12 / batch_rows * (rows - batch_rows) / (rows - 1)
  return {
    "distance": float(np.abs(np.diff(place)).mean() / ((rows + 1) / 3)),
    "same_batch": float(together / ((batch_rows - 1) / (rows - 1))),
    "rank_correlation": float(np.corrcoef(place, np.arange(rows))[0, 1]),
    "scatter": float(np.mean((means - (rows - 1) / 2) ** 2) / drawn),
  }


def _parts(shards: Shards, batch_rows: int) -> list[tuple[str, Callable]]:
  """Returns what reads, checks, shuffles or copies all rows once."""
  window = next(order.windows(shards, Share(), 0))
  rows = np.zeros((window.rows, _COLUMNS), np.int32)
  copy = rows.copy()
  times = _ROWS // len(rows)
  blocks = range(len(shards.block_lengths))
  place = np.empty((shards.block_rows, _COLUMNS), np.int32)

  def again(call: Callable, *args: object, **named: object) -> Callable:
    return lambda: [call(*args, **named) for _ in range(times)]

  return [
    ("memcpy", again(np.copyto, copy, rows)),
    ("read files whole", lambda: _read_whole(shards)),
    (
      "read and check blocks",
      lambda: [records.read_block_into(shards, b, place) for b in blocks],
    ),
    ("checksum", again(xxhash.xxh3_64_digest, memoryview(rows).cast("B"))),
    ("permute", again(np.random.RandomState(0).permutation, len(rows))),
    ("gather", again(rows.take, window.order, axis=0, mode="clip")),
    *(
      (f"batches, {n} threads", _batches(shards, batch_rows, n))
      for n in (0, 1, 2)
    ),
  ]


def _batches(shards: Shards, batch_rows: int, threads: int) -> Callable:
  def run() -> None:
    found = dataset.batches(
      shards, Share(), batch_rows=batch_rows, threads=threads
    )
    for _ in itertools.islice(found, _ROWS // batch_rows):
      pass
    found.close()

  return run


def _read_whole(shards: Shards) -> None:
  into = bytearray(1 << 20)
  for shard in shards.shards:
    with (shards.directory / shard.name).open("rb", buffering=0) as file:
      while file.readinto(into):
        pass


def _rate(run: Callable[[], object], turns: int = 3) -> dict[str, float]:
  """Returns the best of some turns: others on the machine only slow it."""
  wall, cpu = [], []
  for _ in range(turns):
    start, used = time.perf_counter(), time.process_time()
    run()
    wall.append(time.perf_counter() - start)
    cpu.append(time.process_time() - used)
  return {"rows/s": _ROWS / min(wall), "rows/cpu-s": _ROWS / min(cpu)}


def _ours(shards: Shards, window_rows: int) -> np.ndarray:
  """Returns the input's row at each place of the first epoch."""
  share = Share(window_rows=window_rows)
  found = dataset.batches(shards, share, batch_rows=shards.rows)
  return next(found)[:, 0]


def _unstratified(rows: int, window_rows: int) -> np.ndarray:
  """Returns the same without strata: any block may come in any window."""
  random = np.random.RandomState(0)
  size = records.BLOCK_ROWS
  blocks = np.split(np.arange(rows), range(size, rows, size))
  seen = np.concatenate([blocks[b] for b in random.permutation(len(blocks))])
  for low in range(0, rows, window_rows):
    random.shuffle(seen[low : low + window_rows])
  return seen


def _shards(folder: pathlib.Path, rows: int, columns: int) -> Shards:
  """Writes rows of `columns` numbers, each that of its row."""
  features = tuple(Numeric(f"I{n}", 0.0, 1.0, ()) for n in range(columns - 1))
  schema = Schema(features, ())
  with ShardWriter(folder, schema) as writer:
    for low in range(0, rows, _PART):
      number = np.arange(low, min(low + _PART, rows), dtype=np.int32)
      writer.write(np.repeat(number[:, None], columns, axis=1))
  return records.open_shards(folder, schema)
