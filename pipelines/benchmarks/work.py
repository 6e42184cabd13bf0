"""What the step of all peers does, and made batches of it."""

import dataclasses
import pathlib

import numpy as np
import pyarrow as pa

from ctr_codistill import config
from ctr_codistill.criteo import records
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo import vocabularies
from ctr_codistill.criteo.preparing.shard_writer import ShardWriter
from ctr_codistill.criteo.records import Shards
from ctr_codistill.criteo.schema import Numeric
from ctr_codistill.criteo.schema import Schema

_PART = 65_536


@dataclasses.dataclass(frozen=True)
class Work:
  """One step's work.

  Attributes:
    batch: examples.
    rows: of the table, over all 26 features; each is 16 wide.
    hidden: widths of the layers.
    precision: of the products, float32 or bfloat16.
    steps: that are timed.
  """

  batch: int
  rows: int
  hidden: tuple[int, ...]
  precision: str
  steps: int

  @property
  def model(self) -> config.Model:
    """The network."""
    return config.Model(
      hidden=self.hidden, numeric="log", precision=self.precision
    )


def schema(folder: pathlib.Path, rows: int) -> Schema:
  """Writes a spec whose tables have `rows` in all, hashed ids alone."""
  each = rows // len(schemas.CRITEO_CATEGORICAL)
  boundaries = schemas.log_squared_boundaries()
  empty = pa.array([], pa.binary())
  found = Schema(
    tuple(
      schemas.Numeric(n, 1.0, 1.5, boundaries) for n in schemas.CRITEO_NUMERIC
    ),
    tuple(
      schemas.Categorical(n, 0, each - 1, vocabularies.write(empty, folder, n))
      for n in schemas.CRITEO_CATEGORICAL
    ),
  )
  schemas.write(found, folder)
  return found


def batches(work: Work, count: int) -> list[np.ndarray]:
  """Returns batches int32 `[batch, 40]` with Zipf-distributed ids."""
  random = np.random.RandomState(0)
  each = work.rows // 26
  return [
    np.concatenate(
      [
        random.randint(0, 2, (work.batch, 1)),
        random.zipf(1.5, (work.batch, 13)).clip(0, 10**6),
        random.zipf(1.2, (work.batch, 26)) % each,
      ],
      axis=1,
    ).astype(np.int32)
    for _ in range(count)
  ]


def shards(folder: pathlib.Path, rows: int, columns: int) -> Shards:
  """Writes rows of `columns` numbers, each that of its row."""
  features = tuple(Numeric(f"I{n}", 0.0, 1.0, ()) for n in range(columns - 1))
  schema = Schema(features, ())
  with ShardWriter(folder, schema) as writer:
    for low in range(0, rows, _PART):
      number = np.arange(low, min(low + _PART, rows), dtype=np.int32)
      writer.write(np.repeat(number[:, None], columns, axis=1))
  return records.open_shards(folder, schema)
