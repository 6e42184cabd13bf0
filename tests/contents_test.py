"""Hashes of variables against those of their bytes."""

import hashlib

import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill.errors import InputError
from ctr_codistill.training import contents

VALUES = [
  np.arange(6, dtype=np.float32).reshape(2, 3),
  np.float32(0.5),
  np.zeros((0, 4), np.float32),
  np.array([1, 2], np.int64),
]


def test_a_hash_is_that_of_the_bytes():
  found = contents.of("abcd", [tf.constant(v) for v in VALUES])
  assert found == tuple(
    (name, hashlib.sha256(value.tobytes()).hexdigest())
    for name, value in zip("abcd", VALUES, strict=True)
  )


def test_a_bit_or_a_name_makes_another_whole():
  tensor = tf.constant([0.0, 1.0])
  wholes = {
    contents.whole(contents.of(["a"], [tensor])),
    contents.whole(contents.of(["b"], [tensor])),
    contents.whole(contents.of(["a"], [tf.constant([-0.0, 1.0])])),
  }
  assert len(wholes) == 3


def test_what_was_left_is_found_by_its_step(tmp_path):
  held = contents.of(["a"], [tf.constant([1.0])])
  assert contents.steps(tmp_path) == []
  for step in (8, 16, 4):
    contents.leave(tmp_path, step, held)
  assert contents.steps(tmp_path) == [4, 8, 16]
  assert contents.read(tmp_path, 16) == held
  with pytest.raises(InputError, match=r"12\.json should hold hashes"):
    contents.read(tmp_path, 12)
