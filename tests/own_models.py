"""Models that a user might bring, by functions that tests name."""

import tensorflow as tf
import tf_keras

NOT_A_FUNCTION = 7


def _inputs(schema):
  return {
    "numeric": tf_keras.Input([len(schema.numeric)], dtype=tf.int32),
    "categorical": tf_keras.Input([len(schema.categorical)], dtype=tf.int32),
  }


def _rows(features, seed, width=2):
  """Returns `[batch, fields, width]`, all fields out of one table of Keras."""
  return tf_keras.layers.Embedding(
    8,
    width,
    tf_keras.initializers.RandomUniform(-0.5, 0.5, seed=seed),
    name="ids",
  )(features["categorical"])


def column(model, schema, *, seed):
  """A functional model with logits `[batch, 1]`."""
  features = _inputs(schema)
  flat = tf_keras.layers.Flatten()(_rows(features, seed))
  kernel = tf_keras.initializers.GlorotUniform(seed)
  dense = tf_keras.layers.Dense(
    1,
    kernel_initializer=kernel,
    bias_initializer="ones",
    bias_regularizer=tf_keras.regularizers.L2(1.5),
    name="bias",
  )
  return tf_keras.Model(features, dense(flat))


class Loops(tf_keras.Model):
  """Adds ids up in a loop over a tensor, which a tf.function converts."""

  @tf.function
  def _total(self, ids):
    total = tf.zeros_like(ids[:, 0])
    for i in tf.range(tf.shape(ids)[1]):
      total += ids[:, i]
    return total

  def call(self, features):
    return tf.cast(self._total(features["categorical"]), tf.float32)


def loops(model, schema, *, seed):
  return Loops()


class Half(tf_keras.Model):
  """Logits in bfloat16, of one weight, and batch statistics."""

  def __init__(self, seed):
    super().__init__()
    self.table = tf_keras.layers.Embedding(8, 1)
    self.norm = tf_keras.layers.BatchNormalization()

  def call(self, features, training=None):
    rows = tf.reduce_sum(self.table(features["categorical"]), 1)
    return tf.cast(self.norm(rows, training=training), tf.bfloat16)


def half(model, schema, *, seed):
  return Half(seed)


def no_model(model, schema, *, seed):
  return lambda features: features


def two_columns(model, schema, *, seed):
  features = _inputs(schema)
  flat = tf_keras.layers.Flatten()(_rows(features, seed))
  return tf_keras.Model(features, tf_keras.layers.Dense(2)(flat))


def integers(model, schema, *, seed):
  features = _inputs(schema)
  return tf_keras.Model(features, tf.reduce_sum(features["numeric"], 1))


def two_outputs(model, schema, *, seed):
  features = _inputs(schema)
  return tf_keras.Model(features, features)


def broken(model, schema, *, seed):
  raise RuntimeError("the user's own fault")
