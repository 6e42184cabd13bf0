"""Files of made clicks, and what a perfect model would reach on them.

Chunks are made by threads, kept in order and written aside, so that a file is
complete or absent. What is known of the truth is kept as counts, which add up.
"""

import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import uuid
import zlib
from collections.abc import Callable
from collections.abc import Iterator
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ctr_codistill import places
from ctr_codistill.criteo import synthetic
from ctr_codistill.criteo.made import click_model
from ctr_codistill.criteo.synthetic import Clicks
from ctr_codistill.criteo.synthetic import Spec
from ctr_codistill.errors import InputError

_CHUNK = 16_384  # rows; also what one member of a .gz holds
_COLUMNS = pa.schema(
  [("example", pa.int64()), ("probability", pa.float64()), ("label", pa.int8())]
)


@dataclasses.dataclass(frozen=True, eq=False)
class Truth:
  """What the true probabilities say of made rows, as counts that add up.

  Attributes:
    counts: rows by true level and label, int64 `[4096, 2]`.
  """

  counts: np.ndarray

  @classmethod
  def empty(cls) -> "Truth":
    """Returns the truth about no rows."""
    return cls(np.zeros((click_model.LEVELS, 2), np.int64))

  @classmethod
  def of(cls, clicks: Clicks) -> "Truth":
    """Returns the truth about `clicks`."""
    places = clicks.levels * 2 + clicks.labels
    counts = np.bincount(places, minlength=2 * click_model.LEVELS)
    return cls(counts.reshape(-1, 2))

  def merge(self, other: "Truth") -> "Truth":
    """Returns the truth about the rows of both."""
    return Truth(self.counts + other.counts)

  @property
  def rows(self) -> int:
    """Rows seen."""
    return int(self.counts.sum())

  @property
  def clicks(self) -> int:
    """Clicks among them."""
    return int(self.counts[:, 1].sum())

  @property
  def best_log_loss(self) -> float:
    """The lowest log loss that a model can expect: the labels' entropy (nats).

    NaN for no rows, as the two below.
    """
    p = click_model.probabilities() / 2**32
    entropies = -(p * np.log(p) + (1 - p) * np.log1p(-p))
    return _ratio(self.counts.sum(1) @ entropies, self.rows)

  @property
  def log_loss(self) -> float:
    """Log loss (nats) of the true probabilities on the labels as drawn."""
    p = click_model.probabilities() / 2**32
    sums = self.counts[:, 0] @ np.log1p(-p) + self.counts[:, 1] @ np.log(p)
    return _ratio(-sums, self.rows)

  @property
  def auc(self) -> float:
    """AUC of the true probabilities on the labels as drawn; ties count half."""
    misses, clicks = self.counts.T
    below = np.cumsum(misses) - misses
    pairs = float(clicks @ (below + misses / 2))
    return _ratio(pairs, float(misses.sum()) * float(clicks.sum()))

  def __str__(self) -> str:
    return (
      f"{self.rows} rows, {self.clicks} clicks; best possible log loss"
      f" {self.best_log_loss:.4f}; the true model's on these labels"
      f" {self.log_loss:.4f}, AUC {self.auc:.4f}"
    )


def write(
  spec: Spec,
  path: str | os.PathLike,
  *,
  start: int = 0,
  stop: int,
  truth: str | os.PathLike | None = None,
  threads: int = 2,
  progress: Callable[[int], None] = lambda rows: None,
) -> Truth:
  """Writes the rows `start` to `stop` - 1 as raw Criteo lines.

  Args:
    spec: what is made.
    path: the file; gzip where it ends in .gz. The text is a function of `spec`
      and the range; compressed bytes depend on the zlib at hand, too.
    start: number of the first row.
    stop: number of the row after the last one.
    truth: parquet file for the true probabilities: `example` (int64, the row's
      number in the file), `probability` (float64) and `label` (int8).
    threads: that make rows, at least 1; they do not change a byte.
    progress: called with the number of rows newly written.

  Raises:
    InputError: no rows, fewer than one thread, a path that cannot be written,
      or one path for both files.
  """
  if stop <= start:
    raise InputError(f"rows to make should be at least 1, is {stop - start}")
  if threads < 1:
    raise InputError(f"threads should be at least 1, is {threads}")
  if truth is not None and os.path.realpath(truth) == os.path.realpath(path):
    raise InputError(f"truth should be another file than the rows, is {truth}")
  found = Truth.empty()
  compress = os.fspath(path).endswith(".gz")
  chunks = _chunks(spec, start, stop, threads=threads, compress=compress)
  with _aside(path) as file, _truth_file(truth) as table:
    for clicks, content in chunks:
      file.write(content)
      if table is not None:
        table.write_batch(_batch(clicks, start))
      found = found.merge(Truth.of(clicks))
      progress(len(clicks.labels))
  return found


def _ratio(part: float, whole: float) -> float:
  return float(part / whole) if whole else float("nan")


def _chunks(
  spec: Spec, start: int, stop: int, *, threads: int, compress: bool
) -> Iterator[tuple[Clicks, bytes]]:
  """Yields chunks in order; a few are made ahead, so memory is bounded."""

  def make(first: int) -> tuple[Clicks, bytes]:
    clicks = synthetic.rows(spec, first, min(first + _CHUNK, stop))
    content = synthetic.text(clicks)
    return clicks, _member(content) if compress else content

  pool = concurrent.futures.ThreadPoolExecutor(threads)
  waiting = []
  try:
    for first in range(start, stop, _CHUNK):
      waiting.append(pool.submit(make, first))
      if len(waiting) > 2 * threads:
        yield waiting.pop(0).result()
    while waiting:
      yield waiting.pop(0).result()
  finally:
    pool.shutdown(cancel_futures=True)


def _member(content: bytes) -> bytes:
  """Returns a gzip member without a time or name; members make up a file."""
  member = zlib.compressobj(4, zlib.DEFLATED, 31)
  return member.compress(content) + member.flush()


def _batch(clicks: Clicks, start: int) -> pa.RecordBatch:
  columns = [clicks.numbers - start, clicks.probabilities, clicks.labels]
  return pa.record_batch([pa.array(c) for c in columns], schema=_COLUMNS)


@contextlib.contextmanager
def _truth_file(
  path: str | os.PathLike | None,
) -> Iterator[pq.ParquetWriter | None]:
  if path is None:
    yield None
    return
  with _aside(path) as file, pq.ParquetWriter(file, _COLUMNS) as table:
    yield table


@contextlib.contextmanager
def _aside(path: str | os.PathLike) -> Iterator[IO[bytes]]:
  """Opens a file beside `path` that takes its place when all went well."""
  if places.is_remote(path):
    with places.written(path) as file:
      yield file
    return
  path = pathlib.Path(path)
  if path.is_dir():
    raise InputError(f"a file is to be written, {path} is a directory")
  aside = path.parent / f".tmp-{path.name}-{uuid.uuid4().hex[:8]}"
  try:
    file = aside.open("wb")
  except OSError as error:
    raise InputError(f"{path} cannot be written: {error.strerror}") from None
  try:
    with places.naming(path), file:
      yield file
    os.replace(aside, path)
  except BaseException:
    aside.unlink(missing_ok=True)
    raise
