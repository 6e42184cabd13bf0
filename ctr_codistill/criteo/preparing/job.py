"""What both passes of a preparation are told: inputs, place and options."""

import dataclasses
import os
import pathlib
from collections.abc import Callable

from ctr_codistill.criteo import records
from ctr_codistill.criteo.preparing import shard_writer
from ctr_codistill.criteo.raw import lines
from ctr_codistill.criteo.raw.layouts import Layout
from ctr_codistill.errors import InputError

Progress = Callable[[str, int | None], Callable[[int], None]]
"""Called with the name of a pass and its rows, if known; what it returns is
called with the number of rows newly done."""

_LEAST = {
  "min_count": 1,
  "oov": 1,
  "block_rows": 1,
  "threads": 1,
  "block_bytes": 1,
  "count_bytes": 1,
  "max_vocabulary": 0,
}


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
    count_bytes: of memory that values may take while they are counted; more
      of them go to disk.
    max_vocabulary: values of a feature that get an id of their own at most, the
      most frequent; 0 is no limit. A million in every feature take about 0.5
      GiB of memory.
    overwrite: whether a complete directory, or an unfinished one, is made anew.
  """

  min_count: int = 4
  oov: int = 5
  validation_fraction: float = 1 / 7
  max_bad_fraction: float = 0.001
  block_rows: int = records.BLOCK_ROWS
  shard_rows: int = shard_writer.SHARD_ROWS
  threads: int = 2
  block_bytes: int = lines.BLOCK_BYTES
  count_bytes: int = 1 << 28
  max_vocabulary: int = 1 << 20
  overwrite: bool = False

  def __post_init__(self) -> None:
    for name, least in _LEAST.items():
      value = getattr(self, name)
      if value < least:
        raise InputError(f"{name} should be at least {least}, is {value}")
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
class Job:
  """A preparation whose input was counted: `rows` lines.

  Attributes:
    paths: of the input.
    layout: of the input.
    output: where it works: what it makes, or the scratch of that.
    options: how.
    rows: lines of the input.
    remote: address of what it makes, if that is not on this machine.
  """

  paths: list[str]
  layout: Layout
  output: pathlib.Path
  options: Options
  rows: int
  remote: str = ""

  def split(self, name: str) -> str:
    """Returns the directory that gets the shards of a split."""
    return os.path.join(self.remote or self.output, name)

  @property
  def train_rows(self) -> int:
    """Rows of the input, bad lines included, that are for training."""
    return self.rows - round(self.rows * self.options.validation_fraction)
