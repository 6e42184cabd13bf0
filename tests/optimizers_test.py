import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from ctr_codistill import config
from ctr_codistill.errors import InputError
from ctr_codistill.models import blocks
from ctr_codistill.models import optimizers

RULES = [
  {"name": "adagrad"},
  {"name": "sgd"},
  {"name": "sgd", "momentum": 0.9},
  {"name": "adam"},
  {"name": "ftrl", "l1": 1e-3, "l2": 1e-2},
]


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


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
  "course",
  [{}, {"decay": "linear"}, {"decay": "cosine", "warmup_steps": 2}],
)
@pytest.mark.parametrize("clip_norm", [0, 0.5])
def test_a_sparse_step_is_the_dense_step_where_ids_repeat(
  rule, course, clip_norm
):
  # Row 1 is hit three times, with 0.5 - 0.2 + 0.4 = 0.7 in all; row 2 not.
  sparse = _sparse([1, 3, 1, 0, 1], [0.5, 1.0, -0.2, -0.3, 0.4])
  dense = tf.constant([[-0.3], [0.7], [0.0], [1.0]])
  fields = {**rule, **course, "clip_norm": clip_norm}
  found, _ = _moved([sparse, ONE], steps=3, **fields)
  wanted, _ = _moved([dense, ONE], steps=3, **fields)
  np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)
  assert found[1] != 0 and found[2] == 0


def test_repeated_ids_add_up_at_the_table_s_own_rate():
  found, weight = _moved(
    [_sparse([1, 1], [0.5, 0.2]), ONE],
    name="sgd",
    embedding_learning_rate=0.1,
    learning_rate=0.01,
  )
  np.testing.assert_allclose(found, [0, -0.07, 0, 0], atol=1e-8)
  assert weight == pytest.approx(-0.01)


def test_adagrad_squares_the_sum_and_not_the_parts():
  # Row 1 gets 0.3 + 0.4 = 0.7: -0.1 x 0.7 / sqrt(0.51 + 0.49) = -0.07; two
  # steps would be 0.09, and 0.3^2 + 0.4^2 in the root 0.080.
  found, _ = _moved(
    [_sparse([1, 1], [0.3, 0.4]), ONE],
    name="adagrad",
    embedding_learning_rate=0.1,
    initial_accumulator=0.51,
  )
  np.testing.assert_allclose(found, [0, -0.07, 0, 0], atol=1e-7)


def test_tables_may_have_a_rule_of_their_own():
  fields = {
    "embedding_learning_rate": 0.1,
    "learning_rate": 0.01,
    "initial_accumulator": 3.0,
  }
  gradients = [_sparse([2], [1.0]), ONE]
  table, weight = _moved(
    gradients, name="sgd", embedding_name="adagrad", **fields
  )
  np.testing.assert_allclose(table, [0, 0, -0.1 / 2, 0], atol=1e-7)
  assert weight == pytest.approx(-0.01)
  table, weight = _moved(
    gradients, name="adagrad", embedding_name="sgd", **fields
  )
  np.testing.assert_allclose(table, [0, 0, -0.1, 0], atol=1e-7)
  assert weight == pytest.approx(-0.01 / 2)


def test_both_rates_take_the_same_course():
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


def test_one_norm_clips_tables_and_layers():
  # |(3, 4)| = 5, of which 1 stays: 0.6 and 0.8.
  found, weight = _moved(
    [_sparse([1, 1], [1.0, 2.0]), 4 * ONE],
    name="sgd",
    embedding_learning_rate=1.0,
    learning_rate=1.0,
    clip_norm=1.0,
  )
  np.testing.assert_allclose(found, [0, -0.6, 0, 0], atol=1e-7)
  assert weight == pytest.approx(-0.8)


def test_keras_own_embedding_counts_as_a_table():
  layer = tf_keras.layers.Embedding(4, 1, embeddings_initializer="zeros")
  model = tf_keras.Sequential([tf_keras.Input([1]), layer])
  optimizer = optimizers.build(
    config.Optimizer(name="sgd", embedding_learning_rate=0.1), steps=1
  )
  optimizer.build(model)
  optimizer.apply([_sparse([0], [1.0])], model.trainable_variables)
  assert layer.embeddings.numpy()[0, 0] == pytest.approx(-0.1)


@pytest.mark.parametrize("rule", RULES)
def test_a_variable_without_a_gradient_stays(rule):
  table, weight = _moved([None, ONE], **rule)
  assert not table.any() and weight < 0


def test_a_loss_that_depends_on_no_variable_is_refused():
  with pytest.raises(InputError, match="depend on a variable, does on none"):
    _moved([None, None])


def test_constraints_of_variables_hold():
  layer = tf_keras.layers.Dense(
    1, use_bias=False, kernel_initializer="ones", kernel_constraint="non_neg"
  )
  model = tf_keras.Sequential([tf_keras.Input([2]), layer])
  optimizer = optimizers.build(
    config.Optimizer(name="sgd", learning_rate=1.0), steps=1
  )
  optimizer.build(model)
  optimizer.apply([tf.constant([[0.25], [3.0]])], model.trainable_variables)
  assert layer.kernel.numpy().tolist() == [[0.75], [0.0]]


def test_a_variable_of_half_the_digits_is_refused():
  dense = tf_keras.layers.Dense(1, use_bias=False, dtype="bfloat16", name="low")
  model = tf_keras.Sequential([tf_keras.Input([2]), dense])
  said = "low/kernel:0 should be of float32 to be trained, is of bfloat16"
  with pytest.raises(InputError, match=said):
    optimizers.build(config.Optimizer(), steps=1).build(model)


@pytest.mark.parametrize("rule", RULES)
def test_master_weights_of_a_mixed_layer_move_in_float32(rule):
  dense = tf_keras.layers.Dense(
    1, use_bias=False, dtype=tf_keras.mixed_precision.Policy("mixed_bfloat16")
  )
  model = tf_keras.Sequential([tf_keras.Input([2]), dense])
  optimizer = optimizers.build(config.Optimizer(**rule), steps=9)
  optimizer.build(model)
  before = dense.kernel.numpy()
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(model(tf.constant([[1.0, 2.0]])))
  gradients = tape.gradient(loss, model.trainable_variables)
  optimizer.apply(gradients, model.trainable_variables)
  moved = dense.kernel.numpy()
  assert moved.dtype == np.float32 and (moved < before).all()


@pytest.mark.parametrize("rule", RULES)
def test_a_group_s_step_reads_no_whole_table(rule):
  strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
  with strategy.scope():
    model = _model()
    optimizer = optimizers.build(config.Optimizer(**rule), steps=4)
    optimizer.build(model)

  def replica():
    gradients = [_sparse([1, 1], [0.5, 0.2]), ONE]
    optimizer.apply(gradients, model.trainable_variables)

  step = tf.function(lambda: strategy.run(replica), autograph=False)
  operations = step.get_concrete_function().graph.get_operations()
  read = [op.outputs[0] for op in operations if op.type == "ReadVariableOp"]
  assert [tensor.shape.as_list() for tensor in read] == [[], []]  # both steps
  step()
  found, weight = model.get_weights()
  wanted, expected = _moved([_sparse([1], [0.7]), ONE], **rule)
  np.testing.assert_allclose(found[:, 0], wanted, rtol=1e-6)
  assert weight[0, 0] == pytest.approx(expected)
