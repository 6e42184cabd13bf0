"""Raw strings and integers to a prepared row, inside a TensorFlow graph.

A snapshot carries this, its vocabulary files included, so that what it computes
from a served request is what the preparation wrote: training and serving cannot
differ. `encoding` is the same without TensorFlow's graph, for many rows.
"""

import os
from collections.abc import Mapping

import tensorflow as tf

from ctr_codistill.criteo import vocabularies
from ctr_codistill.criteo.schema import LARGEST
from ctr_codistill.criteo.schema import MISSING
from ctr_codistill.criteo.schema import MISSING_INT64
from ctr_codistill.criteo.schema import Categorical
from ctr_codistill.criteo.schema import Schema


class Lookup(tf.Module):
  """A function from raw features to rows, exportable with its vocabularies.

  Keep it as an attribute of what is exported, or its tables stay behind.

  Args:
    schema: of the rows.
    directory: holds the vocabularies; verified against the schema.

  Raises:
    InputError: a vocabulary is missing or not the schema's.
  """

  def __init__(self, schema: Schema, directory: str | os.PathLike) -> None:
    super().__init__(name="lookup")
    vocabularies.read(directory, schema)
    self._schema = schema
    self.tables = {
      feature.name: _table(directory, feature.name)
      for feature in schema.categorical
      if feature.size
    }

  def __call__(
    self, numeric: Mapping[str, tf.Tensor], categorical: Mapping[str, tf.Tensor]
  ) -> tf.Tensor:
    """Returns the rows without their labels, int32 `[batch, columns - 1]`.

    Args:
      numeric: by name int64 `[batch]`; `MISSING_INT64` stands for missing.
      categorical: by name string `[batch]`; the empty one stands for missing.
    """
    columns = [_clipped(numeric[f.name]) for f in self._schema.numeric]
    columns += [
      self._ids(feature, categorical[feature.name])
      for feature in self._schema.categorical
    ]
    return tf.stack(columns, axis=1)

  def _ids(self, feature: Categorical, values: tf.Tensor) -> tf.Tensor:
    hashed = 1 + tf.strings.to_hash_bucket_fast(values, feature.oov)
    ids = hashed
    if feature.name in self.tables:
      rank = self.tables[feature.name].lookup(values)
      ids = tf.where(rank < 0, hashed, 1 + feature.oov + rank)
    return tf.cast(tf.where(values == "", tf.zeros_like(ids), ids), tf.int32)


def _table(
  directory: str | os.PathLike, name: str
) -> tf.lookup.StaticHashTable:
  """Returns a table from a value to its rank, -1 for others."""
  initializer = tf.lookup.TextFileInitializer(
    str(vocabularies.path(directory, name)),
    key_dtype=tf.string,
    key_index=tf.lookup.TextFileIndex.WHOLE_LINE,
    value_dtype=tf.int64,
    value_index=tf.lookup.TextFileIndex.LINE_NUMBER,
  )
  return tf.lookup.StaticHashTable(initializer, default_value=-1)


def _clipped(values: tf.Tensor) -> tf.Tensor:
  """Returns int32 `[batch]` of int64 `[batch]`, missing as `MISSING`."""
  clipped = tf.clip_by_value(values, -LARGEST, LARGEST)
  missing = tf.constant(MISSING, tf.int64)
  return tf.cast(tf.where(values == MISSING_INT64, missing, clipped), tf.int32)
