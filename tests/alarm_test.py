"""Checksums of weights, and what is said of workers that differ."""

import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill.errors import InputError
from ctr_codistill.training import alarm
from ctr_codistill.training.strategy import Agreement


def _sum(value):
  return alarm.checksum(tf.constant(value)).numpy().tolist()


@pytest.mark.parametrize("shape", [(), (3,), (1, 3), (7, 4), (2, 3, 4)])
@pytest.mark.parametrize("kind", [np.float32, np.float16, np.int64])
def test_any_changed_bit_is_seen(shape, kind):
  value = np.random.RandomState(1).uniform(1, 99, shape).astype(kind)
  whole = _sum(value)
  assert whole == _sum(value.copy())
  data = np.frombuffer(value.tobytes(), np.uint8)
  for bit in (0, 7, 11, 8 * len(data) - 1):
    altered = data.copy()
    altered[bit // 8] ^= 1 << bit % 8
    assert _sum(altered.view(kind).reshape(shape)) != whole


def test_numbers_that_change_places_are_seen():
  value = np.arange(6, dtype=np.float32).reshape(3, 2)
  sums = [_sum(value), _sum(value[::-1]), _sum(value[:, ::-1])]
  assert len({tuple(s) for s in sums}) == 3


def test_a_tensor_without_a_number_has_a_sum():
  assert _sum(np.zeros((0, 4), np.float32)) == [0, 0]
  assert _sum(np.zeros((4, 0), np.float32)) == [0, 0]


class _Others(Agreement):
  """Stands for two other workers; the second sends other sums of "b"."""

  def __init__(self):
    self.worker, self.workers = 0, 3

  def sum(self, values):
    table = values.reshape(3, 2, 2).copy()
    table[1:] = table[0]
    table[2, 1, 0] += 1
    return table.ravel()


def test_the_variable_and_the_worker_are_named():
  strategy = tf.distribute.get_strategy()
  weights = [tf.Variable([1.0], name=name) for name in "ab"]
  action = alarm.compare_replicas(weights, strategy, _Others())
  said = (
    "variable b:0 should be the same on all workers after step 8, is another "
    "on worker 2 than on worker 0"
  )
  with pytest.raises(InputError, match=said):
    action(8)
