"""Networks: from a config and a feature spec to a `tf_keras` model.

A network takes {"numeric": int32 [batch, numerics], "categorical": int32
[batch, categoricals]} as records hold them (raw integers, ids per feature) and
returns logits `[batch]`. All feature arithmetic lies inside, so that a snapshot
needs nothing beside its graph.
"""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf
import tf_keras

from ctr_codistill import config
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.models import blocks

_CROSSES = 2


def build(model: config.Model, schema: Schema, *, seed: int) -> tf_keras.Model:
  """Returns the network that `model.name` names, its weights drawn from `seed`.

  The same arguments give the same weights, bit by bit.
  """
  return {"dnn": dnn, "dcn": dcn}[model.name](model, schema, seed=seed)


def dnn(model: config.Model, schema: Schema, *, seed: int) -> tf_keras.Model:
  """Embeddings and numerics through ReLU layers (Anil et al. 2018, sec. 3.2).

  Their Criteo network has hidden layers of 2560, 1024 and 256 units.
  """
  seeds = _seeds(seed)
  features = inputs(schema)
  joined = _joined(features, model, schema, seeds)
  hidden = _mlp(joined, model, seeds)
  return tf_keras.Model(features, _logits(hidden, seeds), name="dnn")


def dcn(model: config.Model, schema: Schema, *, seed: int) -> tf_keras.Model:
  """Deep & Cross Network V2, parallel (Wang et al. 2021, arXiv 2008.13535).

      x_{l+1} = x_0 * (W_l x_l + b_l) + x_l    (eq. 1), two such layers

  beside the layers of `dnn`, both joined before the logit.
  """
  import tensorflow_recommenders as tfrs  # a second at import: only if wanted

  seeds = _seeds(seed)
  features = inputs(schema)
  joined = _joined(features, model, schema, seeds)
  crossed = joined
  for i in range(_CROSSES):
    crossed = tfrs.layers.dcn.Cross(
      kernel_initializer=tf_keras.initializers.GlorotUniform(next(seeds)),
      name=f"cross_{i}",
    )(joined, crossed)
  hidden = _mlp(joined, model, seeds)
  both = tf_keras.layers.Concatenate(name="both")([crossed, hidden])
  return tf_keras.Model(features, _logits(both, seeds), name="dcn")


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


def vectors(
  features: dict[str, tf.Tensor],
  model: config.Model,
  schema: Schema,
  seeds: Iterator[int],
) -> list[tf.Tensor]:
  """Returns what a network reads of an example, as tensors `[batch, width]`.

  The embeddings of all fields side by side, then the logarithms if wanted.
  """
  ids, sizes = features["categorical"], [c.rows for c in schema.categorical]
  if model.numeric in ("bins", "both") and schema.numeric:
    bins = blocks.NumericBins(schema.numeric, name="bins")(features["numeric"])
    ids = tf_keras.layers.Concatenate(dtype=tf.int32, name="ids")([ids, bins])
    sizes += [n.bins for n in schema.numeric]
  embedded = blocks.Embedding(
    sizes,
    model.embedding_dim,
    initializer=tf_keras.initializers.RandomUniform(
      -model.embedding_scale, model.embedding_scale, seed=next(seeds)
    ),
    name="embedding",
  )(ids)
  found = [tf_keras.layers.Flatten(name="embedded")(embedded)]
  if model.numeric in ("log", "both") and schema.numeric:
    found.append(
      blocks.NumericLog(schema.numeric, name="log")(features["numeric"])
    )
  return found


def _joined(
  features: dict[str, tf.Tensor],
  model: config.Model,
  schema: Schema,
  seeds: Iterator[int],
) -> tf.Tensor:
  parts = vectors(features, model, schema, seeds)
  return tf_keras.layers.Concatenate(name="features")(parts)


def _mlp(
  hidden: tf.Tensor, model: config.Model, seeds: Iterator[int]
) -> tf.Tensor:
  for i, width in enumerate(model.hidden):
    hidden = _dense(width, "relu", f"hidden_{i}", seeds)(hidden)
    if model.dropout:
      hidden = tf_keras.layers.Dropout(model.dropout, seed=next(seeds))(hidden)
  return hidden


def _logits(hidden: tf.Tensor, seeds: Iterator[int]) -> tf.Tensor:
  logits = _dense(1, None, "logit", seeds)(hidden)
  return tf_keras.layers.Reshape([], dtype="float32", name="logits")(logits)


def _seeds(seed: int) -> Iterator[int]:
  random = np.random.RandomState(seed)
  while True:
    yield int(random.randint(2**31 - 1))


def _dense(
  width: int, activation: str | None, name: str, seeds: Iterator[int]
) -> tf_keras.layers.Dense:
  initializer = tf_keras.initializers.GlorotUniform(seed=next(seeds))
  return tf_keras.layers.Dense(
    width, activation, kernel_initializer=initializer, name=name
  )
