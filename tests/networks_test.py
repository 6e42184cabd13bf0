import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill import model_config
from ctr_codistill.criteo.lookup import Lookup
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.errors import InputError
from ctr_codistill.models import blocks
from ctr_codistill.models import networks
from ctr_codistill.serving import Servable
from ctr_codistill.snapshots import Snapshot
from ctr_codistill.snapshots import Writer


def _weights(*arguments, seed):
  return networks.build(*arguments, seed=seed).get_weights()


def _equal(one, other):
  return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", model_config.NETWORKS)
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


@pytest.mark.parametrize("name", model_config.NETWORKS)
@pytest.mark.parametrize("activation", ["relu", "smelu", "swish"])
def test_the_output_is_a_logit_an_example(
  tiny, schema, features, name, activation
):
  model = dataclasses.replace(tiny, name=name, activation=activation)
  logits = networks.build(model, schema, seed=0)(features)
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


@pytest.mark.parametrize("name", model_config.NETWORKS)
@pytest.mark.parametrize("numeric", ["log", "bins", "both"])
def test_one_kind_of_features_is_enough(schema, name, numeric):
  if (name, numeric) == ("dlrm", "log"):
    return  # which has nothing to multiply, see below
  model = config.Model(name=name, hidden=(4,), embedding_dim=2, numeric=numeric)
  for part in (Schema(schema.numeric, ()), Schema((), schema.categorical)):
    network = networks.build(model, part, seed=0)
    ones = {
      "numeric": tf.ones([3, len(part.numeric)], tf.int32),
      "categorical": tf.ones([3, len(part.categorical)], tf.int32),
    }
    assert network(ones).shape == (3,)


@pytest.mark.parametrize(
  ("numerics", "categoricals", "numeric", "vectors"),
  [(2, 0, "log", 1), (0, 1, "both", 1), (1, 0, "bins", 1)],
)
def test_dlrm_says_how_many_vectors_it_wants(
  schema, numerics, categoricals, numeric, vectors
):
  part = Schema(schema.numeric[:numerics], schema.categorical[:categoricals])
  model = config.Model(name="dlrm", numeric=numeric)
  said = f"dlrm should have 2 vectors to multiply .*, has {vectors}"
  with pytest.raises(InputError, match=said):
    networks.build(model, part, seed=0)


@pytest.mark.parametrize("name", model_config.NETWORKS)
@pytest.mark.parametrize("wrong", ["numeric", "categorical"])
def test_features_of_another_width_are_refused(
  tiny, schema, features, name, wrong
):
  network = networks.build(dataclasses.replace(tiny, name=name), schema, seed=0)
  width = features[wrong].shape[1]
  wide = {**features, wrong: tf.zeros([16, width + 1], tf.int32)}
  said = rf"expected shape=\(None, {width}\), found shape=\(16, {width + 1}\)"
  with pytest.raises(ValueError, match=said):
    network(wide)
  with pytest.raises(ValueError, match=f'Missing data for input "{wrong}"'):
    network({name: x for name, x in features.items() if name != wrong})


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
  ("name", "activation"),
  [*zip(model_config.NETWORKS, itertools.cycle(["relu", "smelu", "swish"]))],
)
def test_a_snapshot_gives_the_same_logits(
  tiny, schema, prepared, features, tmp_path, name, activation, precision
):
  model = dataclasses.replace(
    tiny, name=name, activation=activation, precision=precision
  )
  network = networks.build(model, schema, seed=1)
  servable = Servable(network, schema, Lookup(schema, prepared))
  signatures = servable.signatures()
  wanted = signatures["predict_ids"](**features)["logit"].numpy()
  np.testing.assert_allclose(network(features), wanted, rtol=0.02, atol=0.02)
  writer = Writer(servable, signatures, {}, tmp_path / "template")
  snapshot = Snapshot(writer.write(tmp_path, 1, servable.weights, {}))
  found = snapshot.predict_ids(**features)["logit"].numpy()
  assert np.array_equal(found, wanted)
  assert len(set(found.tolist())) > 8
