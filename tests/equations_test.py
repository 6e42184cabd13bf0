"""Each network against the equations of its paper, worked out in sight.

Of an example are read: an integer as 3 (log2(1 + 7)) and 0 (it is there), the
embedding (3, -1) of its first id and (1, 2) of the second. A second example
lacks the integer, read as 0 and 1, and has the ids 0, with the embeddings 0.
"""

import math

import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo.schema import Categorical
from ctr_codistill.criteo.schema import Numeric
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.models import blocks
from ctr_codistill.models import networks

SCHEMA = Schema(
  (Numeric("I", 0.0, math.log(2), ()),),
  (Categorical("A", 1, 1, "0" * 64), Categorical("B", 1, 1, "0" * 64)),
)
FEATURES = {
  "numeric": [[7], [schemas.MISSING]],
  "categorical": [[1, 2], [0, 0]],
}
# Rows 0 ... 2 are those of A, 3 ... 5 those of B.
TABLE = [[0, 0], [3, -1], [9, 9], [0, 0], [9, 9], [1, 2]]
ONE_A_FIELD = [[0], [10], [99], [0], [99], [100]]


def _network(name, hidden, **layers):
  """Returns the network with the given weights in the layers named."""
  model = config.Model(
    name=name, hidden=hidden, embedding_dim=2, numeric="log", bottom=(2,)
  )
  network = networks.build(model, SCHEMA, seed=0)
  weights = {"embedding": [TABLE], **layers}
  for layer, values in weights.items():
    network.get_layer(layer).set_weights([np.array(v, "f") for v in values])
  assert {layer.name for layer in network.layers if layer.weights} == {*weights}
  return network


def _logits(network):
  features = {name: tf.constant(v) for name, v in FEATURES.items()}
  return network(features).numpy()


def _check(network, wanted):
  np.testing.assert_allclose(_logits(network), wanted, rtol=2e-6)


# [3, -1, 1, 2, 3, 0] and [0, 0, 0, 0, 0, 1] through two hidden units: the sum
# less 4, and minus the sum, which is cut to 0. The sums are 8 and 1.
DEEP = {
  "hidden_0": ([[1, -1]] * 6, [-4, 0]),
  "logit": ([[2], [7]], [0.5]),
}
DEEP_LOGITS = [2 * (8 - 4) + 0.5, 0 + 0.5]


def test_dnn_is_dense_layers_over_what_is_read():
  _check(_network("dnn", (2,), **DEEP), DEEP_LOGITS)


def test_dcn_multiplies_the_first_vector_with_a_map_of_the_last():
  # x1 = x0 * (x0 + 1) + x0. The second map moves each place on by one:
  # x0 = [3, -1, 1, 2, 3, 0]      x1 = [15, -1, 3, 8, 15, 0]
  #              moved x1 = [0, 15, -1, 3, 8, 15]
  # x2 = [0 + 15, -15 - 1, -1 + 3, 6 + 8, 24 + 15, 0 + 0], in all 54
  # and of [0, 0, 0, 0, 0, 1]: x1 = [0, 0, 0, 0, 0, 3] = x2.
  network = _network(
    "dcn",
    (2,),
    cross_0=(np.eye(6), np.ones(6)),
    cross_1=(np.roll(np.eye(6), 1, axis=1), np.zeros(6)),
    hidden_0=DEEP["hidden_0"],
    logit=([[1]] * 6 + [[2], [7]], [0.5]),
  )
  _check(network, np.add(DEEP_LOGITS, [15 - 16 + 2 + 14 + 39 + 0, 3]))


def test_dlrm_multiplies_each_two_vectors():
  # The bottom turns (3, 0) into relu(3, -3), then relu(3 - 1, 0 + 2) = (2, 2)
  # and (0, 1) into (0, 0), then relu(-1, 2) = (0, 2). Products are
  # B.A = 3 - 2 = 1, v.A = 6 - 2 = 4, v.B = 2 + 4 = 6; or 0 with both ids 0.
  # The top adds (2, 2, 1, 4, 6) up with weights that keep them apart.
  network = _network(
    "dlrm",
    (1,),
    bottom_0=([[1, -1], [0, 0]], [0, 0]),
    bottom_1=(np.eye(2), [-1, 2]),
    hidden_0=([[1], [10], [100], [1000], [10_000]], [0]),
    logit=([[1]], [0.5]),
  )
  _check(network, [64_122.5, 20.5])


def test_deepfm_adds_terms_pairs_and_layers_over_the_same_vectors():
  # Terms: 10 + 100 + 3 x 1000; or 5 for a missing integer.
  # Vectors: (3, -1), (1, 2), 3 x (1, 0.5) = (3, 1.5), 0 x (2, 4). Pairs:
  # 3 - 2 = 1, 9 - 1.5 = 7.5, 3 + 3 = 6; with ids 0 none. The layer adds the
  # vectors up, 9.5 and 6, and 0.5; the logit doubles that and adds 0.25.
  network = _network(
    "deepfm",
    (1,),
    linear=[ONE_A_FIELD],
    linear_numeric=[[[1000], [5]]],
    numeric_vectors=[[[1, 0.5], [2, 4]]],
    hidden_0=([[1]] * 8, [0.5]),
    logit=([[2]], [0.25]),
  )
  _check(network, [3110 + 14.5 + 20.25, 5 + 0 + 13.25])


def test_wide_deep_is_a_linear_model_beside_dnn():
  network = _network(
    "wide_deep",
    (2,),
    linear=[ONE_A_FIELD],
    linear_numeric=[[[1000], [5]]],
    **DEEP,
  )
  _check(network, np.add(DEEP_LOGITS, [10 + 100 + 3000, 5]))


def test_pairs_are_those_of_the_double_sum():
  vectors = np.random.RandomState(0).normal(size=[4, 5, 3]).astype(np.float32)
  wanted = [
    sum(v[i] @ v[j] for j in range(5) for i in range(j)) for v in vectors
  ]
  found = blocks.pairwise(tf.constant(vectors))
  np.testing.assert_allclose(found[:, 0], wanted, rtol=1e-5)


@pytest.mark.parametrize("layers", [1, 3])
def test_dcn_has_as_many_crosses_as_wanted(layers):
  model = config.Model(name="dcn", hidden=(2,), cross_layers=layers)
  network = networks.build(model, SCHEMA, seed=0)
  names = [layer.name for layer in network.layers if "cross" in layer.name]
  assert names == [f"cross_{i}" for i in range(layers)]


@pytest.mark.parametrize(
  ("bottom", "widths"), [((), [2]), ((5,), [5, 2]), ((5, 3), [5, 3, 2])]
)
def test_the_bottom_of_dlrm_ends_as_wide_as_an_embedding(bottom, widths):
  model = config.Model(name="dlrm", bottom=bottom, embedding_dim=2)
  network = networks.build(model, SCHEMA, seed=0)
  layers = [x for x in network.layers if x.name.startswith("bottom")]
  assert [layer.units for layer in layers] == widths
