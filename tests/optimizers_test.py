import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from ctr_codistill import config
from ctr_codistill.models import blocks
from ctr_codistill.models import optimizers


def _model():
  """Returns a table of 4 ids x 1 and a dense weight, both 0."""
  ids = tf_keras.Input([1], dtype=tf.int32)
  rows = blocks.Embedding([4], 1, initializer="zeros", name="embedding")(ids)
  dense = tf_keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
  return tf_keras.Model(ids, dense(tf_keras.layers.Flatten()(rows)))


def _moved(gradients, steps=1, **fields):
  """Returns table `[4]` and weight after `steps` equal steps from 0."""
  model = _model()
  optimizer = optimizers.build(config.Optimizer(**fields), steps=4)
  optimizer.build(model)
  for _ in range(steps):
    optimizer.apply(gradients, model.trainable_variables)
  table, weight = model.trainable_variables
  return table.numpy()[:, 0], float(weight.numpy()[0, 0])


def _sparse(ids, values):
  return tf.IndexedSlices(
    tf.constant(values, tf.float32)[:, None],
    tf.constant(ids),
    tf.constant([4, 1]),
  )


ONE = tf.constant([[1.0]])


@pytest.mark.parametrize("name", ["adagrad", "sgd"])
@pytest.mark.parametrize("decay", ["constant", "linear"])
def test_a_sparse_step_is_the_dense_step_where_ids_repeat(name, decay):
  # Row 1 is hit three times, with 0.5 - 0.2 + 0.4 = 0.7 in all; row 2 not.
  sparse = _sparse([1, 3, 1, 0, 1], [0.5, 1.0, -0.2, -0.3, 0.4])
  dense = tf.constant([[-0.3], [0.7], [0.0], [1.0]])
  fields = {"name": name, "decay": decay}
  found, _ = _moved([sparse, ONE], steps=3, **fields)
  wanted, _ = _moved([dense, ONE], steps=3, **fields)
  np.testing.assert_allclose(found, wanted, atol=1e-7)
  assert found[1] != 0 and found[2] == 0


def test_sgd_adds_repeated_ids_up_at_the_table_s_own_rate():
  found, weight = _moved(
    [_sparse([1, 1], [0.5, 0.2]), ONE],
    name="sgd",
    embedding_learning_rate=0.1,
    learning_rate=0.01,
  )
  np.testing.assert_allclose(found, [0, -0.07, 0, 0], atol=1e-8)
  assert weight == pytest.approx(-0.01)


def test_adagrad_divides_by_the_root_of_the_summed_squares():
  # Row 1 gets 0.3 + 0.4 = 0.7: -0.1 x 0.7 / sqrt(0.51 + 0.49) = -0.07, and
  # not the 0.09 of two steps. The weight: -0.01 x 1 / sqrt(0.51 + 1).
  found, weight = _moved(
    [_sparse([1, 1], [0.3, 0.4]), ONE],
    name="adagrad",
    embedding_learning_rate=0.1,
    learning_rate=0.01,
    initial_accumulator=0.51,
  )
  np.testing.assert_allclose(found, [0, -0.07, 0, 0], atol=1e-7)
  assert weight == pytest.approx(-0.01 / math.sqrt(1.51), rel=1e-6)


def test_a_linear_decay_reaches_zero_at_the_last_step():
  # Steps of 4: 1, 3/4, 1/2 and 1/4 of the rates, 2.5 of them in all.
  ends = [
    _moved(
      [_sparse([2], [1.0]), ONE],
      steps=steps,
      name="sgd",
      decay="linear",
      embedding_learning_rate=0.1,
      learning_rate=0.01,
    )
    for steps in (3, 4, 5)
  ]
  tables = [table[2] for table, _ in ends]
  np.testing.assert_allclose(tables, [-0.225, -0.25, -0.25], atol=1e-7)
  weights = [weight for _, weight in ends]
  np.testing.assert_allclose(weights, [-0.0225, -0.025, -0.025], atol=1e-7)


def test_keras_own_embedding_counts_as_a_table():
  layer = tf_keras.layers.Embedding(4, 1, embeddings_initializer="zeros")
  model = tf_keras.Sequential([tf_keras.Input([1]), layer])
  optimizer = optimizers.build(
    config.Optimizer(name="sgd", embedding_learning_rate=0.1), steps=1
  )
  optimizer.build(model)
  optimizer.apply([_sparse([0], [1.0])], model.trainable_variables)
  assert layer.embeddings.numpy()[0, 0] == pytest.approx(-0.1)
