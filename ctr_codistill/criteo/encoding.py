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
    features = schema.categorical
    self._ranks = Ranks(
      (vocabularies[feature.name] for feature in features),
      [feature.size for feature in features],
    )
    self._oov = np.array([feature.oov for feature in features], np.int32)

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
    if not values:
      return []
    counts = [len(array) for array in values]
    joined = pa.concat_arrays(values)
    oov = np.repeat(self._oov, counts)
    ids = self._ranks(joined, counts)
    unknown = np.flatnonzero(ids < 0)
    ids += 1 + oov
    ids[unknown] = 1 + _hashed(joined.take(pa.array(unknown)), oov[unknown])
    ids[compute.binary_length(joined).to_numpy() == 0] = 0
    return np.split(ids, np.cumsum(counts)[:-1])


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


def _hashed(values: pa.BinaryArray, buckets: np.ndarray) -> np.ndarray:
  """Returns the bucket of each value out of its number, int64 `[values]`."""
  strings = tf.constant(values.to_numpy(zero_copy_only=False), tf.string)
  found = np.zeros(len(values), np.int64)
  for count in set(buckets.tolist()):
    ids = tf.strings.to_hash_bucket_fast(strings, count).numpy()
    found = np.where(buckets == count, ids, found)
  return found
