import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill.errors import InputError
from ctr_codistill.models import rates


def _shares(fields, steps, at):
  share = rates.course(config.Optimizer(**fields), steps=steps)
  return [float(share(tf.constant(t, tf.int64))) for t in at]


@pytest.mark.parametrize(
  ("fields", "wanted"),
  [
    ({}, [1, 1, 1, 1, 1]),
    # Zero after the 8th step, of which the last was an eighth.
    ({"decay": "linear"}, [1, 0.5, 0.25, 0.125, 0]),
    # cos(pi / 2) = 0, cos(3 pi / 4) = -1 / sqrt(2), cos(7 pi / 8).
    ({"decay": "cosine"}, [1, 0.5, 0.1464466, 0.0380602, 0]),
    (
      {"decay": "step", "decay_boundaries": [4, 7], "decay_factor": 0.5},
      [1, 0.5, 0.5, 0.25, 0.25],
    ),
  ],
)
def test_shares_are_those_worked_out(fields, wanted):
  found = _shares(fields, 8, [0, 4, 6, 7, 8])
  np.testing.assert_allclose(found, wanted, atol=1e-7)


@pytest.mark.parametrize(
  ("fields", "wanted"),
  [
    ({}, [0.25, 0.5, 1, 1, 1, 1]),
    # After four steps of warm-up, 1 to 0 in eight.
    ({"decay": "linear"}, [0.25, 0.5, 1, 1, 0.5, 0.125]),
    ({"decay": "cosine"}, [0.25, 0.5, 1, 1, 0.5, 0.0380602]),
    (
      {"decay": "step", "decay_boundaries": [1, 8], "decay_factor": 0.1},
      [0.25, 0.05, 0.1, 0.1, 0.01, 0.01],
    ),
  ],
)
def test_a_warm_up_rises_to_the_highest_rate(fields, wanted):
  fields = {"warmup_steps": 4, **fields}
  found = _shares(fields, 12, [0, 1, 3, 4, 8, 11])
  np.testing.assert_allclose(found, wanted, atol=1e-7)


@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_beyond_the_last_step_nothing_moves(decay):
  assert _shares({"decay": decay}, 8, [8, 9, 10**9]) == [0, 0, 0]


def test_no_step_is_lost_to_rounding():
  # float32 knows no odd integers above 2^24.
  steps = 2**25
  found = _shares({"decay": "linear"}, steps, [steps - 2, steps - 1])
  assert found == [2 / steps, 1 / steps]


def test_a_warm_up_as_long_as_the_training_is_refused():
  said = "warmup_steps should be below the 8 steps of the training, is 8"
  with pytest.raises(InputError, match=said):
    rates.course(config.Optimizer(warmup_steps=8), steps=8)
