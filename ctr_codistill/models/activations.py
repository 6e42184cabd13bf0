"""Activations of hidden layers, elementwise, with their slopes.

In training both passes of a bent one are compiled: plain operations read and
write the whole batch a dozen times, where ReLU does twice. Everywhere else it
is plain operations, since a snapshot must load where there is no compiler.
"""

import functools
from collections.abc import Callable

import tensorflow as tf
import tf_keras

from ctr_codistill import config


def smelu(x: tf.Tensor, width: float) -> tf.Tensor:
  """Returns SmeLU with b = `width` (Shamir & Lin 2022, arXiv 2202.06499).

      0 for x <= -b,  (x + b)^2 / 4b for |x| <= b,  x for x >= b

  as max(x, -b) + (min(max(x, -b), b) - b)^2 / 4b, which needs no cases.
  """
  edge = tf.constant(width, x.dtype)
  inner = tf.clip_by_value(x, -edge, edge)
  bend = tf.math.squared_difference(inner, edge) * (1 / (4 * width))
  return tf.maximum(x, -edge) + bend


def smelu_slope(x: tf.Tensor, width: float) -> tf.Tensor:
  """Returns the derivative of SmeLU: (x + b) / 2b, cut to [0, 1]."""
  return tf.clip_by_value(x * (1 / (2 * width)) + 0.5, 0.0, 1.0)


def swish(x: tf.Tensor) -> tf.Tensor:
  """Returns x sigmoid(x) (Ramachandran et al. 2017, arXiv 1710.05941)."""
  return x * tf.sigmoid(x)


def swish_slope(x: tf.Tensor) -> tf.Tensor:
  """Returns the derivative of Swish: s + x s (1 - s) with s = sigmoid(x)."""
  s = tf.sigmoid(x)
  return s + x * s * (1 - s)


class Bent(tf_keras.layers.Layer):
  """An activation whose slope is given; fast in training."""

  def __init__(
    self,
    function: Callable[[tf.Tensor], tf.Tensor],
    slope: Callable[[tf.Tensor], tf.Tensor],
    **kwargs: object,
  ):
    """Holds `function` and its derivative `slope`, both elementwise."""
    super().__init__(**kwargs)
    self._function = function
    self._fast = _compiled(function, slope)

  def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
    """Returns the activation of x, of its shape."""
    return self._fast(x) if training else self._function(x)


def layer(model: config.Model, **kwargs: object) -> tf_keras.layers.Layer:
  """Returns the layer of `model.activation`, which is not relu."""
  if model.activation == "swish":
    return Bent(swish, swish_slope, **kwargs)
  width = model.smelu_width
  return Bent(
    functools.partial(smelu, width=width),
    functools.partial(smelu_slope, width=width),
    **kwargs,
  )


def _compiled(function: Callable, slope: Callable) -> Callable:
  """Returns `function`, one kernel forward and one backward.

  The slope comes from x again: kept from the way forward, it would be read
  back at the same cost.
  """
  forward = tf.function(function, jit_compile=True, autograph=False)
  back = tf.function(
    lambda dy, x: dy * slope(x), jit_compile=True, autograph=False
  )

  @tf.custom_gradient
  def call(x: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    return forward(x), lambda dy: back(dy, x)

  return call
