import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from ctr_codistill import config
from ctr_codistill.models import networks
from ctr_codistill.models import optimizers
from ctr_codistill.models import parts
from ctr_codistill.training.trainer import Trainer

BATCH = 16
QUARTER = float(np.log(0.25 / 0.75))  # the logit of 1/4


@pytest.fixture
def make(schema, tiny):
  """A function that returns a trainer of the tiny model, always the same."""

  def trainer(model=None, **fields):
    return Trainer(
      tf.distribute.get_strategy(),
      model or (lambda: networks.build(tiny, schema, seed=1)),
      lambda: optimizers.build(config.Optimizer(**fields), steps=100),
      numerics=2,
      batch_size=BATCH,
    )

  return trainer


def _batch(rows, step=0):
  return tf.constant(rows[step * BATCH : (step + 1) * BATCH])


def _probability(trainer, batch):
  return tf.sigmoid(trainer.model(trainer.features(batch))).numpy()


def test_features_are_the_columns_behind_the_label(make, rows):
  found = make().features(_batch(rows))
  assert np.array_equal(found["numeric"], rows[:BATCH, 1:3])
  assert np.array_equal(found["categorical"], rows[:BATCH, 3:])


def test_a_step_returns_the_sums_of_both_terms_and_the_logits_before(
  make, rows
):
  trainer, batch = make(), _batch(rows)
  p, y = _probability(trainer, batch), rows[:BATCH, 0]
  opinion = tf.constant([QUARTER] * 12 + [float("nan")] * 4)
  terms, logit = trainer.step(batch, opinion, 0.5)
  # H(y, p) = -ln p or -ln(1 - p); H(1/4, p) = -ln p / 4 - 3 ln(1 - p) / 4.
  label = -np.log(np.where(y, p, 1 - p)).sum()
  teacher = -(0.25 * np.log(p) + 0.75 * np.log(1 - p))[:12].sum()
  np.testing.assert_allclose(terms, [label, teacher, 12], rtol=1e-5)
  np.testing.assert_allclose(tf.sigmoid(logit), p, rtol=1e-5)


def test_a_step_of_sgd_moves_against_the_mean_gradient(make, rows):
  """Follows the bias of the logit, whose gradient is the mean of p - y."""
  trainer, batch = make(name="sgd", learning_rate=0.1), _batch(rows)
  bias = trainer.model.weights[-1]
  before = bias.numpy()
  p, y = _probability(trainer, batch), rows[:BATCH, 0]
  trainer.step(batch, tf.fill([BATCH], QUARTER), 0.5)
  moved = -0.1 * np.mean((p - y) + 0.5 * (p - 0.25))
  np.testing.assert_allclose(bias.numpy() - before, [moved], atol=1e-7)


def test_training_lowers_the_loss(make, rows):
  trainer = make(learning_rate=0.05, embedding_learning_rate=0.2)
  losses = []
  for _ in range(4):
    for step in range(14):
      terms, _ = trainer.step(_batch(rows, step), trainer.no_opinion, 0.0)
      losses.append(float(terms[0]) / BATCH)
  assert np.mean(losses[-14:]) < np.mean(losses[:14]) - 0.05


def test_a_teacher_of_weight_zero_changes_no_bit(make, rows):
  plain, taught = make(), make()
  for step, opinion in enumerate([0.0, 100.0, -0.3, float("nan")]):
    batch = _batch(rows, step)
    plain.step(batch, plain.no_opinion, 0.0)
    taught.step(batch, tf.fill([BATCH], opinion), 0.0)
  for one, other in zip(plain.model.weights, taught.model.weights):
    assert np.array_equal(one.numpy(), other.numpy())


def test_rows_without_an_opinion_learn_from_their_label_alone(make, rows):
  """The bias of the logit follows the mean of p - y, plus p - q where q is."""
  trainer, batch = make(name="sgd", learning_rate=0.1), _batch(rows)
  bias = trainer.model.weights[-1]
  before = bias.numpy()
  p, y = _probability(trainer, batch), rows[:BATCH, 0]
  q = np.where(np.arange(BATCH) % 2, QUARTER, np.nan).astype(np.float32)
  trainer.step(batch, tf.constant(q), 2.0)
  pull = np.where(np.isnan(q), 0, 2.0 * (p - 0.25))
  moved = -0.1 * np.mean((p - y) + pull)
  np.testing.assert_allclose(bias.numpy() - before, [moved], atol=1e-7)


def test_a_teacher_draws_predictions_towards_its_own(make, rows):
  q = np.where(rows[:BATCH, 0], 0.1, 0.9).astype(np.float32)  # against labels
  trainer = make(name="sgd", learning_rate=0.2, embedding_learning_rate=0.2)
  start = trainer.model.get_weights()
  far = []
  for weight in (0.0, 1.0, 10.0):
    trainer.model.set_weights(start)
    for _ in range(30):
      logit = np.log(q / (1 - q))
      trainer.step(_batch(rows), tf.constant(logit), weight)
    far.append(np.abs(_probability(trainer, _batch(rows)) - q).mean())
  assert far[0] > far[1] + 0.05 > far[2] + 0.1


def test_nothing_is_traced_again_for_another_weight_or_teacher(make, rows):
  trainer = make()
  for step, weight in enumerate([0.0, 1, 0.5, 2.0]):
    teacher = tf.random.stateless_uniform([BATCH], [step, 0])
    trainer.step(_batch(rows, step), teacher, weight)
  trainer.step(_batch(rows), trainer.no_opinion, 0.0)
  assert trainer._step.experimental_get_tracing_count() == 1


def test_losses_of_the_model_itself_count(make, schema, rows):
  """Adds 3 x bias^2 / 2 to the loss: the bias, then 1, moves by -0.1 x 3."""

  def model():
    features = parts.inputs(schema)
    joined = tf_keras.layers.Concatenate()(list(features.values()))
    logit = tf_keras.layers.Dense(
      1,
      kernel_initializer="zeros",
      bias_initializer="ones",
      bias_regularizer=tf_keras.regularizers.L2(1.5),
    )(tf_keras.layers.Lambda(lambda x: tf.cast(x, tf.float32) * 0)(joined))
    return tf_keras.Model(features, tf_keras.layers.Reshape([])(logit))

  trainer = make(model, name="sgd", learning_rate=0.1)
  trainer.step(_batch(rows), trainer.no_opinion, 0.0)
  label = np.mean(1 / (1 + np.exp(-1.0)) - rows[:BATCH, 0])
  bias = trainer.model.weights[-1].numpy()[0]
  assert bias == pytest.approx(1 - 0.1 * label - 0.1 * 3, abs=1e-6)
