"""A click model of one's own, as a TFRS model: two towers and their product.

  python -m pipelines.launch --data=DATA --workdir=RUN --groups=2 \\
    --model.name=docs.examples.own_model:two_towers

The first half of the categoricals and the integers are taken for the user's,
the others for the ad's; the logit is the product of the two sides' vectors.
"""

import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from ctr_codistill.config import Model
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.models import blocks


class TwoTowers(tfrs.Model):
  """Logits `[batch]` of {"numeric", "categorical"}."""

  def __init__(self, model: Model, schema: Schema, *, seed: int):
    """Makes the layers, their weights drawn from `seed`."""
    super().__init__()
    self.log = blocks.NumericLog(schema.numeric)
    self.embeddings = [
      tf_keras.layers.Embedding(
        feature.rows,
        model.embedding_dim,
        tf_keras.initializers.RandomUniform(-0.05, 0.05, seed=seed + i),
      )
      for i, feature in enumerate(schema.categorical)
    ]
    self.user = self._tower(model, seed + 1000)
    self.ad = self._tower(model, seed + 2000)
    self.bias = self.add_weight("bias", [], initializer="zeros")

  def call(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
    """Returns a logit an example, `[batch]`."""
    columns = tf.unstack(features["categorical"], axis=1)
    found = [layer(ids) for layer, ids in zip(self.embeddings, columns)]
    half = len(found) // 2
    user = tf.concat([self.log(features["numeric"]), *found[:half]], 1)
    user, ad = self.user(user), self.ad(tf.concat(found[half:], 1))
    # A loss of the model's own is added to that of labels and teacher.
    self.add_loss(1e-4 * tf.reduce_mean(tf.square(user) + tf.square(ad)))
    return tf.reduce_sum(user * ad, 1) + self.bias

  def _tower(self, model: Model, seed: int) -> tf_keras.Sequential:
    return tf_keras.Sequential(
      [
        tf_keras.layers.Dense(
          width,
          activation,
          kernel_initializer=tf_keras.initializers.GlorotUniform(seed + i),
        )
        for i, (width, activation) in enumerate(
          [*((w, "relu") for w in model.hidden), (model.embedding_dim, None)]
        )
      ]
    )


def two_towers(model: Model, schema: Schema, *, seed: int) -> tfrs.Model:
  """Returns the model; what `--model.name` names."""
  return TwoTowers(model, schema, seed=seed)
