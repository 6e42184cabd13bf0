"""What a group publishes and is judged by: its weights, or their average.

An average over the last steps predicts better than the last step alone and
moves less from one training to the next (Morales-Brotons et al. 2024). It lives
in a copy of the model outside the strategy, on every worker, so that neither
publishing nor validating asks the others: all workers hold equal weights, hence
equal averages. Without an average there is no copy.
"""

from collections.abc import Callable
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tf_keras

from ctr_codistill import tensors


class Served:
  """A trained model as it is, or the average of its weights.

      a_k = m_k a_{k-1} + (1 - m_k) w_k,   m_k = min(decay, (k - 1) / (k + 1))

  with w_k the weights at the k-th update: at first a mean in which later
  weights count more, then an exponential moving average.
  """

  def __init__(
    self,
    trained: tf_keras.Model,
    strategy: tf.distribute.Strategy,
    copy: Callable[[], tf_keras.Model],
    *,
    decay: float,
    every: int,
  ):
    """Makes the copy for the average, if there is one.

    Args:
      trained: the model.
      strategy: the one it is trained in.
      copy: makes another of the same kind, outside the strategy.
      decay: of the average, in [0, 1); 0 means no average.
      every: steps between updates, at least 1.
    """
    self._strategy, self._decay, self._every = strategy, decay, every
    # This worker's own: to read a variable of the group may be a collective.
    self._trained = [
      strategy.experimental_local_results(weight)[0]
      for weight in trained.weights
    ]
    self.model = copy() if decay else trained
    self._mix = tf.function(self._mixed, autograph=False)

  @property
  def averages(self) -> bool:
    """Whether it must be told of steps by `update`."""
    return self._decay > 0

  @property
  def state(self) -> dict[str, tf_keras.Model]:
    """What a checkpoint must hold of it beside the trained model."""
    return {"served": self.model} if self.averages else {}

  def update(self, step: int) -> None:
    """Takes the weights after `step` steps into the average."""
    k = -(-step // self._every)
    keep = min(self._decay, (k - 1) / (k + 1))
    if keep:
      self._mix(tensors.of(1 - keep, np.float32))
    else:
      self._take()

  def refresh(self, step: int) -> None:
    """Makes it ready to be published or judged after `step` steps."""
    if self.averages and step < self._every:
      self._take()

  def weights(self, step: int) -> list[tf.Tensor]:
    """Returns the weights after `step` steps; later ones do not change them.

    A table is copied here; of other weights TensorFlow makes a copy when a step
    is about to change what is held elsewhere.
    """
    self.refresh(step)
    own = self.model.weights if self.averages else self._trained
    return [weight.read_value() for weight in own]

  def probability(
    self, features: Callable[[tf.Tensor], Mapping[str, tf.Tensor]]
  ) -> Callable[[np.ndarray], np.ndarray]:
    """Returns what maps rows `[batch, columns]` to probabilities `[batch]`.

    Args:
      features: what the model reads of rows.
    """

    def replica(rows: tf.Tensor) -> tf.Tensor:
      return tf.sigmoid(self.model(features(rows), training=False))

    run = tf.function(
      lambda rows: self._strategy.run(replica, [rows]), autograph=False
    )
    return lambda rows: run(tensors.of(rows)).numpy()

  def _take(self) -> None:
    for own, new in zip(self.model.weights, self._trained, strict=True):
      own.assign(new.read_value())

  def _mixed(self, share: tf.Tensor) -> None:
    """Moves the average by `share` of the way to the weights.

    In this form TensorFlow needs room for one copy of a table; for a sum of
    two products it took that of four, and twice the time.
    """
    for own, new in zip(self.model.weights, self._trained, strict=True):
      own.assign_sub(tf.cast(share, own.dtype) * (own - new))
