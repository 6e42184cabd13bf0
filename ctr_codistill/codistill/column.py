"""What several peers come to: one column of logits, whatever the loss.

A loss to the mean prediction of the peers, D(mean_s q_s, p), and the mean of
the losses to each, mean_s D(q_s, p), both have the gradient of D(c, z) with one
column of logits c:

    cross_entropy, kl    mean and each    c = T logit(mean_s softmax(z_s / T))
    squared_logits       mean             the same
    squared_logits       each             c = mean_s z_s

since p - q and z - z_s are linear in the peer; what is left of the value does
not depend on the student. So the step takes a column and knows no peers, and no
loss. The means may be weighted. A column is a logit because a probability in
float32 cannot tell 1 from 1 - 1e-8.
"""

from collections.abc import Callable

import tensorflow as tf

from ctr_codistill.codistill import loss

Reduction = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""From logits of peers `[peers, batch]` (or `[peers, batch, classes]`), nan
where one says nothing, and their shares `[peers]`, to one column of logits."""


def mean_prediction(
  logits: tf.Tensor, shares: tf.Tensor, temperature: float = 1.0
) -> tf.Tensor:
  """Returns T logit(sum_s a_s softmax(z_s / T)), `[batch]` or with classes.

  With a_s the shares of those that say something, of their sum. Of classes the
  logits are logarithms of probabilities, times T.
  """
  there, weights = _heard(logits, shares)
  said = tf.where(there, logits, 0.0) / temperature
  logs = tf.stack([loss.log_probabilities(z) for z in tf.unstack(said)])
  weights = tf.math.log(weights)
  weights = weights[..., None] if weights.shape.rank == 2 else weights
  mean = tf.reduce_logsumexp(logs + weights, 0) * temperature
  found = mean if logits.shape.rank == 3 else mean[:, 0] - mean[:, 1]
  return _silenced(there, found)


def mean_logit(logits: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
  """Returns sum_s a_s z_s, `[batch]` or `[batch, classes]`."""
  there, weights = _heard(logits, shares)
  said = tf.where(there, logits, 0.0)
  return _silenced(there, tf.reduce_sum(said * weights, 0))


def reduction(
  name: str, *, divergence_to: str, temperature: float
) -> Reduction:
  """Returns what peers come to, for `codistill.loss` and its companions."""
  if name == "squared_logits" and divergence_to == "each":
    return mean_logit
  return lambda z, shares: mean_prediction(z, shares, temperature)


def _heard(logits: tf.Tensor, shares: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns who says something, and of each row their shares, of sum 1."""
  there = tf.logical_not(tf.math.is_nan(logits))
  shape = [-1] + [1] * (logits.shape.rank - 1)
  weights = tf.where(there, tf.reshape(shares, shape), 0.0)
  total = tf.reduce_sum(weights, 0, keepdims=True)
  return there, tf.math.divide_no_nan(weights, total)


def _silenced(there: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
  return tf.where(tf.reduce_any(there, 0), found, float("nan"))
