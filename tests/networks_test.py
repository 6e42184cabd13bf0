import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.models import blocks
from ctr_codistill.models import networks


def _weights(*arguments, seed):
  return networks.build(*arguments, seed=seed).get_weights()


def _equal(one, other):
  return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", ["dnn", "dcn"])
def test_a_seed_gives_the_same_bits_and_another_seed_others(tiny, schema, name):
  model = dataclasses.replace(tiny, name=name)
  first = _weights(model, schema, seed=1)
  assert _equal(first, _weights(model, schema, seed=1))
  kernels = [w for w in first if np.any(w)]
  for one, other in zip(first, _weights(model, schema, seed=2), strict=True):
    assert not np.any(one) or not np.array_equal(one, other)
  assert len(kernels) >= 3


# 3 fields of 8 ids, and bins of 4 and 4 ids (2 boundaries each, one bin more,
# one id for missing): 24 or 32 rows of 2. Read are 2 a field, and of 2 integers
# a logarithm and a mark each. Then 4 hidden units and the logit, with biases.
@pytest.mark.parametrize(
  ("numeric", "wanted"),
  [
    ("log", 24 * 2 + (6 + 4 + 1) * 4 + 5),  # 97
    ("bins", 32 * 2 + (10 + 1) * 4 + 5),  # 113
    ("both", 32 * 2 + (10 + 4 + 1) * 4 + 5),  # 129
  ],
)
def test_the_parameters_of_dnn_are_as_counted(tiny, schema, numeric, wanted):
  model = dataclasses.replace(tiny, numeric=numeric)
  assert networks.build(model, schema, seed=0).count_params() == wanted


def test_dcn_has_two_crosses_of_its_input_more(tiny, schema):
  # Two layers of 14 x 14 weights and 14 biases; the logit reads 14 more.
  model = dataclasses.replace(tiny, name="dcn")
  found = networks.build(model, schema, seed=0).count_params()
  assert found == 129 + 2 * (14 * 14 + 14) + 14


@pytest.mark.parametrize("name", ["dnn", "dcn"])
def test_the_output_is_a_logit_an_example(tiny, schema, features, name):
  model = networks.build(dataclasses.replace(tiny, name=name), schema, seed=0)
  logits = model(features)
  assert (logits.shape, logits.dtype) == ((16,), tf.float32)
  assert len(set(logits.numpy().tolist())) > 8


def test_no_hidden_layer_is_a_logistic_regression(tiny, schema, features):
  model = networks.build(dataclasses.replace(tiny, hidden=()), schema, seed=0)
  assert model.count_params() == 32 * 2 + 14 + 1
  assert model(features).shape == (16,)


def test_dnn_is_what_its_weights_say(tiny, schema, features):
  """Works a prediction out with numpy, from logarithms and one table."""
  model = networks.build(
    dataclasses.replace(tiny, numeric="log"), schema, seed=3
  )
  table, kernel, bias, out, out_bias = model.get_weights()
  ids = features["categorical"].numpy() + np.array([0, 8, 16])
  logs = blocks.NumericLog(schema.numeric)(features["numeric"]).numpy()
  read = np.concatenate([table[ids].reshape(16, 6), logs], axis=1)
  hidden = np.maximum(read @ kernel + bias, 0)
  wanted = (hidden @ out + out_bias)[:, 0]
  np.testing.assert_allclose(model(features), wanted, atol=1e-5)


def test_embeddings_start_within_their_scale(tiny, schema):
  model = dataclasses.replace(tiny, embedding_scale=0.25)
  table = _weights(model, schema, seed=0)[0]
  assert 0.2 < np.abs(table).max() <= 0.25
  assert table.min() < 0 < table.max()


def test_dropout_is_for_training_alone(tiny, schema, features):
  model = networks.build(
    dataclasses.replace(tiny, hidden=(64,), dropout=0.5), schema, seed=0
  )
  plain = model(features, training=False).numpy()
  assert np.array_equal(plain, model(features, training=False).numpy())
  assert not np.array_equal(plain, model(features, training=True).numpy())


@pytest.mark.parametrize("numeric", ["log", "bins", "both"])
def test_one_kind_of_features_is_enough(schema, numeric):
  model = config.Model(hidden=(4,), embedding_dim=2, numeric=numeric)
  for part in (Schema(schema.numeric, ()), Schema((), schema.categorical)):
    network = networks.build(model, part, seed=0)
    ones = {
      "numeric": tf.ones([3, len(part.numeric)], tf.int32),
      "categorical": tf.ones([3, len(part.categorical)], tf.int32),
    }
    assert network(ones).shape == (3,)
