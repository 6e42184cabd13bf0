"""Layers of networks: integers and ids to vectors, and vectors to products.

All categorical features share one table: a gradient's way through a collective
costs latency for each variable, so one large table beats many small ones.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras

from ctr_codistill.criteo import schema


class NumericLog(tf_keras.layers.Layer):
  """Integers `[batch, n]` to `[batch, 2 n]`: scaled logarithm, and missing.

  The first n columns are (sign(x) log(1 + |x|) - mean) / std, 0 where missing;
  the other n are 1 where the integer is missing, else 0.
  """

  def __init__(self, numeric: Sequence[schema.Numeric], **kwargs: object):
    super().__init__(trainable=False, **kwargs)
    self._mean = np.array([n.mean for n in numeric], np.float32)
    self._scale = np.array([1 / n.std for n in numeric], np.float32)

  def call(self, integers: tf.Tensor) -> tf.Tensor:
    """Returns float `[batch, 2 n]` of int32 `[batch, n]`."""
    present = tf.not_equal(integers, schema.MISSING)
    x = tf.cast(integers, tf.float32)
    z = (tf.sign(x) * tf.math.log1p(tf.abs(x)) - self._mean) * self._scale
    columns = [tf.where(present, z, 0.0), 1.0 - tf.cast(present, tf.float32)]
    return tf.cast(tf.concat(columns, 1), self.compute_dtype)


class NumericBins(tf_keras.layers.Layer):
  """Integers `[batch, n]` to the ids of their bins `[batch, n]`; 0: missing."""

  def __init__(self, numeric: Sequence[schema.Numeric], **kwargs: object):
    super().__init__(trainable=False, **kwargs)
    longest = max(len(n.boundaries) for n in numeric)
    top = np.iinfo(np.int32).max
    self._boundaries = np.full([len(numeric), longest], top, np.int32)
    for row, n in zip(self._boundaries, numeric, strict=True):
      row[: len(n.boundaries)] = n.boundaries
    self._last = np.array([len(n.boundaries) for n in numeric], np.int32)
    # The ids of all intervals, one feature's after the other's.
    self._ids = None
    if any(n.ids for n in numeric):
      ids = [n.ids or range(1, len(n.boundaries) + 2) for n in numeric]
      self._ids = np.concatenate([np.array(i, np.int32) for i in ids])
      self._first = np.cumsum([0, *map(len, ids)])[:-1].astype(np.int32)

  def call(self, integers: tf.Tensor) -> tf.Tensor:
    """Returns int32 `[batch, n]`: the id of the interval that x lies in."""
    below = tf.searchsorted(
      self._boundaries, tf.transpose(integers), side="right"
    )
    interval = tf.minimum(tf.transpose(below), self._last)
    if self._ids is None:
      ids = 1 + interval
    else:
      ids = tf.gather(self._ids, interval + self._first)
    return tf.where(tf.equal(integers, schema.MISSING), 0, ids)


class Embedding(tf_keras.layers.Layer):
  """Ids `[batch, fields]` to `[batch, fields, dim]`, from one table.

  Field f has ids in [0, sizes[f]); its rows start at sizes[0] + ... in the
  table. The gradient is sparse: it names the rows that the batch touched.
  """

  def __init__(
    self,
    sizes: Sequence[int],
    dim: int,
    *,
    initializer: object,
    **kwargs: object,
  ):
    super().__init__(**kwargs)
    self._sizes, self._dim = tuple(sizes), dim
    self._offsets = np.cumsum([0, *sizes[:-1]]).astype(np.int32)
    self._initializer = initializer

  def build(self, shape: tf.TensorShape) -> None:
    """Makes the table, float32 `[sum(sizes), dim]`."""
    if shape[-1] != len(self._sizes):
      raise ValueError(
        f"{self.name}: ids should be [batch, {len(self._sizes)}], are {shape}"
      )
    self.table = self.add_weight(
      "table",
      [sum(self._sizes), self._dim],
      tf.float32,
      initializer=self._initializer,
      experimental_autocast=False,  # rows are cast, never the whole table
    )
    super().build(shape)

  def call(self, ids: tf.Tensor) -> tf.Tensor:
    """Returns `[batch, fields, dim]` of int32 ids `[batch, fields]`."""
    rows = tf.gather(_own(self.table), ids + self._offsets)
    return tf.cast(rows, self.compute_dtype)


class NumericVectors(tf_keras.layers.Layer):
  """Numbers `[batch, n]` to `[batch, n, dim]`: each times a vector of its own.

  What an embedding is to an id: the vectors V_j x_j of factorization machines.
  """

  def __init__(self, dim: int, *, initializer: object, **kwargs: object):
    super().__init__(**kwargs)
    self._dim, self._initializer = dim, initializer

  def build(self, shape: tf.TensorShape) -> None:
    """Makes the vectors, `[n, dim]`."""
    self.vectors = self.add_weight(
      "vectors", [shape[-1], self._dim], initializer=self._initializer
    )
    super().build(shape)

  def call(self, numbers: tf.Tensor) -> tf.Tensor:
    """Returns `[batch, n, dim]` of floats `[batch, n]`."""
    return numbers[:, :, None] * self.vectors


def pairwise(vectors: tf.Tensor) -> tf.Tensor:
  """Returns the sum over pairs i < j of v_i . v_j, float32 `[batch, 1]`.

  As 1/2 sum_d [(sum_i v_id)^2 - sum_i v_id^2] (Rendle 2010, lemma 3.1), of
  vectors `[batch, n, dim]`. In float32: the two sums nearly cancel.
  """
  vectors = tf.cast(vectors, tf.float32)
  of_sums = tf.square(tf.reduce_sum(vectors, 1))
  of_each = tf.reduce_sum(tf.square(vectors), 1)
  return 0.5 * tf.reduce_sum(of_sums - of_each, 1, keepdims=True)


def _own(variable: tf.Variable) -> tf.Variable:
  """Returns the worker's own copy of a variable of its group.

  To gather from the group's would first copy all of it, at every step.
  """
  if tf.distribute.in_cross_replica_context():
    return variable  # a network is being built; its numbers are not asked for
  return tf.distribute.get_strategy().experimental_local_results(variable)[0]
