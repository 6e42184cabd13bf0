"""The losses of the papers, of one logit and of softmax heads alike.

With z the student's logits, z_s those of peer s, q = softmax(z_s / T) and
p = softmax(z / T) (of one logit: q = sigmoid(z_s / T) against 1 - q):

    cross_entropy     T^2  sum_c -q_c log p_c               Anil et al. 2018
    kl                T^2  sum_c q_c (log q_c - log p_c)    Sodhani et al. 2021
    squared_logits    mean_c (z_c - z_sc)^2                 Sodhani et al. 2021

KL is KL(peer || student): the other way round a student may be sure where its
peer is not. With T^2 the gradient keeps its size when T grows (Hinton et al.
2015, sec. 2); a squared error has no T of its own.

All work on logarithms, so that they and their gradients hold at any finite
float32 logit: a peer that is sure to 1e-20 loses nothing. No gradient flows
into a peer. What several peers come to is in `column`.
"""

import functools
from collections.abc import Callable

import tensorflow as tf

from ctr_codistill.errors import InputError

Divergence = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""From logits of a peer and of the student, `[batch]` or `[batch, classes]`
each, to a value an example, `[batch]`."""


def log_probabilities(logit: tf.Tensor) -> tf.Tensor:
  """Returns log softmax, `[batch, classes]`; of `[batch]` of yes and no."""
  if logit.shape.rank == 1:
    return tf.math.log_sigmoid(tf.stack([logit, -logit], -1))
  return tf.nn.log_softmax(logit)


def cross_entropy(
  peer: tf.Tensor, logit: tf.Tensor, temperature: float = 1.0
) -> tf.Tensor:
  """Returns T^2 H(q, p) in nats, `[batch]`; its gradient is T (p - q)."""
  q = log_probabilities(tf.stop_gradient(peer) / temperature)
  p = log_probabilities(logit / temperature)
  return -(temperature**2) * tf.reduce_sum(tf.exp(q) * p, -1)


def kl(
  peer: tf.Tensor, logit: tf.Tensor, temperature: float = 1.0
) -> tf.Tensor:
  """Returns T^2 KL(q || p) in nats, `[batch]`; its gradient is T (p - q)."""
  q = log_probabilities(tf.stop_gradient(peer) / temperature)
  p = log_probabilities(logit / temperature)
  return temperature**2 * tf.reduce_sum(tf.exp(q) * (q - p), -1)


def squared_logits(peer: tf.Tensor, logit: tf.Tensor) -> tf.Tensor:
  """Returns (z - z_s)^2, over classes its mean, `[batch]`.

  Its gradient is 2 (z - z_s), over classes divided by their number.
  """
  square = tf.square(logit - tf.stop_gradient(peer))
  return square if square.shape.rank == 1 else tf.reduce_mean(square, -1)


def divergence(name: str, *, temperature: float = 1.0) -> Divergence:
  """Returns the one that `codistill.loss` names.

  Args:
    name: cross_entropy, kl or squared_logits.
    temperature: what logits are divided by, above 0; of no effect on
      squared_logits.

  Raises:
    InputError: there is none of this name.
  """
  if name == "squared_logits":
    return squared_logits
  found = {"cross_entropy": cross_entropy, "kl": kl}
  if name not in found:
    raise InputError(
      "codistill.loss should be one of cross_entropy, kl, squared_logits, is "
      f"{name!r}"
    )
  return functools.partial(found[name], temperature=temperature)


def terms(
  label: tf.Tensor,
  teacher: tf.Tensor,
  logit: tf.Tensor,
  diverge: Divergence = cross_entropy,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """Returns the sums of label and teacher term, and the rows taught, scalars.

      loss = mean_i [ H(y_i, p_i) + w D(c_i, z_i) ]

  (Anil et al. 2018, Algorithm 1: phi and psi). Where the teacher was not asked,
  c is nan and the second term is left out.

  Args:
    label: in [0, 1], float `[batch]`.
    teacher: the column of logits that all peers come to, float `[batch]`; nan
      where there is none.
    logit: the student's, float `[batch]`.
    diverge: D.
  """
  taught = tf.logical_not(tf.math.is_nan(teacher))
  # The gradient of a branch not taken is 0 times it, and nan x 0 is nan.
  target = tf.where(taught, teacher, 0.0)
  term = tf.where(taught, diverge(target, logit), 0.0)
  own = tf.nn.sigmoid_cross_entropy_with_logits(labels=label, logits=logit)
  return (
    tf.reduce_sum(own),
    tf.reduce_sum(term),
    tf.reduce_sum(tf.cast(taught, tf.float32)),
  )
