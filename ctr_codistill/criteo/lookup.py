"""Raw strings and integers to a prepared row, inside a TensorFlow graph.

A snapshot carries this, its vocabulary files included, so that what it computes
from a served request is what the preparation wrote: training and serving cannot
differ. `encoding` is the same without TensorFlow's graph, for many rows.
"""

import os
from collections.abc import Mapping
from collections.abc import Sequence

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
    # Side by side, for each op of a small batch costs more than its values.
    columns = []
    if self._schema.numeric:
      integers = [numeric[feature.name] for feature in self._schema.numeric]
      columns.append(_clipped(tf.stack(integers, axis=1)))
    if self._schema.categorical:
      strings = [categorical[f.name] for f in self._schema.categorical]
      columns.append(self._ids(tf.stack(strings, axis=1)))
    return tf.concat(columns, axis=1)

  def _ids(self, values: tf.Tensor) -> tf.Tensor:
    """Returns int32 `[batch, categoricals]` of strings of that shape."""
    features = self._schema.categorical
    columns = tf.unstack(values, axis=1)
    ranks = [
      self.tables[feature.name].lookup(column)
      if feature.name in self.tables
      else tf.fill(tf.shape(column), tf.constant(-1, tf.int64))
      for feature, column in zip(features, columns)
    ]
    rank = tf.stack(ranks, axis=1)
    oov = tf.constant([feature.oov for feature in features], tf.int64)
    ids = 1 + tf.where(rank < 0, _hashed(values, features), oov + rank)
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


def _hashed(values: tf.Tensor, features: Sequence[Categorical]) -> tf.Tensor:
  """Returns the bucket of each string, int64 `[batch, categoricals]`."""
  if len({feature.oov for feature in features}) == 1:
    return tf.strings.to_hash_bucket_fast(values, features[0].oov)
  columns = zip(tf.unstack(values, axis=1), features)
  return tf.stack(
    [tf.strings.to_hash_bucket_fast(v, f.oov) for v, f in columns], axis=1
  )


def _clipped(values: tf.Tensor) -> tf.Tensor:
  """Returns int32 of int64, `[batch, numerics]`; missing as `MISSING`."""
  clipped = tf.clip_by_value(values, -LARGEST, LARGEST)
  missing = tf.constant(MISSING, tf.int64)
  return tf.cast(tf.where(values == MISSING_INT64, missing, clipped), tf.int32)
