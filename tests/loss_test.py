import math

import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill.codistill import loss


def _sigmoid(z):
  return 1 / (1 + np.exp(-np.float64(z)))


def test_cross_entropy_of_worked_out_numbers():
  # z = ln 3 is p = 3/4: -ln 3/4 = 0.28768, -ln 1/4 = 1.38629; their mean.
  logit = tf.constant([math.log(3)] * 3)
  found = loss.cross_entropy(tf.constant([1.0, 0.0, 0.5]), logit)
  np.testing.assert_allclose(found, [0.28768, 1.38629, 0.83699], atol=1e-5)


def test_cross_entropy_is_least_at_the_target():
  target = 0.3
  at = math.log(0.3 / 0.7)
  entropy = -0.3 * math.log(0.3) - 0.7 * math.log(0.7)
  found = loss.cross_entropy(
    tf.constant([target] * 3), tf.constant([at - 0.1, at, at + 0.1])
  ).numpy()
  assert found[1] == pytest.approx(entropy, abs=1e-6)
  assert found[0] > found[1] < found[2]


def test_terms_are_sums_over_the_batch():
  # Both p = 3/4; label term 0.28768 + 1.38629, teacher term 2 x 0.83699.
  label, teacher, taught = loss.terms(
    tf.constant([1.0, 0.0]),
    tf.constant([0.5, 0.5]),
    tf.constant([math.log(3)] * 2),
  )
  assert label.shape == teacher.shape == taught.shape == ()
  assert float(taught) == 2
  assert float(label) == pytest.approx(1.67398, abs=1e-5)
  assert float(teacher) == pytest.approx(1.67398, abs=1e-5)


def test_the_gradient_is_p_minus_y_plus_weighted_p_minus_q():
  z = np.array([-3.0, 0.0, 0.5, 8.0], np.float32)
  y = np.array([0.0, 1.0, 1.0, 0.0], np.float32)
  q = np.array([0.1, 0.9, 0.5, 0.0], np.float32)
  logit = tf.Variable(z)
  with tf.GradientTape() as tape:
    terms = loss.terms(tf.constant(y), tf.constant(q), logit)
    total = terms[0] + 2.5 * terms[1]
  p = _sigmoid(z)
  wanted = (p - y) + 2.5 * (p - q)
  np.testing.assert_allclose(tape.gradient(total, logit), wanted, atol=1e-6)


@pytest.mark.parametrize("z", [-1e4, -100.0, 0.0, 100.0, 1e4])
@pytest.mark.parametrize("target", [0.0, 0.25, 1.0])
def test_extreme_logits_stay_finite(z, target):
  logit = tf.Variable([z])
  with tf.GradientTape() as tape:
    value = loss.cross_entropy(tf.constant([target]), logit)
  # -t log p - (1 - t) log(1 - p), which is |z| (1 - t) or |z| t far out.
  wanted = max(z, 0) - z * target + math.log1p(math.exp(-abs(z)))
  assert value.numpy()[0] == pytest.approx(wanted, rel=1e-6)
  slope = tape.gradient(value, logit).numpy()[0]
  assert slope == pytest.approx(_sigmoid(max(z, -700)) - target, abs=1e-6)


def test_no_gradient_flows_to_the_teacher():
  teacher, logit = tf.Variable([0.3]), tf.Variable([1.0])
  with tf.GradientTape() as tape:
    _, term, _ = loss.terms(
      tf.constant([1.0]), tf.convert_to_tensor(teacher), logit
    )
  assert tape.gradient(term, teacher) is None


@pytest.mark.parametrize("z", [-1e4, 0.0, 1e4])
def test_a_row_without_a_teacher_adds_nothing_but_its_label(z):
  logit = tf.Variable([z, math.log(3)])
  with tf.GradientTape() as tape:
    _, teacher, taught = loss.terms(
      tf.constant([1.0, 1.0]), tf.constant([float("nan"), 0.5]), logit
    )
  # H(1/2, 3/4) = 0.83699, its slope 3/4 - 1/2; the first row has neither.
  assert float(teacher) == pytest.approx(0.83699, abs=1e-5)
  assert float(taught) == 1
  slope = tape.gradient(teacher, logit)
  np.testing.assert_allclose(slope, [0, 0.25], atol=1e-6)
