"""The label term and the teacher term of a batch, as sums over its examples.

    loss = mean_i [ H(y_i, p_i) + w H(q_i, p_i) ],   H(t, p) = -t log p
                                                     - (1 - t) log(1 - p)

with y the label, p = sigmoid(logit) the student's probability, q the teacher's
(Anil et al. 2018, Algorithm 1: phi = psi = cross entropy, q the mean of the
peers' predictions). q is data: no gradient flows into it. Where the teacher was
not asked, q is nan and the second term is left out.
"""

import tensorflow as tf


def cross_entropy(target: tf.Tensor, logit: tf.Tensor) -> tf.Tensor:
  """Returns H(target, sigmoid(logit)) in nats, elementwise, `[batch]`.

  As max(z, 0) - z t + log(1 + exp(-|z|)), which neither overflows nor loses the
  gradient sigmoid(z) - t at any finite float32 logit z. `target` is in [0, 1].
  """
  return tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=logit)


def terms(
  label: tf.Tensor, teacher: tf.Tensor, logit: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """Returns the sums of label and teacher term, and the rows taught, scalars.

  Args:
    label: 0 or 1, float `[batch]`.
    teacher: the teacher's probability, in [0, 1], float `[batch]`; nan where it
      has none.
    logit: the student's logit, float `[batch]`.
  """
  taught = tf.logical_not(tf.math.is_nan(teacher))
  # The gradient of a branch not taken is 0 times it, and nan x 0 is nan.
  target = tf.where(taught, tf.stop_gradient(teacher), 0.0)
  term = tf.where(taught, cross_entropy(target, logit), 0.0)
  return (
    tf.reduce_sum(cross_entropy(label, logit)),
    tf.reduce_sum(term),
    tf.reduce_sum(tf.cast(taught, tf.float32)),
  )
