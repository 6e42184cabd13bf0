"""The parts that networks are put together from, up to the logit.

They have the network's seeds, activation and precision, so that a network says
only what is joined to what. Layers get their precision one by one: a policy of
the whole process would reach the snapshots of peers.
"""

import functools
from collections.abc import Iterator
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras

from ctr_codistill import config
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.models import activations
from ctr_codistill.models import blocks
from ctr_codistill.models import noise


def inputs(schema: Schema) -> dict[str, tf_keras.Input]:
  """Returns the two inputs of every network, int32 `[batch, features]`."""
  widths = {
    "numeric": len(schema.numeric),
    "categorical": len(schema.categorical),
  }
  return {
    name: tf_keras.Input([width], name=name, dtype=tf.int32)
    for name, width in widths.items()
  }


class Parts:
  """Makes the parts of one network; each method at most once, but `hidden`.

  Seeds are drawn in the order of the calls. With `model.precision=bfloat16`
  activations and products are bfloat16; variables, what an integer becomes and
  the logit stay float32.
  """

  def __init__(self, model: config.Model, schema: Schema, *, seed: int):
    """Makes the inputs of a network whose weights are drawn from `seed`."""
    self._model, self._schema = model, schema
    self._seeds = _seeds(seed)
    self._policy = tf_keras.mixed_precision.Policy(
      "mixed_bfloat16" if model.precision == "bfloat16" else "float32"
    )
    self._features = inputs(schema)

  def embedded(self) -> tf.Tensor:
    """Returns a vector a field, `[batch, fields, dim]`, all of one table.

    Fields are the categoricals, and the bins of integers if wanted.
    """
    ids, sizes = self._ids
    return blocks.Embedding(
      sizes,
      self._model.embedding_dim,
      initializer=self._uniform(),
      name="embedding",
      dtype=self._policy,
    )(ids)

  def numeric_vectors(self) -> list[tf.Tensor]:
    """Returns `[batch, columns, dim]`: a vector times each of `logarithms`."""
    return [
      blocks.NumericVectors(
        self._model.embedding_dim,
        initializer=self._uniform(),
        name="numeric_vectors",
        dtype=self._policy,
      )(columns)
      for columns in self.logarithms
    ]

  @functools.cached_property
  def logarithms(self) -> list[tf.Tensor]:
    """The integers as logarithms `[batch, 2 numerics]`, if wanted; or none."""
    numeric = self._schema.numeric
    if self._model.numeric == "bins" or not numeric:
      return []
    log = blocks.NumericLog(numeric, name="log", dtype=self._policy)
    return [log(self._features["numeric"])]

  def joined(self) -> tf.Tensor:
    """Returns all that is read of an example side by side, `[batch, width]`."""
    flat = self.flat(self.embedded(), "embedded")
    return self.side_by_side([flat, *self.logarithms], "features")

  def flat(self, vectors: tf.Tensor, name: str) -> tf.Tensor:
    """Returns `[batch, fields * dim]` of `[batch, fields, dim]`."""
    return tf_keras.layers.Flatten(name=name, dtype=self._policy)(vectors)

  def side_by_side(self, found: Sequence[tf.Tensor], name: str) -> tf.Tensor:
    """Returns tensors `[batch, width]` as one of all their widths."""
    join = tf_keras.layers.Concatenate(name=name, dtype=self._policy)
    return join(list(found))

  def hidden(
    self, x: tf.Tensor, widths: Sequence[int], name: str = "hidden"
  ) -> tf.Tensor:
    """Returns what dense layers of `widths` make of x, each with activation."""
    model, bent = self._model, self._model.activation != "relu"
    for i, width in enumerate(widths):
      x = tf_keras.layers.Dense(
        width,
        None if bent else "relu",
        kernel_initializer=self._glorot(),
        name=f"{name}_{i}",
        dtype=self._policy,
      )(x)
      if bent:
        x = activations.layer(model, dtype=self._policy)(x)
      x = noise.Dropout(name=f"dropout_{name}_{i}", dtype=self._policy)(x)
    return x

  def crosses(self, x: tf.Tensor) -> tf.Tensor:
    """Returns x crossed with itself as often as wanted, `[batch, width]`."""
    import tensorflow_recommenders as tfrs  # a second at import: only if wanted

    class Cross(tfrs.layers.dcn.Cross):
      # TFRS gives its product this type, which else is that of the variables.
      dtype = property(lambda self: self.dtype_policy)

    crossed = x
    for i in range(self._model.cross_layers):
      crossed = Cross(
        kernel_initializer=self._glorot(),
        name=f"cross_{i}",
        dtype=self._policy,
      )(x, crossed)
    return crossed

  def dots(self, vectors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns the product of each two of n vectors, `[batch, n (n - 1) / 2]`.

    Args:
      vectors: at least 2, each `[batch, dim]`.
    """
    from tensorflow_recommenders.layers import feature_interaction

    layer = feature_interaction.DotInteraction(name="dots", dtype=self._policy)
    return layer(list(vectors))

  def linear(self) -> list[tf.Tensor]:
    """Returns the terms w_j x_j of all features, each float32 `[batch, 1]`.

    One weight an id, from a table of width 1, and one for each column of
    `logarithms`; all start at 0.
    """
    ids, sizes = self._ids
    weights = blocks.Embedding(sizes, 1, initializer="zeros", name="linear")
    found = [tf.reduce_sum(weights(ids), 1)]
    for columns in self.logarithms:
      layer = tf_keras.layers.Dense(
        1, use_bias=False, kernel_initializer="zeros", name="linear_numeric"
      )
      found.append(layer(columns))
    return found

  def logit(self, x: tf.Tensor) -> tf.Tensor:
    """Returns w x + b, float32 `[batch, 1]`.

    Never in bfloat16, whose logits are 0.008 apart at 1: a probability of a
    quarter would be off by up to 0.0007.
    """
    layer = tf_keras.layers.Dense(
      1, kernel_initializer=self._glorot(), name="logit"
    )
    return layer(x)

  def network(self, terms: Sequence[tf.Tensor], name: str) -> tf_keras.Model:
    """Returns the network whose logit is the sum of `terms`, `[batch, 1]`."""
    total = tf_keras.layers.Add(name="sum")(terms) if terms[1:] else terms[0]
    logits = tf_keras.layers.Reshape([], name="logits")(total)
    return tf_keras.Model(self._features, logits, name=name)

  @functools.cached_property
  def _ids(self) -> tuple[tf.Tensor, list[int]]:
    """The ids `[batch, fields]` and the number of ids of each field."""
    ids = self._features["categorical"]
    sizes = [c.rows for c in self._schema.categorical]
    numeric = self._schema.numeric
    if self._model.numeric == "log" or not numeric:
      return ids, sizes
    bins = blocks.NumericBins(numeric, name="bins")(self._features["numeric"])
    join = tf_keras.layers.Concatenate(dtype=tf.int32, name="ids")
    return join([ids, bins]), [*sizes, *(n.bins for n in numeric)]

  def _glorot(self) -> tf_keras.initializers.Initializer:
    return tf_keras.initializers.GlorotUniform(next(self._seeds))

  def _uniform(self) -> tf_keras.initializers.Initializer:
    scale = self._model.embedding_scale
    return tf_keras.initializers.RandomUniform(
      -scale, scale, seed=next(self._seeds)
    )


def _seeds(seed: int) -> Iterator[int]:
  random = np.random.RandomState(seed)
  while True:
    yield int(random.randint(2**31 - 1))
