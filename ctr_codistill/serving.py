"""A model as others call it: three signatures over one set of weights.

    serving_default  serialized tf.Example [batch]
    predict          each raw feature by its name, [batch]; integers and strings
    predict_ids      prepared {"numeric", "categorical"}, [batch, features]

All give {"probability", "logit"}, float32 `[batch]`. Only plain variables, no
optimizer, no Python: the module can be written while training goes on
elsewhere.

A feature that a tf.Example lacks is a missing value. So is one that `predict`
is not given: its default has no values, `[0]`, which stand for missing in every
row (`signature.defaults`, which TF Serving fills in).
"""

import inspect
from collections.abc import Callable
from collections.abc import Mapping

import tensorflow as tf
import tf_keras

from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo.lookup import Lookup

_MISSING = {tf.int64: schemas.MISSING_INT64, tf.string: ""}
"""What a missing value is sent as."""


class Servable(tf.Module):
  """A copy of a model's weights with the signatures that serve them."""

  def __init__(
    self,
    model: tf_keras.Model,
    schema: schemas.Schema,
    lookup: Lookup | None = None,
  ):
    """Wraps `model`, which must have been built outside any strategy.

    Without a lookup there is `ids` alone.
    """
    super().__init__(name="servable")
    self._schema = schema
    self.lookup = lookup
    self.weights = list(model.weights)
    # A wrapped function keeps Keras' own objects out of the SavedModel, whose
    # saving would trace every layer again.
    self._logit = _untracked(model)

  def signatures(self) -> dict[str, Callable]:
    """Returns the functions by their names."""
    return {
      "serving_default": self._examples(),
      "predict": self._raw(),
      "predict_ids": self.ids(),
    }

  def _outputs(self, features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    logit = self._logit(features)
    return {"probability": tf.sigmoid(logit), "logit": logit}

  def _from_raw(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    rows = self.lookup(raw, raw)
    numerics = len(self._schema.numeric)
    return self._outputs(
      {"numeric": rows[:, :numerics], "categorical": rows[:, numerics:]}
    )

  def ids(self) -> Callable:
    """Returns the concrete function of `predict_ids`."""
    specs = {
      "numeric": tf.TensorSpec([None, len(self._schema.numeric)], tf.int32),
      "categorical": tf.TensorSpec(
        [None, len(self._schema.categorical)], tf.int32
      ),
    }

    def predict(**features: tf.Tensor) -> dict[str, tf.Tensor]:
      # Who feeds a graph can feed any shape, past that of its placeholder.
      checked = {
        name: tf.ensure_shape(values, specs[name].shape)
        for name, values in features.items()
      }
      return self._outputs(checked)

    return _concrete(predict, specs)

  def _raw(self) -> Callable:
    absent = {
      **{n.name: _no(tf.int64) for n in self._schema.numeric},
      **{c.name: _no(tf.string) for c in self._schema.categorical},
    }

    def predict(*values: tf.Tensor) -> dict[str, tf.Tensor]:
      return self._from_raw(_filled(dict(zip(absent, values))))

    # What saving reads the defaults from.
    predict.__signature__ = inspect.Signature(
      [
        inspect.Parameter(
          name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=value
        )
        for name, value in absent.items()
      ]
    )
    specs = [
      tf.TensorSpec([None], value.dtype, name) for name, value in absent.items()
    ]
    return tf.function(predict, input_signature=specs, autograph=False)

  def _examples(self) -> Callable:
    parsing = {
      **{
        n.name: tf.io.FixedLenFeature([], tf.int64, schemas.MISSING_INT64)
        for n in self._schema.numeric
      },
      **{
        c.name: tf.io.FixedLenFeature([], tf.string, "")
        for c in self._schema.categorical
      },
    }
    return _concrete(
      lambda examples: self._from_raw(tf.io.parse_example(examples, parsing)),
      {"examples": tf.TensorSpec([None], tf.string)},
    )


def _no(dtype: tf.DType) -> tf.Tensor:
  """Returns no values, `[0]`: what a feature is that nobody sent."""
  return tf.constant([], dtype)


def _filled(raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
  """Returns all features `[batch]`; one of no values is missing in each row."""
  raw = {name: tf.ensure_shape(values, [None]) for name, values in raw.items()}
  sizes = tf.stack([tf.size(values) for values in raw.values()])
  rows = tf.reduce_max(sizes)
  fits = tf.reduce_all((sizes == 0) | (sizes == rows))
  check = tf.debugging.Assert(
    fits,
    [
      "all should have one number of rows (or none):",
      list(raw),
      "have",
      sizes,
    ],
    summarize=len(raw),
  )
  with tf.control_dependencies([check]):
    absent = tf.where(sizes == 0, rows, 0)
  return {
    name: tf.concat([values, tf.fill([count], _MISSING[values.dtype])], 0)
    for (name, values), count in zip(raw.items(), tf.unstack(absent))
  }


def _untracked(model: tf_keras.Model) -> Callable:
  return lambda features: model(features, training=False)


def _concrete(
  function: Callable, specs: Mapping[str, tf.TensorSpec]
) -> Callable:
  named = {
    name: tf.TensorSpec(spec.shape, spec.dtype, name)
    for name, spec in specs.items()
  }
  return tf.function(function, autograph=False).get_concrete_function(**named)
