"""The course of the learning rates, as a function of the step.

The step is thus all that a checkpoint must hold of it, and a training that was
broken off goes on at exactly the rate that it would have had.
"""

import math
from collections.abc import Callable

import tensorflow as tf

from ctr_codistill import config
from ctr_codistill.errors import InputError


def course(
  optimizer: config.Optimizer, *, steps: int
) -> Callable[[tf.Tensor], tf.Tensor]:
  """Returns the share of its peak that a rate has after t steps, in [0, 1].

      share(t) = min(1, (t + 1) / warmup) decay(x),
      x = (t - warmup) / (steps - warmup), cut to [0, 1]

  with decay 1 (constant), 1 - x (linear), (1 + cos pi x) / 2 (cosine), or
  decay_factor^(number of boundaries <= t) (step).

  Args:
    optimizer: names the course.
    steps: of the whole training.

  Returns:
    A function from t, an integer scalar, to the share, a float64 scalar.

  Raises:
    InputError: the warm-up is as long as the training.
  """
  warmup = optimizer.warmup_steps
  if warmup >= steps:
    raise InputError(
      f"optimizer.warmup_steps should be below the {steps} steps of the "
      f"training, is {warmup}"
    )

  def share(step: tf.Tensor) -> tf.Tensor:
    t = tf.cast(step, tf.float64)
    x = tf.clip_by_value((t - warmup) / (steps - warmup), 0.0, 1.0)
    down = _decay(optimizer, step, x)
    return down * tf.minimum((t + 1) / warmup, 1.0) if warmup else down

  return share


def _decay(
  optimizer: config.Optimizer, step: tf.Tensor, x: tf.Tensor
) -> tf.Tensor:
  if optimizer.decay == "linear":
    return 1 - x
  if optimizer.decay == "cosine":
    return (1 + tf.cos(math.pi * x)) / 2
  if optimizer.decay == "step":
    boundaries = tf.constant(optimizer.decay_boundaries, tf.int64)
    passed = tf.reduce_sum(tf.cast(boundaries <= step, tf.float64))
    return tf.constant(optimizer.decay_factor, tf.float64) ** passed
  return tf.ones_like(x)
