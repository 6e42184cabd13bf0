import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from ctr_codistill import config
from ctr_codistill.models import rules
from ctr_codistill.models.rules import Move

RATE = 0.1
KINDS = {
  "sgd": {"name": "sgd"},
  "momentum": {"name": "sgd", "momentum": 0.5},
  "adagrad": {"name": "adagrad", "initial_accumulator": 0.64},
  "adam": {"name": "adam", "beta1": 0.5, "beta2": 0.75, "epsilon": 0.5},
  "ftrl": {"name": "ftrl", "initial_accumulator": 0.64},
  "sparse_ftrl": {
    "name": "ftrl",
    "initial_accumulator": 0.64,
    "l1": 0.2,
    "l2": 0.5,
  },
}


def _rule(kind, **fields):
  optimizer = config.Optimizer(**{**KINDS[kind], **fields})
  return rules.build(optimizer.name, optimizer, peak=RATE)


def _rows(ids, values, shape):
  values = np.array(values, np.float32).reshape([-1, *shape[1:]])
  return tf.IndexedSlices(tf.constant(values), tf.constant(ids), shape)


def _moved(rule, start, gradients, rates=None):
  """Returns the variable and its slots after a move by each gradient."""
  w = tf.Variable(np.array(start, np.float32))
  slots = [tf.Variable(initial(w)) for initial in rule.slots.values()]
  for i, gradient in enumerate(gradients):
    sparse = isinstance(gradient, tf.IndexedSlices)
    rate = tf.constant(rates[i] if rates else RATE, tf.float32)
    move = Move(w, slots, gradient, rate, tf.constant(i + 1, tf.float64))
    (rule.sparse if sparse else rule.dense)(move)
  return [v.numpy() for v in (w, *slots)]


# From w = 1, rate 0.1, by the gradients 0.6 and 0.75.
BY_HAND = {
  # 1 - 0.06, - 0.075.
  "sgd": (0.94, 0.865),
  # v = -0.06; v = 0.5 x -0.06 - 0.075 = -0.105.
  "momentum": (0.94, 0.835),
  # n = 0.64 + 0.36 = 1; n = 1 + 0.5625 = 1.25^2: 0.075 / 1.25 = 0.06.
  "adagrad": (0.94, 0.88),
  # m = 0.3, v = 0.09, a = 0.1 x sqrt(0.25) / 0.5 = 0.1: 0.03 / (0.3 + 0.5);
  # m = 0.525, v = 0.208125, a = 0.1 x sqrt(0.4375) / 0.75.
  "adam": (
    0.9625,
    0.9625
    - 0.1 * math.sqrt(0.4375) / 0.75 * 0.525 / (math.sqrt(0.208125) + 0.5),
  ),
  # Adagrad, without regularisation.
  "ftrl": (0.94, 0.88),
  # l1 0.02, l2 0.05; z = -(0.8 + 0.1) - 0.02 = -0.92, + 0.06 - (1 - 0.8) x 1
  # = -1.06: (1.06 - 0.02) / (1 + 0.1) = 1.04 / 1.1; then
  # z = -1.06 + 0.075 - (1.25 - 1) x 1.04 / 1.1, over 1.25 + 0.1.
  "sparse_ftrl": (1.04 / 1.1, (0.985 + 0.26 / 1.1 - 0.02) / 1.35),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 2])
def test_dense_moves_are_those_worked_out(kind, steps):
  gradients = [tf.constant([[0.6]]), tf.constant([[0.75]])]
  found = _moved(_rule(kind), [[1.0]], gradients[:steps])[0]
  assert found[0, 0] == pytest.approx(BY_HAND[kind][steps - 1], rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [[3], [3, 1], [3, 5]])
def test_moves_of_rows_are_those_worked_out(kind, shape):
  gradients = [
    _rows([2, 0], np.repeat([0.6, 0.0], np.prod(shape[1:])), shape),
    _rows([2], np.repeat([0.75], np.prod(shape[1:])), shape),
  ]
  for steps in (1, 2):
    found = _moved(_rule(kind), np.ones(shape), gradients[:steps])[0]
    wanted = np.full(shape[1:], BY_HAND[kind][steps - 1])
    np.testing.assert_allclose(found[2], wanted, rtol=1e-6)
    assert np.array_equal(found[1], np.ones(shape[1:]))  # never named


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_all_named_move_as_a_dense_variable(kind):
  random = np.random.RandomState(1)
  start = random.uniform(-1, 1, [6, 4])
  gradients = random.normal(size=[5, 6, 4]).astype(np.float32)
  order = random.permutation(6)
  dense = _moved(_rule(kind), start, [tf.constant(g) for g in gradients])
  named = [_rows(order, g[order], [6, 4]) for g in gradients]
  sparse = _moved(_rule(kind), start, named)
  for one, other in zip(dense, sparse, strict=True):
    np.testing.assert_allclose(one, other, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("kind", ["sgd", "adagrad", "ftrl", "sparse_ftrl"])
def test_a_row_without_gradient_stays_in_the_dense_rule_too(kind):
  start, gradients = [[1.0], [0.5]], [tf.constant([[0.6], [0.0]])] * 3
  found = _moved(_rule(kind), start, gradients)[0]
  assert found[1, 0] == pytest.approx(0.5, abs=1e-7)
  assert found[0, 0] < 0.95


@pytest.mark.parametrize("kind", ["momentum", "adam"])
def test_moments_of_a_row_wait_where_the_dense_rule_goes_on(kind):
  first, none = tf.constant([[0.6], [0.6]]), tf.constant([[0.6], [0.0]])
  dense = _moved(_rule(kind), [[1.0], [1.0]], [first, none])
  lazy = _moved(
    _rule(kind),
    [[1.0], [1.0]],
    [_rows([0, 1], [0.6, 0.6], [2, 1]), _rows([0], [0.6], [2, 1])],
  )
  one = BY_HAND[kind][0]
  assert lazy[0][1, 0] == pytest.approx(one, rel=1e-6)
  assert dense[0][1, 0] < one - 0.005
  assert abs(dense[1][1, 0]) == pytest.approx(abs(lazy[1][1, 0]) / 2)


KERAS = {
  "sgd": lambda: tf_keras.optimizers.SGD(RATE),
  "momentum": lambda: tf_keras.optimizers.SGD(RATE, momentum=0.5),
  "adagrad": lambda: tf_keras.optimizers.Adagrad(
    RATE, initial_accumulator_value=0.64, epsilon=0.0
  ),
  "adam": lambda: tf_keras.optimizers.Adam(
    RATE, beta_1=0.5, beta_2=0.75, epsilon=0.5
  ),
  "ftrl": lambda: tf_keras.optimizers.Ftrl(
    RATE, initial_accumulator_value=0.64
  ),
  "sparse_ftrl": lambda: tf_keras.optimizers.Ftrl(
    RATE,
    initial_accumulator_value=0.64,
    l1_regularization_strength=0.2,
    l2_regularization_strength=0.5,
  ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_dense_rules_are_those_of_tf_keras(kind):
  # Its FTRL pulls other starts than 0 to 0 at first.
  random = np.random.RandomState(2)
  start = random.uniform(-1, 1, [5, 3]) * (0 if "ftrl" in kind else 1)
  gradients = random.normal(size=[6, 5, 3]).astype(np.float32)
  other = tf.Variable(start.astype(np.float32))
  keras = KERAS[kind]()
  for gradient in gradients:
    keras.apply_gradients([(tf.constant(gradient), other)])
  found = _moved(_rule(kind), start, [tf.constant(g) for g in gradients])[0]
  np.testing.assert_allclose(found, other.numpy(), rtol=1e-5, atol=1e-6)
  assert np.abs(found - start).max() > 0.05


@pytest.mark.parametrize("sparse", [False, True])
def test_ftrl_without_regularisation_is_adagrad_at_any_rates(sparse):
  # A rate that falls would shrink the weights in the usual form.
  random = np.random.RandomState(3)
  start = random.uniform(-1, 1, [4, 2])
  gradients = random.normal(size=[5, 4, 2]).astype(np.float32)
  wrap = (lambda g: _rows([0, 1, 2, 3], g, [4, 2])) if sparse else tf.constant
  found, wanted = (
    _moved(
      _rule(kind), start, list(map(wrap, gradients)), [0.1, 0.1, 0.05, 0.01, 0]
    )
    for kind in ("ftrl", "adagrad")
  )
  np.testing.assert_allclose(found[0], wanted[0], rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(found[1], wanted[1], rtol=1e-6)


@pytest.mark.parametrize("sparse", [False, True])
def test_l1_holds_a_weight_at_zero_until_its_gradients_agree(sparse):
  # z = 0.1 x 0.15 = 0.015 is within 0.02; 0.03 is not.
  rule = _rule("sparse_ftrl")
  one = _rows([0], [0.15], [1, 1]) if sparse else tf.constant([[0.15]])
  assert _moved(rule, [[0.0]], [one])[0][0, 0] == 0
  assert _moved(rule, [[0.0]], [one, one])[0][0, 0] < -0.005
  # And takes a drawn one there: z = -0.0001 x 0.9 - 0.02, + 0.015.
  assert _moved(rule, [[0.0001]], [one])[0][0, 0] == 0


@pytest.mark.parametrize("sparse", [False, True])
def test_a_learning_rate_power_of_zero_makes_ftrl_plain_descent(sparse):
  rule = _rule("ftrl", learning_rate_power=0.0)
  wrap = (lambda g: _rows([0], g, [1, 1])) if sparse else tf.constant
  found = _moved(rule, [[1.0]], [wrap([[0.6]]), wrap([[0.75]])])[0]
  assert found[0, 0] == pytest.approx(BY_HAND["sgd"][1], rel=1e-6)
