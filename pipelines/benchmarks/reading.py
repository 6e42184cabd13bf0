"""What the input costs, part by part.

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
from ctr_codistill.criteo.records import Shards
from ctr_codistill.criteo.share import Share
from pipelines.benchmarks import work as works
from pipelines.benchmarks.work import Work

_COLUMNS = 40
_ROWS = 1_048_576

UNIT = "rows/s"


def lines(work: Work) -> list[dict[str, object]]:
  """Returns the rate of each part, a line each."""
  found = rates(work.batch)
  return [{"part": name, **rate} for name, rate in found.items()]


def rates(batch_rows: int) -> dict[str, dict[str, float]]:
  """Returns by part {"rows/s": by the clock, "rows/cpu-s": a processor}."""
  with tempfile.TemporaryDirectory() as folder:
    shards = works.shards(pathlib.Path(folder), _ROWS, _COLUMNS)
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
