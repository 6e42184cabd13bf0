"""Networks: from a config and a feature spec to a `tf_keras` model.

A network takes {"numeric": int32 [batch, numerics], "categorical": int32
[batch, categoricals]} as records hold them (raw integers, ids per feature) and
returns logits, float32 `[batch]`. All feature arithmetic lies inside, so that a
snapshot needs nothing beside its graph.
"""

import tensorflow as tf
import tf_keras

from ctr_codistill import config
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.errors import InputError
from ctr_codistill.models import blocks
from ctr_codistill.models import own
from ctr_codistill.models.parts import Parts


def build(model: config.Model, schema: Schema, *, seed: int) -> tf_keras.Model:
  """Returns the network that `model.name` names, its weights drawn from `seed`.

  The same arguments give the same weights, bit by bit; for a function of the
  user's own that is its own promise.

  Raises:
    InputError: there is no such function, it returns no model for these
      features, or the network cannot be made of them.
  """
  function = {
    "dnn": dnn,
    "dcn": dcn,
    "dlrm": dlrm,
    "deepfm": deepfm,
    "wide_deep": wide_deep,
  }.get(model.name, own.build)
  # TF 2.16 would rewrite the source of tf_keras for layers that are not its
  # own: 10 s for a cross, 30 s for a model of two towers.
  function = tf.autograph.experimental.do_not_convert(function)
  return function(model, schema, seed=seed)


def dnn(model: config.Model, schema: Schema, *, seed: int) -> tf_keras.Model:
  """Embeddings and numerics through dense layers (Anil et al. 2018, sec. 3.2).

  Their Criteo network has hidden layers of 2560, 1024 and 256 ReLU units.
  """
  parts = Parts(model, schema, seed=seed)
  hidden = parts.hidden(parts.joined(), model.hidden)
  return parts.network([parts.logit(hidden)], "dnn")


def dcn(model: config.Model, schema: Schema, *, seed: int) -> tf_keras.Model:
  """Deep & Cross Network V2, parallel (Wang et al. 2021, arXiv 2008.13535).

      x_{l+1} = x_0 * (W_l x_l + b_l) + x_l    (eq. 1)

  `cross_layers` times, beside the layers of `dnn`; both joined before the
  logit (sec. 3.3).
  """
  parts = Parts(model, schema, seed=seed)
  joined = parts.joined()
  crossed = parts.crosses(joined)
  hidden = parts.hidden(joined, model.hidden)
  both = parts.side_by_side([crossed, hidden], "both")
  return parts.network([parts.logit(both)], "dcn")


def dlrm(model: config.Model, schema: Schema, *, seed: int) -> tf_keras.Model:
  """Deep learning recommendation model (Naumov et al. 2019, arXiv 1906.00091).

      v_0 = bottom(numerics),  v_f = embedding of field f
      logit = top([v_0, v_i . v_j for all i > j])    (sec. 2.1)

  The bottom network reads the logarithms; with `numeric=bins` there are none,
  integers are fields as others, and the products stand alone.

  Raises:
    InputError: there are not two vectors to multiply.
  """
  parts = Parts(model, schema, seed=seed)
  vectors = tf.unstack(parts.embedded(), axis=1)
  widths = (*model.bottom, model.embedding_dim)
  bottom = [parts.hidden(x, widths, "bottom") for x in parts.logarithms]
  vectors += bottom
  if len(vectors) < 2:
    raise InputError(
      "dlrm should have 2 vectors to multiply (one a categorical, one a binned "
      f"integer, one for all logarithms), has {len(vectors)}"
    )
  top = parts.side_by_side([*bottom, parts.dots(vectors)], "features")
  hidden = parts.hidden(top, model.hidden)
  return parts.network([parts.logit(hidden)], "dlrm")


def deepfm(model: config.Model, schema: Schema, *, seed: int) -> tf_keras.Model:
  """DeepFM (Guo et al. 2017, arXiv 1703.04247): terms, pairs and layers.

      logit = <w, x> + sum_{i < j} <V_i, V_j> x_i x_j + deep([V_j x_j])

  (eq. 1, 2 and 4) with x_j 1 for the id of a field, and the number itself for
  each column of the logarithms; the deep part reads the same V_j x_j.
  """
  parts = Parts(model, schema, seed=seed)
  vectors = [parts.embedded(), *parts.numeric_vectors()]
  vectors = tf.concat(vectors, 1)
  deep = parts.hidden(parts.flat(vectors, "embedded"), model.hidden)
  terms = [*parts.linear(), blocks.pairwise(vectors), parts.logit(deep)]
  return parts.network(terms, "deepfm")


def wide_deep(
  model: config.Model, schema: Schema, *, seed: int
) -> tf_keras.Model:
  """Wide & Deep (Cheng et al. 2016, arXiv 1606.07792): a linear model beside.

      logit = w_wide . x + w_deep . a + b    (eq. 3)

  with x the ids, one weight each, and the logarithms, and a the last layer of
  `dnn`. There are no products of ids: which ones help, a user of them knows.
  """
  parts = Parts(model, schema, seed=seed)
  hidden = parts.hidden(parts.joined(), model.hidden)
  return parts.network([*parts.linear(), parts.logit(hidden)], "wide_deep")
