import functools
import math

import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill.codistill import column
from ctr_codistill.codistill import loss
from ctr_codistill.errors import InputError

LOG3 = math.log(3)  # the logit of 3/4
LOSSES = ("cross_entropy", "kl", "squared_logits")
EXTREMES = [-1e4, -100.0, -20.0, 0.0, 20.0, 100.0, 1e4]


def _gradient(function, logit):
  """Returns values and slopes of a function of logits, `[n]` each."""
  variable = tf.Variable(np.asarray(logit, np.float32))
  with tf.GradientTape() as tape:
    values = function(tf.convert_to_tensor(variable))
  return values.numpy(), tape.gradient(values, variable).numpy()


def _softplus(x):
  return max(x, 0) + math.log1p(math.exp(-abs(x)))


def test_cross_entropy_of_worked_out_numbers():
  # p = 3/4 against q = 3/4, 1/4, 1/2: q ln(4/3) + (1 - q) ln 4.
  found, slope = _gradient(
    lambda z: loss.cross_entropy(tf.constant([LOG3, -LOG3, 0.0]), z), [LOG3] * 3
  )
  np.testing.assert_allclose(found, [0.56234, 1.11164, 0.83699], atol=1e-5)
  np.testing.assert_allclose(slope, [0, 0.5, 0.25], atol=1e-6)  # p - q


def test_kl_is_from_the_peer_to_the_student():
  # q = 1/2, p = 3/4: ln(1/2 / 3/4) / 2 + ln(1/2 / 1/4) / 2 = ln(4/3) / 2. The
  # other way round it would be 0.13081.
  found, slope = _gradient(lambda z: loss.kl(tf.constant([0.0]), z), [LOG3])
  np.testing.assert_allclose(found, [math.log(4 / 3) / 2], atol=1e-6)
  np.testing.assert_allclose(slope, [0.25], atol=1e-6)
  same, slope = _gradient(lambda z: loss.kl(tf.constant([LOG3]), z), [LOG3])
  np.testing.assert_allclose([*same, *slope], 0, atol=1e-7)


def test_squared_logits_of_worked_out_numbers():
  found, slope = _gradient(
    lambda z: loss.squared_logits(tf.constant([1.0, -2.0]), z), [3.0, -2.5]
  )
  np.testing.assert_allclose(found, [4, 0.25])
  np.testing.assert_allclose(slope, [4, -1])


@pytest.mark.parametrize("name", ["cross_entropy", "kl"])
def test_temperature_softens_both_and_its_square_multiplies(name):
  # 2 ln 3 over T = 2 is 3/4, 0 is 1/2; the slope is T (p - q).
  diverge = loss.divergence(name, temperature=2.0)
  found, slope = _gradient(lambda z: diverge(tf.constant([0.0]), z), [2 * LOG3])
  plain = loss.divergence(name)(tf.constant([0.0]), tf.constant([LOG3]))
  np.testing.assert_allclose(found, 4 * plain.numpy(), rtol=1e-6)
  np.testing.assert_allclose(slope, [2 * 0.25], rtol=1e-6)


def test_heads_of_classes_of_worked_out_numbers():
  # q = (1/2, 1/4, 1/4), p = (1/4, 1/4, 1/2).
  q = tf.math.log([[0.5, 0.25, 0.25]])
  z = np.log([[0.25, 0.25, 0.5]]) + 7  # a softmax does not see the 7
  found, slope = _gradient(lambda z: loss.cross_entropy(q, z), z)
  # (1/2 + 1/4) ln 4 + 1/4 ln 2
  np.testing.assert_allclose(found, [1.75 * math.log(2)], rtol=1e-6)
  np.testing.assert_allclose(slope, [[-0.25, 0, 0.25]], atol=1e-6)
  found, slope = _gradient(lambda z: loss.kl(q, z), z)
  # 1/2 ln 2 + 1/4 ln 1/2
  np.testing.assert_allclose(found, [math.log(2) / 4], rtol=1e-5)
  np.testing.assert_allclose(slope, [[-0.25, 0, 0.25]], atol=1e-6)
  found, slope = _gradient(
    lambda z: loss.squared_logits(tf.constant([[1.0, 0.0, 3.0]]), z),
    [[1.0, 2.0, 0.0]],
  )
  np.testing.assert_allclose(found, [13 / 3], rtol=1e-6)
  np.testing.assert_allclose(slope, [[0, 4 / 3, -2]], rtol=1e-6)


def test_a_logit_is_a_head_of_two_classes():
  peer, own = tf.constant([0.3, -2.0]), tf.constant([1.5, 0.2])
  heads = [tf.stack([z, tf.zeros_like(z)], -1) for z in (peer, own)]
  for diverge in (loss.cross_entropy, loss.kl):
    np.testing.assert_allclose(diverge(peer, own), diverge(*heads), rtol=1e-6)


@pytest.mark.parametrize("peer", EXTREMES)
@pytest.mark.parametrize("z", EXTREMES)
def test_extreme_logits_lose_neither_value_nor_gradient(z, peer):
  given = tf.constant([peer])
  q = 1 / (1 + math.exp(-peer)) if peer > -700 else 0.0
  rest = 1 / (1 + math.exp(peer)) if peer < 700 else 0.0
  entropy = q * _softplus(-peer) + rest * _softplus(peer)
  wanted = q * _softplus(-z) + rest * _softplus(z)
  p, not_p = (1 / (1 + math.exp(-x)) if x > -700 else 0.0 for x in (z, -z))
  slope = p - q if max(p, q) < 0.9 else rest - not_p
  for name, value in (("cross_entropy", wanted), ("kl", wanted - entropy)):
    diverge = functools.partial(loss.divergence(name), given)
    found, found_slope = _gradient(diverge, [z])
    np.testing.assert_allclose(found, [value], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found_slope, [slope], rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_extreme_heads_stay_finite(name):
  peers = tf.constant([[1e4, -1e4, 0.0], [100.0, 0.0, -100.0]])
  own = [[-1e4, 1e4, 0.0], [-100.0, 0.0, 100.0]]
  for part in _gradient(lambda z: loss.divergence(name)(peers, z), own):
    assert np.isfinite(part).all()


@pytest.mark.parametrize("name", LOSSES)
def test_no_gradient_flows_to_the_peer(name):
  peer = tf.Variable([0.3])
  with tf.GradientTape() as tape:
    value = loss.divergence(name)(
      tf.convert_to_tensor(peer), tf.constant([1.0])
    )
  assert tape.gradient(value, peer) is None


PEERS = np.array([[2.0, -100.0, 0.5], [-1.0, 3.0, 0.5]], np.float32)
OWN = [0.7, -2.0, 30.0]


@pytest.mark.parametrize("heads", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("to", ["mean", "each"])
@pytest.mark.parametrize("name", LOSSES)
def test_one_column_has_the_gradient_of_all_peers(name, to, temperature, heads):
  peers, own = PEERS, np.array(OWN, np.float32)
  if heads:
    peers = np.stack([PEERS, PEERS[:, ::-1], PEERS * 0], -1)
    own = np.stack([own, own[::-1], own * 0], -1)
  diverge = loss.divergence(name, temperature=temperature)
  reduce = column.reduction(name, divergence_to=to, temperature=temperature)
  one = reduce(tf.constant(peers), tf.ones([2]))
  mean = column.mean_prediction(tf.constant(peers), tf.ones([2]), temperature)
  terms = [mean] if to == "mean" else [tf.constant(peer) for peer in peers]
  _, wanted = _gradient(
    lambda z: tf.add_n([diverge(q, z) for q in terms]) / len(terms), own
  )
  _, found = _gradient(lambda z: diverge(one, z), own)
  np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_the_mean_prediction_of_worked_out_numbers():
  # Of 3/4 and 1/4 it is 1/2; of 1/2 and 3/4 5/8, logit ln(5/3).
  found = column.mean_prediction(
    tf.constant([[LOG3, 0.0, 100.0], [-LOG3, LOG3, -100.0]]), tf.ones([2])
  )
  np.testing.assert_allclose(found, [0, math.log(5 / 3), 0], atol=1e-6)
  # A third of 1/2 and two thirds of 3/4 is 2/3, logit ln 2.
  found = column.mean_prediction(
    tf.constant([[0.0], [LOG3]]), tf.constant([1.0, 2.0])
  )
  np.testing.assert_allclose(found, [math.log(2)], rtol=1e-6)


@pytest.mark.parametrize("reduce", [column.mean_prediction, column.mean_logit])
def test_one_peer_is_handed_on_as_it_is(reduce):
  z = np.array([EXTREMES], np.float32)
  np.testing.assert_allclose(
    reduce(tf.constant(z), tf.ones([1])), z[0], rtol=1e-6
  )


@pytest.mark.parametrize("reduce", [column.mean_prediction, column.mean_logit])
def test_who_says_nothing_has_no_share(reduce):
  nan = float("nan")
  found = reduce(
    tf.constant([[1.5, nan, nan], [1.5, 2.5, nan]]), tf.constant([1.0, 3.0])
  )
  np.testing.assert_allclose(found, [1.5, 2.5, nan], rtol=1e-6)


def test_a_temperature_goes_from_the_mean_prediction_to_the_mean_logit():
  z = tf.constant([[4.0], [0.0]])
  found = [
    float(column.mean_prediction(z, tf.ones([2]), t)[0]) for t in (1, 4, 100.0)
  ]
  p = (1 / (1 + math.exp(-4)) + 0.5) / 2
  assert found[0] == pytest.approx(math.log(p / (1 - p)), rel=1e-5)
  assert found[0] < found[1] < found[2]
  assert found[2] == pytest.approx(2, abs=0.01)


def test_terms_are_sums_over_the_batch():
  # Both p = 3/4; label term 0.28768 + 1.38629, teacher term 2 x 0.83699.
  label, teacher, taught = loss.terms(
    tf.constant([1.0, 0.0]),
    tf.constant([0.0, 0.0]),
    tf.constant([LOG3] * 2),
  )
  assert label.shape == teacher.shape == taught.shape == ()
  assert float(taught) == 2
  assert float(label) == pytest.approx(1.67398, abs=1e-5)
  assert float(teacher) == pytest.approx(1.67398, abs=1e-5)


def test_the_gradient_is_p_minus_y_plus_weighted_p_minus_q():
  z = np.array([-3.0, 0.0, 0.5, 8.0], np.float32)
  y = np.array([0.0, 1.0, 1.0, 0.0], np.float32)
  c = np.array([-2.0, 2.0, 0.0, -50.0], np.float32)

  def total(logit):
    terms = loss.terms(tf.constant(y), tf.constant(c), logit)
    return terms[0] + 2.5 * terms[1]

  p, q = (1 / (1 + np.exp(-np.float64(x))) for x in (z, c))
  _, slope = _gradient(total, z)
  np.testing.assert_allclose(slope, (p - y) + 2.5 * (p - q), atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("z", [-1e4, 0.0, 1e4])
def test_a_row_without_a_teacher_adds_nothing_but_its_label(z, name):
  def taught(logit):
    nan = float("nan")
    return loss.terms(
      tf.constant([1.0, 1.0]),
      tf.constant([nan, 0.0]),
      logit,
      loss.divergence(name),
    )[1]

  _, slope = _gradient(taught, [z, LOG3])
  wanted = 2 * LOG3 if name == "squared_logits" else 0.25
  np.testing.assert_allclose(slope, [0, wanted], rtol=1e-6)


def test_a_divergence_that_there_is_not_is_named():
  with pytest.raises(InputError, match="kl, squared_logits, is 'mse'"):
    loss.divergence("mse")
