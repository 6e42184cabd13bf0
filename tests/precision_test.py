import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from ctr_codistill import model_config
from ctr_codistill.models import blocks
from ctr_codistill.models import networks


@pytest.fixture(params=model_config.NETWORKS)
def network(request, tiny, schema):
  model = dataclasses.replace(
    tiny, name=request.param, precision="bfloat16", hidden=(8, 4)
  )
  return networks.build(model, schema, seed=1)


def _gradients(network, features):
  with tf.GradientTape() as tape:
    total = tf.reduce_sum(tf.square(network(features, training=True)))
  return tape.gradient(total, network.trainable_variables)


def test_weights_and_logits_are_float32(network, features):
  assert {weight.dtype for weight in network.weights} == {tf.float32}
  assert network(features).dtype == tf.float32


def test_all_products_but_the_logit_s_are_bfloat16(network, features):
  graph = (
    tf.function(lambda x: network(x)).get_concrete_function(features).graph
  )
  products = {
    operation.name.split("/")[1]: operation.outputs[0].dtype
    for operation in graph.get_operations()
    if operation.type in ("MatMul", "BatchMatMulV2")
  }
  single = {name for name, kind in products.items() if kind == tf.float32}
  assert single - {"linear_numeric"} == {"logit"}
  assert len(products) - len(single) >= 2


def test_the_gradient_of_a_table_is_sparse_and_float32(network, features):
  pairs = zip(_gradients(network, features), network.trainable_variables)
  for gradient, variable in pairs:
    assert gradient.dtype == tf.float32
    is_table = "table" in variable.name
    assert isinstance(gradient, tf.IndexedSlices) == is_table


def test_gradients_are_those_of_float32_but_for_rounding(
  network, schema, tiny, features
):
  plain = networks.build(
    dataclasses.replace(tiny, name=network.name, hidden=(8, 4)), schema, seed=1
  )
  for one, other in zip(network.weights, plain.weights, strict=True):
    assert np.array_equal(one.numpy(), other.numpy())
  found, wanted = (
    np.concatenate(
      [
        tf.convert_to_tensor(g).numpy().ravel()
        for g in _gradients(each, features)
      ]
    )
    for each in (network, plain)
  )
  apart = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
  assert 0 < apart < 0.03


def test_a_row_is_rounded_once_and_the_table_not():
  layer = blocks.Embedding(
    [4], 1, initializer="zeros", dtype="mixed_bfloat16", name="table"
  )
  layer.build(tf.TensorShape([None, 1]))
  layer.table.assign([[0], [1 + 2**-9], [3], [4]])
  rows = layer(tf.constant([[1], [2]]))
  # bfloat16 has steps of 2^-7 above 1.
  assert rows.dtype == tf.bfloat16
  assert tf.cast(rows, tf.float32).numpy().ravel().tolist() == [1, 3]
  assert layer.table.numpy()[1, 0] == 1 + 2**-9


def test_an_integer_is_scaled_in_float32_and_then_rounded(schema):
  integers = tf.constant(np.arange(-300, 300).reshape(-1, 2), tf.int32)
  exact = blocks.NumericLog(schema.numeric)(integers)
  found = blocks.NumericLog(schema.numeric, dtype="mixed_bfloat16")(integers)
  assert found.dtype == tf.bfloat16
  assert np.array_equal(found, tf.cast(exact, tf.bfloat16))


def test_no_policy_of_the_process_is_set(network):
  assert tf_keras.mixed_precision.global_policy().name == "float32"
