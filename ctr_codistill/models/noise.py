"""Dropout whose rate may change from step to step, and whose noise does not.

The rate is a tensor of the step, so that a course of rates traces nothing
again. The noise is a function of the run's seed, the step, the worker and the
layer's name: a training that goes on from a checkpoint drops the same units as
one that was never broken off, and no two workers drop alike.
"""

import contextlib
import contextvars
import dataclasses
import zlib
from collections.abc import Iterator

import tensorflow as tf
import tf_keras


@dataclasses.dataclass(frozen=True, eq=False)
class Noise:
  """What is dropped in one pass: a share in [0, 1), drawn from a seed.

  `rate` is a float32 scalar, `seed` int32 `[2]`.
  """

  rate: tf.Tensor
  seed: tf.Tensor


_NOISE: contextvars.ContextVar[Noise | None] = contextvars.ContextVar(
  "noise", default=None
)


@contextlib.contextmanager
def dropping(noise: Noise | None) -> Iterator[None]:
  """A context in which the `Dropout` layers of a training pass drop units."""
  token = _NOISE.set(noise)
  try:
    yield
  finally:
    _NOISE.reset(token)


class Dropout(tf_keras.layers.Layer):
  """Drops units within `dropping`, and scales the others up; else nothing.

      x / (1 - rate)  with probability 1 - rate, else 0

  Two layers of one name in a model drop the same units.
  """

  def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
    """Returns x, float of any shape, with units dropped."""
    noise = _NOISE.get()
    if not training or noise is None:
      return x
    own = zlib.crc32(self.name.encode()) & 0x7FFFFFFF
    seed = tf.random.experimental.stateless_fold_in(noise.seed, own)
    keep = tf.random.stateless_uniform(tf.shape(x), seed) >= noise.rate
    scale = tf.cast(1 / (1 - noise.rate), x.dtype)
    return tf.where(keep, x * scale, tf.zeros([], x.dtype))
