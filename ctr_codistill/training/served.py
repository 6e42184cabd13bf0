"""What a group publishes and is judged by: its weights, or their average.

An average over the last steps predicts better than the last step alone and
moves less from one training to the next (Morales-Brotons et al. 2024). It lives
in a copy of the model outside the strategy, so that neither publishing nor
validating asks the other workers; all workers hold equal weights, hence equal
averages.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras


class Served:
  """A plain copy of a model, in step with it or averaging it.

      a_k = m_k a_{k-1} + (1 - m_k) w_k,   m_k = min(decay, (k - 1) / (k + 1))

  with w_k the weights at the k-th update: at first a mean in which later
  weights count more, then an exponential moving average.
  """

  def __init__(
    self,
    model: tf_keras.Model,
    weights: Sequence[tf.Variable],
    *,
    decay: float,
    every: int,
  ):
    """Holds the copy.

    Args:
      model: the copy, built outside any strategy.
      weights: the trained model's, in the order of `model.weights`.
      decay: of the average, in [0, 1); 0 means no average.
      every: steps between updates, at least 1.
    """
    self.model = model
    self._trained, self._decay, self._every = list(weights), decay, every
    self._logit = tf.function(
      lambda features: model(features, training=False), autograph=False
    )

  @property
  def averages(self) -> bool:
    """Whether it must be told of steps by `update`."""
    return self._decay > 0

  def update(self, step: int) -> None:
    """Takes the weights after `step` steps into the average."""
    k = -(-step // self._every)
    keep = min(self._decay, (k - 1) / (k + 1))
    for own, new in zip(self.model.weights, self._trained, strict=True):
      value = new.read_value()
      own.assign(keep * own + (1 - keep) * value if keep else value)

  def refresh(self, step: int) -> None:
    """Makes the copy ready to be published or judged after `step` steps."""
    if not self.averages or step < self._every:
      for own, new in zip(self.model.weights, self._trained, strict=True):
        own.assign(new.read_value())

  def probability(
    self, features: Callable[[tf.Tensor], Mapping[str, tf.Tensor]]
  ) -> Callable[[np.ndarray], np.ndarray]:
    """Returns what maps rows `[batch, columns]` to probabilities `[batch]`.

    Args:
      features: what the model reads of rows.
    """

    def predict(rows: np.ndarray) -> np.ndarray:
      return tf.sigmoid(self._logit(features(tf.constant(rows)))).numpy()

    return predict
