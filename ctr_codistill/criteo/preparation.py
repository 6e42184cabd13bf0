"""The job that makes a prepared directory of raw logs: count, then encode.

Rows split by time, because a click model is always asked about later rows than
it was trained on; vocabularies and statistics see the training rows only.
"""

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np

from ctr_codistill.criteo import bins
from ctr_codistill.criteo import counting
from ctr_codistill.criteo import encoding
from ctr_codistill.criteo import layouts
from ctr_codistill.criteo import lines
from ctr_codistill.criteo import parallel
from ctr_codistill.criteo import parsing
from ctr_codistill.criteo import prepared
from ctr_codistill.criteo import records
from ctr_codistill.criteo import shard_writer
from ctr_codistill.criteo import vocabularies
from ctr_codistill.criteo.counting import Counts
from ctr_codistill.criteo.encoding import Encoder
from ctr_codistill.criteo.layouts import Layout
from ctr_codistill.criteo.quarantine import Quarantine
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.criteo.shard_writer import ShardWriter
from ctr_codistill.errors import InputError

Progress = Callable[[str, int | None], Callable[[int], None]]
"""Called with the name of a pass and its rows, if known; what it returns is
called with the number of rows newly done."""


@dataclasses.dataclass(frozen=True)
class Options:
  """How raw logs are prepared.

  Attributes:
    min_count: training rows with a value for it to get an id of its own.
    oov: ids per feature for the other values, which are hashed.
    validation_fraction: share of the rows, the last ones, that validates.
    max_bad_fraction: share of bad lines past which the job ends in an error.
    block_rows: rows of a checksummed block.
    shard_rows: rows of a file, a multiple of `block_rows`.
    threads: that parse and encode.
    block_bytes: of raw text that a thread takes at a time.
    overwrite: whether a complete directory is made anew.
  """

  min_count: int = 4
  oov: int = 5
  validation_fraction: float = 1 / 7
  max_bad_fraction: float = 0.001
  block_rows: int = records.BLOCK_ROWS
  shard_rows: int = shard_writer.SHARD_ROWS
  threads: int = 2
  block_bytes: int = lines.BLOCK_BYTES
  overwrite: bool = False

  def __post_init__(self) -> None:
    for name in ("min_count", "oov", "block_rows", "threads", "block_bytes"):
      value = getattr(self, name)
      if value < 1:
        raise InputError(f"{name} should be at least 1, is {value}")
    if not 0 < self.validation_fraction < 1:
      raise InputError(
        "validation_fraction should be above 0 and below 1, is "
        f"{self.validation_fraction}"
      )
    if not 0 <= self.max_bad_fraction <= 1:
      raise InputError(
        "max_bad_fraction should be at least 0, at most 1, is "
        f"{self.max_bad_fraction}"
      )
    if self.shard_rows < 1 or self.shard_rows % self.block_rows:
      raise InputError(
        f"shard_rows should be a multiple of block_rows, {self.block_rows}, "
        f"is {self.shard_rows}"
      )


@dataclasses.dataclass(frozen=True)
class _Job:
  paths: list[str]
  layout: Layout
  output: pathlib.Path
  options: Options
  rows: int

  @property
  def train_rows(self) -> int:
    """Rows of the input, bad lines included, that are for training."""
    return self.rows - round(self.rows * self.options.validation_fraction)


def prepare(
  inputs: str | Sequence[str],
  output: str | os.PathLike,
  options: Options,
  *,
  clock: Callable[[], float],
  progress: Progress = lambda name, rows: lambda done: None,
  layout: Layout = layouts.CRITEO,
) -> dict[str, Any]:
  """Makes the prepared directory `output` and returns what `prepare.json` says.

  Args:
    inputs: patterns of Criteo's raw files, with labels.
    output: is made; may exist if empty or left by a job that did not end.
    options: how.
    clock: seconds, for the summary.
    progress: is told of each pass and of rows done.
    layout: of the logs.

  Raises:
    InputError: inputs missing, empty, broken or without labels; too many bad
      lines; no row left for training or validation; an output in use.
  """
  output = pathlib.Path(output)
  start = clock()
  paths = lines.find(inputs)
  layout = layouts.detect(paths, layout)
  if not layout.has_label:
    raise InputError(
      f"{paths[0]}:1 has {layout.columns} columns, hence no label; "
      "there is nothing to learn from"
    )
  told = {"inputs": paths, "options": dataclasses.asdict(options)}
  prepared.claim(output, told, overwrite=options.overwrite)
  rows = lines.count(paths, progress("lines", None), header=layout.header)
  job = _Job(paths, layout, output, options, rows)
  counts = _count(job, progress("count", job.train_rows))
  schema = counting.write(
    counts,
    (layout.numeric, layout.categorical),
    output,
    min_count=options.min_count,
    oov=options.oov,
  )
  if layout.binned:
    often = counts.values[len(layout.categorical) :]
    schema = bins.binned(
      schema, [counting.vocabulary(t, options.min_count) for t in often]
    )
  counted = clock()
  written = _encode(job, schema, progress("encode", job.rows))
  summary = {
    **written,
    "seconds": clock() - start,
    "seconds_count": counted - start,
    "seconds_encode": clock() - counted,
    **told,
    "schema": schema.fingerprint,
  }
  prepared.finish(output, schema, summary)
  return summary


def described(summary: Mapping[str, Any], output: str | os.PathLike) -> str:
  """Returns a line for people about what `prepare` made."""
  rate = summary["rows_in"] / max(summary["seconds"], 1e-9)
  return (
    f"{output}: {summary['rows_in']} rows in, {summary['rows_train']} to train "
    f"on, {summary['rows_validation']} to validate, "
    f"{summary['rows_quarantined']} in quarantine; "
    f"{summary['seconds']:.1f} s, {rate:.0f} rows/s"
  )


def _count(job: _Job, done: Callable[[int], None]) -> Counts:
  """Returns the sums over the training rows."""
  total = counting.nothing(len(job.layout.numeric), job.layout.counted)
  bad = Quarantine(job.rows, job.options.max_bad_fraction, None)
  blocks = itertools.takewhile(
    lambda block: block.row < job.train_rows,
    lines.blocks(job.paths, job.options.block_bytes, header=job.layout.header),
  )

  def counted(block: lines.Block) -> tuple[parsing.Rows, Counts]:
    rows = parsing.parse(block, job.layout, bad.allowed)
    stop = int(np.searchsorted(rows.lines, job.train_rows))
    return rows, counting.count(rows, stop)

  for rows, counts in parallel.in_order(counted, blocks, job.options.threads):
    bad.add(rows.bad)
    total = total.merge(counts)
    done(counts.rows)
  if not total.rows:
    raise InputError(
      f"no row is left for training: {job.rows} lines, the first "
      f"{job.train_rows} are for it"
    )
  return total


def _encode(
  job: _Job, schema: Schema, done: Callable[[int], None]
) -> dict[str, int]:
  """Writes the shards and the quarantine; returns how many rows are where."""
  options, rows_in = job.options, 0
  encoder = Encoder(schema, vocabularies.read(job.output, schema))
  with (
    Quarantine(job.rows, options.max_bad_fraction, job.output) as bad,
    _writer(job, schema, prepared.TRAIN) as train,
    _writer(job, schema, prepared.VALIDATION) as validation,
  ):
    found = encoding.read(
      job.paths,
      encoder,
      threads=options.threads,
      block_bytes=options.block_bytes,
      most_bad=bad.allowed,
      layout=job.layout,
    )
    for rows, encoded in found:
      cut = int(np.searchsorted(rows.lines, job.train_rows))
      train.write(encoded[:cut])
      validation.write(encoded[cut:])
      bad.add(rows.bad)
      rows_in += rows.lines_in
      done(rows.lines_in)
    return _sums(job, rows_in, train.rows, validation.rows, bad.rows)


def _writer(job: _Job, schema: Schema, split: str) -> ShardWriter:
  return ShardWriter(
    job.output / split,
    schema,
    block_rows=job.options.block_rows,
    shard_rows=job.options.shard_rows,
  )


def _sums(
  job: _Job, rows_in: int, train: int, validation: int, bad: int
) -> dict[str, int]:
  """Returns the rows in and out, which must be as many."""
  if not validation:
    raise InputError(
      f"no row is left for validation: {job.rows} lines, the last "
      f"{job.rows - job.train_rows} are for it"
    )
  if not job.rows == rows_in == train + validation + bad:
    raise InputError(
      f"{job.rows} rows were counted, {rows_in} read, {train + validation} "
      f"written and {bad} quarantined; did the input change meanwhile?"
    )
  return {
    "rows_in": rows_in,
    "rows_out": train + validation,
    "rows_quarantined": bad,
    "rows_train": train,
    "rows_validation": validation,
  }
