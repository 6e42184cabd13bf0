"""Parsed rows to prepared rows: strings become ids, for many rows at once.

The ids are exactly those of `lookup`, which computes them inside a graph.
"""

import itertools
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import tensorflow as tf
from pyarrow import compute

from ctr_codistill.criteo import parallel
from ctr_codistill.criteo import parsing
from ctr_codistill.criteo.parsing import Rows
from ctr_codistill.criteo.ranks import Ranks
from ctr_codistill.criteo.raw import layouts
from ctr_codistill.criteo.raw import lines
from ctr_codistill.criteo.raw.layouts import Layout
from ctr_codistill.criteo.raw.lines import Block
from ctr_codistill.criteo.schema import Schema


class Encoder:
  """A function from parsed rows to prepared ones; threads may share it.

  Args:
    schema: of the rows to make.
    vocabularies: by categorical name binary `[size]`, asked for one
      after the other: `vocabularies.Vocabularies`.
  """

  def __init__(
    self, schema: Schema, vocabularies: Mapping[str, pa.BinaryArray]
  ) -> None:
    self.schema = schema
    self._ranks = [Ranks(vocabularies[f.name]) for f in schema.categorical]

  def __call__(self, rows: Rows) -> np.ndarray:
    """Returns int32 `[rows, columns]`: label, numerics, categorical ids."""
    found = np.empty((self.schema.columns, len(rows.labels)), np.int32)
    first = 1 + len(self.schema.numeric)
    found[0] = rows.labels
    found[1:first] = rows.numeric.T
    ids = self._ids([values.dictionary for values in rows.categorical])
    for row, table, values in zip(found[first:], ids, rows.categorical):
      table.take(values.indices.to_numpy(), out=row, mode="clip")
    return np.ascontiguousarray(found.T)

  def _ids(self, values: Sequence[pa.BinaryArray]) -> list[np.ndarray]:
    """Returns the id of each value of each feature, int32 `[values]`."""
    features = self.schema.categorical
    places = [ranks(array) for ranks, array in zip(self._ranks, values)]
    unknown = [np.flatnonzero(place < 0) for place in places]
    hashed = _hashed(
      [array.take(pa.array(some)) for array, some in zip(values, unknown)],
      [feature.oov for feature in features],
    )
    for feature, place, some, ids, array in zip(
      features, places, unknown, hashed, values
    ):
      place += np.int32(1 + feature.oov)
      place[some] = 1 + ids
      place[compute.binary_length(array).to_numpy() == 0] = 0
    return places


def read(
  paths: Sequence[str],
  encoder: Encoder,
  *,
  threads: int = 2,
  block_bytes: int = lines.BLOCK_BYTES,
  most_bad: int | None = None,
  layout: Layout | None = None,
  start: int = 0,
) -> Iterator[tuple[Rows, np.ndarray]]:
  """Yields the parsed and the prepared rows of raw files, in order.

  Files may have the label column or not; `Rows.lines` says which rows of the
  input these are, and `Rows.bad` which lines are none; `most_bad` limits the
  search for them in a block, see `parsing.parse`. `layout` is Criteo's order
  with tabs between if not given. Blocks before row `start` are skipped.

  Raises:
    InputError: a layout of other features than the schema's; or as
      `layouts.detect` and `lines.blocks`.
  """
  layout = layouts.detect(paths, layouts.fitting(encoder.schema, layout))

  def encoded(block: Block) -> tuple[Rows, np.ndarray]:
    rows = parsing.parse(block, layout, most_bad)
    return rows, encoder(rows)

  blocks = itertools.dropwhile(
    lambda block: block.row < start,
    lines.blocks(paths, block_bytes, header=layout.header),
  )
  return parallel.in_order(encoded, blocks, threads)


def _hashed(
  values: Sequence[pa.BinaryArray], buckets: Sequence[int]
) -> list[np.ndarray]:
  """Returns the bucket of each value, int64 `[values]`."""
  found = [np.zeros(0, np.int64) for _ in values]
  # One call for all: of few values each, it would cost more than the hashing.
  for count in set(buckets):
    places = [i for i, other in enumerate(buckets) if other == count]
    joined = pa.concat_arrays([values[i] for i in places])
    strings = tf.constant(joined.to_numpy(zero_copy_only=False), tf.string)
    ids = tf.strings.to_hash_bucket_fast(strings, count).numpy()
    ends = np.cumsum([len(values[i]) for i in places])
    for i, part in zip(places, np.split(ids, ends[:-1])):
      found[i] = part
  return found
