"""A network of the user's own: `package.module:function` in `model.name`.

It is called as the networks here are, and may be any `tf_keras` or TFRS model:
what lies around it (training, exchange, serving) sees its inputs and its logit.
"""

import importlib
from collections.abc import Callable

import tensorflow as tf
import tf_keras

from ctr_codistill import config
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.errors import InputError
from ctr_codistill.models import parts


def build(model: config.Model, schema: Schema, *, seed: int) -> tf_keras.Model:
  """Returns the model that the user's function makes, with logits `[batch]`.

  Raises:
    InputError: there is no such function, or it returns no model from
      {"numeric", "categorical"} to a float an example.
  """
  found = find(model.name)(model, schema, seed=seed)
  if not isinstance(found, tf_keras.Model):
    raise InputError(
      f"{model.name} should return a tf_keras.Model (TFRS' is one), returned "
      f"{found!r}"
    )
  features = parts.inputs(schema)
  output = found(features)
  _check(model.name, output)
  logits = tf_keras.layers.Reshape([], dtype=tf.float32, name="logits")(output)
  return tf_keras.Model(features, logits)


def find(name: str) -> Callable[..., tf_keras.Model]:
  """Returns the function that `name`, "package.module:function", means.

  Raises:
    InputError: there is no such module, or no such function in it.
  """
  module_name, _, function_name = name.partition(":")
  try:
    module = importlib.import_module(module_name)
  except ModuleNotFoundError as error:
    # One that the module itself imports is not found: its own matter.
    if not f"{module_name}.".startswith(f"{error.name}."):
      raise
    raise InputError(
      f"model.name {name!r} should name a module to import, from the current "
      f"directory or PYTHONPATH; there is no {error.name!r}"
    ) from None
  function = getattr(module, function_name, None)
  if not callable(function):
    raise InputError(
      f"model.name {name!r} should name a function of {module.__file__}, which "
      f"has {function!r} for {function_name!r}"
    )
  return function


def _check(name: str, output: object) -> None:
  """Raises InputError unless `output` is a float an example."""
  shape = getattr(output, "shape", None)
  if shape is not None and output.dtype.is_floating:
    if shape.as_list() in ([None], [None, 1]):
      return
  raise InputError(
    f"the model of {name} should return logits, one float tensor [batch] or "
    f"[batch, 1], returned {output!r}"
  )
