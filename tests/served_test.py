import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from ctr_codistill.training.served import Served


def _model(value=0.0):
  """Returns a model with one weight; its logit is weight x input."""
  inputs = tf_keras.Input([1])
  layer = tf_keras.layers.Dense(
    1,
    use_bias=False,
    kernel_initializer=tf_keras.initializers.Constant(value),
  )
  return tf_keras.Model(inputs, tf_keras.layers.Reshape([])(layer(inputs)))


def _served(decay, every=1):
  trained = _model()
  plain = tf.distribute.get_strategy()
  return Served(trained, plain, _model, decay=decay, every=every), trained


def _weight(model):
  return float(model.weights[0].numpy()[0, 0])


def _set(model, value):
  model.weights[0].assign([[value]])


def test_without_an_average_it_is_the_trained_model_itself():
  served, trained = _served(0.0)
  assert not served.averages
  assert served.model is trained
  assert served.state == {}


def test_an_average_is_part_of_a_checkpoint():
  served, trained = _served(0.9)
  assert served.state == {"served": served.model}
  assert served.model is not trained


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_weights_that_were_handed_out_stay_as_they_were(decay):
  served, trained = _served(decay)
  _set(trained, 3.0)
  served.update(1) if decay else None
  (before,) = served.weights(1)
  trained.weights[0].assign_add([[1.0]])
  trained.weights[0].scatter_add(tf.IndexedSlices([[1.0]], [0]))
  served.update(2) if decay else None
  assert before.numpy().tolist() == [[3.0]]
  (after,) = served.weights(2)
  # Of the average: 1/3 x 3 + 2/3 x 5.
  wanted = 5.0 if not decay else 13 / 3
  np.testing.assert_allclose(after, [[wanted]], rtol=1e-6)


def test_an_average_begins_as_a_mean_that_leans_to_the_late():
  # m = 0, 1/3, 1/2: after three updates (1 w_1 + 2 w_2 + 3 w_3) / 6.
  served, trained = _served(0.9)
  for step, value in enumerate([6.0, 12.0, 18.0], start=1):
    _set(trained, value)
    served.update(step)
  assert _weight(served.model) == pytest.approx((6 + 24 + 54) / 6)
  served.refresh(3)
  assert _weight(served.model) == pytest.approx(14)


def test_the_past_weighs_at_most_the_decay():
  served, trained = _served(0.5)
  served.update(1)
  served.update(2)
  _set(trained, 8.0)
  # From the third update on (k - 1) / (k + 1) >= 1/2.
  served.update(3)
  served.update(4)
  assert _weight(served.model) == pytest.approx(6.0)


def test_updates_are_counted_by_steps():
  served, trained = _served(0.9, every=16)
  _set(trained, 6.0)
  served.update(16)
  _set(trained, 12.0)
  served.update(32)
  assert _weight(served.model) == pytest.approx(10.0)
  # A last update at a step between comes as the next: m = 1/2.
  served.update(40)
  assert _weight(served.model) == pytest.approx(11.0)


def test_before_the_first_update_it_is_the_weights():
  served, trained = _served(0.9, every=16)
  _set(trained, 5.0)
  served.refresh(15)
  assert _weight(served.model) == 5.0
  _set(trained, 6.0)
  served.refresh(16)
  assert _weight(served.model) == 5.0


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_probabilities_are_those_of_the_served_weights(decay):
  served, trained = _served(decay)
  _set(trained, 2.0)
  served.update(1) if decay else None
  _set(trained, 2.0 if not decay else 7.0)
  predict = served.probability(lambda rows: tf.cast(rows, tf.float32))
  rows = np.array([[1], [-1]], np.int32)
  # sigmoid(2) = 0.88080.
  np.testing.assert_allclose(predict(rows), [0.8808, 0.1192], atol=1e-4)
