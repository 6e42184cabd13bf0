import math

import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill.models import activations

WIDTHS = [0.25, 1.0, 2.0]


def _layer(name, width=1.0):
  return activations.layer(config.Model(activation=name, smelu_width=width))


def _passes(layer, x, *, training):
  """Returns the layer of x and its slopes, in a function as in training."""

  @tf.function(autograph=False)
  def both(x):
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = layer(x, training=training)
    return y, tape.gradient(y, x)

  y, slope = both(x)
  return y.numpy(), slope.numpy()


@pytest.mark.parametrize("training", [False, True])
def test_smelu_bends_within_its_width(training):
  # b = 2: (x + 2)^2 / 8 and its slope (x + 2) / 4 within [-2, 2].
  x = [-5.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0]
  y, slope = _passes(_layer("smelu", 2.0), tf.constant(x), training=training)
  assert y.tolist() == [0, 0, 1 / 8, 1 / 2, 9 / 8, 2, 3]
  assert slope[[0, 2, 3, 4, 6]].tolist() == [0, 1 / 4, 1 / 2, 3 / 4, 1]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("training", [False, True])
def test_smelu_is_what_its_three_cases_say(width, training):
  x = np.random.RandomState(0).uniform(-4, 4, [500]).astype(np.float32)
  x = x[np.abs(np.abs(x) - width) > 1e-4]
  y, slope = _passes(_layer("smelu", width), tf.constant(x), training=training)
  cases = [x <= -width, x < width]
  bend = (x + width) ** 2 / (4 * width)
  np.testing.assert_allclose(y, np.select(cases, [0 * x, bend], x), atol=1e-6)
  bend = (x + width) / (2 * width)
  wanted = np.select(cases, [0 * x, bend], 1)
  np.testing.assert_allclose(slope, wanted, atol=1e-6)


@pytest.mark.parametrize("training", [False, True])
def test_swish_is_x_times_its_sigmoid(training):
  x = [-2.0, 0.0, math.log(3)]
  y, slope = _passes(_layer("swish"), tf.constant(x), training=training)
  # s(ln 3) = 3/4; the slope s + x s (1 - s) is 1/2 at 0.
  np.testing.assert_allclose(y[1:], [0, 0.75 * x[2]], atol=1e-6)
  assert y[0] == pytest.approx(-2 / (1 + math.exp(2)), abs=1e-6)
  wanted = [0.5, 0.75 + x[2] * 0.75 * 0.25]
  np.testing.assert_allclose(slope[1:], wanted, atol=1e-6)


@pytest.mark.parametrize("name", ["smelu", "swish"])
@pytest.mark.parametrize("far", [100.0, 1e30])
def test_far_from_0_they_are_relu(name, far):
  for training in (False, True):
    y, slope = _passes(
      _layer(name), tf.constant([-far, far]), training=training
    )
    np.testing.assert_allclose(y, [0, far], atol=1e-30, rtol=1e-6)
    np.testing.assert_allclose(slope, [0, 1], atol=1e-30, rtol=1e-6)


@pytest.mark.parametrize("name", ["smelu", "swish"])
def test_bfloat16_stays_bfloat16(name):
  x = tf.constant([-0.5, 0.5], tf.bfloat16)
  layer = _layer(name)
  wanted = layer(tf.cast(x, tf.float32)).numpy()
  layer = activations.layer(
    config.Model(activation=name), dtype="mixed_bfloat16"
  )
  for training in (False, True):
    found = layer(x, training=training)
    assert found.dtype == tf.bfloat16
    # Eight bits: within 2^-8 of the value.
    np.testing.assert_allclose(tf.cast(found, tf.float32), wanted, rtol=2**-7)
