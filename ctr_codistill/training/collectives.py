"""Collectives that a function uses again whenever it is called.

TensorFlow 2.16 makes new ones with every call, and keeps all of them to the end
of the process: 1.9 KB each. It does so for workers that trace at different
times and may then number them otherwise; ours call everything in one order. No
public option asks for it.
"""

from typing import Any

import tensorflow as tf
from tensorflow.python.distribute import cross_device_utils

from ctr_codistill.models import gradient_sums

_MOST = 1 << 20  # blocks of a message, 4 GiB of float32
_LARGEST = (1 << 31) // _MOST  # keys are int32


class _Launcher(cross_device_utils.CollectiveReplicaLauncher):
  """Numbers collectives as they are traced, and by size where that changes.

  A collective that is used again refuses a message of another size. One whose
  size is not known as it is traced is taken to come in whole blocks.
  """

  _blocks: tf.Tensor | None = None

  def all_reduce(self, input_tensor: tf.Tensor, *given: Any) -> tf.Tensor:
    if input_tensor.shape.num_elements() is None:
      self._blocks = tf.size(input_tensor) // gradient_sums.BLOCK
    try:
      return super().all_reduce(input_tensor, *given)
    finally:
      self._blocks = None

  def _next_instance_key(self) -> int | tf.Tensor:
    key = self._collective_keys.get_instance_key(self._group_key, self._device)
    if self._blocks is None:
      return key
    if key >= _LARGEST:
      raise RuntimeError(
        "collectives of changing size should be among the first "
        f"{_LARGEST} that a worker traces, this one is number {key}"
      )
    return key * _MOST + self._blocks


def use_again() -> None:
  """Makes strategies that are made from now on do so."""
  cross_device_utils.CollectiveReplicaLauncher = _Launcher
