import math
import pathlib
import tomllib

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import pipelines
from ctr_codistill import config
from ctr_codistill.criteo import labels
from ctr_codistill.criteo import records
from ctr_codistill.models import networks
from ctr_codistill.models import noise
from ctr_codistill.models import optimizers
from ctr_codistill.models.blocks import Embedding
from ctr_codistill.models.noise import Noise
from ctr_codistill.training import regularizers
from ctr_codistill.training.regularizers import Regularizers
from ctr_codistill.training.trainer import Trainer

BATCH = 16


def _values(step=0, seed=7, steps=100, **fields):
  found = Regularizers(config.Regularization(**fields), steps, seed)
  return found.at(step)


@pytest.fixture
def make(schema, tiny):
  """A function that returns a trainer of the tiny model, always the same."""

  def trainer(smoothed_to=0.5, **fields):
    fields = {"name": "sgd", "learning_rate": 0.1, **fields}
    fields.setdefault("embedding_learning_rate", 0.2)
    return Trainer(
      tf.distribute.get_strategy(),
      lambda: networks.build(tiny, schema, seed=1),
      lambda: optimizers.build(config.Optimizer(**fields), steps=100),
      numerics=2,
      batch_size=BATCH,
      smoothed_to=smoothed_to,
    )

  return trainer


def _step(trainer, rows, values):
  batch = tf.constant(rows[:BATCH])
  terms, logit = trainer.step(batch, trainer.no_opinion, 0.0, values)
  return terms.numpy(), logit.numpy()


def _by_name(trainer):
  return {w.name: w.numpy() for w in trainer.model.weights}


def test_what_is_always_zero_is_no_value_of_a_step():
  assert _values() == {}
  found = _values(step=50, weight_decay="0.5, 25%:0.25", dropout="0, 60:0.5")
  assert {n: float(v) for n, v in found.items() if n != "noise"} == {
    "weight_decay": 0.25,
    "dropout": 0.0,
  }
  assert found["noise"].numpy().tolist() == [7, 50]


def test_weight_decay_takes_its_share_of_kernels_and_of_nothing_else(
  make, rows
):
  """w <- (1 - rate decay) w, and then the step of the same gradient."""
  plain, decayed = make(), make()
  before = _by_name(plain)
  _step(plain, rows, {})
  _step(decayed, rows, _values(weight_decay=0.5))
  wanted, found = _by_name(plain), _by_name(decayed)
  kernels = [name for name in wanted if "kernel" in name]
  assert len(kernels) == 2
  for name, value in found.items():
    less = 0.1 * 0.5 * before[name] if name in kernels else 0
    np.testing.assert_allclose(value, wanted[name] - less, atol=1e-7)


def test_sparse_l2_is_the_dense_one_of_the_rows_that_were_touched(make, rows):
  """-rate x 0.3 v for each row v of the batch, once, and for no other."""
  plain, pulled = make(), make()
  before = _by_name(plain)
  _step(plain, rows, {})
  _step(pulled, rows, _values(embedding_l2=0.3))
  wanted, found = _by_name(plain), _by_name(pulled)
  (table,) = (name for name in wanted if "table" in name)
  moved = np.any(wanted[table] != before[table], 1)
  assert 0 < moved.sum() < len(moved)
  for name, value in found.items():
    less = 0.2 * 0.3 * before[name] * moved[:, None] if name == table else 0
    np.testing.assert_allclose(value, wanted[name] - less, atol=1e-7)


def test_l2_of_a_row_counts_once_however_often_a_batch_names_it():
  ids = tf_keras.Input([1], dtype=tf.int32)
  rows = Embedding([4], 1, initializer="ones", name="embedding")(ids)
  model = tf_keras.Model(ids, tf_keras.layers.Flatten()(rows))
  optimizer = optimizers.build(
    config.Optimizer(name="sgd", embedding_learning_rate=0.1), steps=4
  )
  optimizer.build(model)
  gradient = tf.IndexedSlices(
    tf.constant([[1.0], [2.0], [0.0]]), tf.constant([1, 1, 3]), [4, 1]
  )
  optimizer.apply(
    [gradient], model.trainable_variables, embedding_l2=tf.constant(0.5)
  )
  # -0.1 (1 + 2 + 0.5) and -0.1 x 0.5.
  found = model.trainable_variables[0].numpy()[:, 0]
  np.testing.assert_allclose(found, [1, 0.65, 1, 0.95], rtol=1e-6)


@pytest.mark.parametrize(("towards", "share"), [(0.5, 0.2), (0.1, 0.4)])
def test_label_smoothing_is_cross_entropy_to_the_mixture(
  make, rows, towards, share
):
  trainer = make(towards)
  terms, logit = _step(trainer, rows, _values(label_smoothing=share))
  p, y = 1 / (1 + np.exp(-logit)), rows[:BATCH, 0]
  target = (1 - share) * y + share * towards
  wanted = -(target * np.log(p) + (1 - target) * np.log(1 - p)).sum()
  assert terms[0] == pytest.approx(wanted, rel=1e-5)


def test_labels_are_drawn_to_a_half_or_to_the_share_of_clicks(
  prepared, schema, rows
):
  shards = records.open_shards(prepared / "train", schema)
  clicks = rows[:, 0].mean()
  assert labels.base_rate(shards) == pytest.approx(clicks)
  for to, share, wanted in (
    ("half", 0.1, 0.5),
    ("base_rate", 0.1, clicks),
    ("base_rate", 0, 0.5),  # not counted where nothing is smoothed
  ):
    fields = {"label_smoothing": share, "label_smoothing_to": to}
    found = Regularizers(config.Regularization(**fields), 10, 0)
    assert found.smoothed_to(shards) == pytest.approx(wanted)


def test_smoothing_of_worked_out_numbers():
  found = regularizers.smoothed(tf.constant([0.0, 1.0]), tf.constant(0.1), 0.2)
  np.testing.assert_allclose(found, [0.02, 0.92], rtol=1e-6)


def _dropped(rate, seed=(1, 2), name="one", training=True):
  layer = noise.Dropout(name=name)
  with noise.dropping(Noise(tf.constant(rate), tf.constant(seed))):
    return layer(tf.ones([100, 100]), training=training).numpy()


def test_dropout_drops_its_share_and_scales_up_the_rest():
  found = _dropped(0.2)
  np.testing.assert_allclose(np.unique(found), [0, 1.25], rtol=1e-6)
  # Of 10,000 draws the share is off by 0.004 in the mean.
  assert (found == 0).mean() == pytest.approx(0.2, abs=0.02)
  assert np.array_equal(_dropped(0.0), np.ones([100, 100]))


def test_what_is_dropped_depends_on_seed_step_and_layer_alone():
  one = _dropped(0.5)
  assert np.array_equal(one, _dropped(0.5))
  for other in (
    _dropped(0.5, seed=(1, 3)),
    _dropped(0.5, seed=(2, 2)),
    _dropped(0.5, name="two"),
  ):
    assert (one == other).mean() == pytest.approx(0.5, abs=0.02)


def test_dropout_is_for_training_alone():
  assert np.array_equal(_dropped(0.5, training=False), np.ones([100, 100]))
  ones = tf.ones([3, 2])
  assert np.array_equal(noise.Dropout(name="x")(ones, training=True), ones)


def test_a_model_drops_at_the_rate_of_the_step(make, rows):
  trainer = make()
  _, plain = _step(make(), rows, {})
  _, none = _step(trainer, rows, _values(dropout="0, 5:0.5"))
  assert np.array_equal(plain, none)
  start = trainer.model.get_weights()
  _, one = _step(trainer, rows, _values(step=5, dropout="0, 5:0.5"))
  trainer.model.set_weights(start)
  _, again = _step(trainer, rows, _values(step=5, dropout="0, 5:0.5"))
  trainer.model.set_weights(start)
  _, other = _step(trainer, rows, _values(step=6, dropout="0, 5:0.5"))
  assert np.array_equal(one, again)
  assert not np.allclose(one, other)


ALL = {
  "weight_decay": "1e-4, 33%:1e-5, 67%:0",
  "embedding_l2": "1e-3, 50%-100%:0",
  "dropout": "0.5, 50%:0.1",
  "label_smoothing": "0.1, 67%:0",
}


def test_courses_change_values_and_trace_nothing_again(make, rows):
  trainer = make()
  for step in (0, 40, 60, 99):
    terms, _ = _step(trainer, rows, _values(step=step, **ALL))
    assert math.isfinite(terms[0])
  assert trainer._step.experimental_get_tracing_count() == 1


def _operations(trainer, values):
  graph = trainer._step.get_concrete_function(
    tf.zeros([BATCH, 6], tf.int32),
    trainer.no_opinion,
    tf.constant(0.0),
    values,
  ).graph.as_graph_def()
  nodes = [graph.node, *(f.node_def for f in graph.library.function)]
  return [node.op for part in nodes for node in part]


def test_without_a_course_the_step_has_no_operation_of_it(make):
  plain, all_of_them = (_operations(make(), v) for v in ({}, _values(**ALL)))
  assert not any("Stateless" in op for op in plain)
  assert "ResourceGather" in plain
  assert plain.count("AssignSubVariableOp") == 0
  assert any("StatelessRandom" in op for op in all_of_them)
  assert all_of_them.count("AssignSubVariableOp") == 2
  assert len(all_of_them) > len(plain) + 10


def test_the_preset_yields_to_nothing_at_two_thirds():
  path = pathlib.Path(pipelines.__file__).parent / "presets" / "yielding.toml"
  fields = tomllib.loads(path.read_text())["experiment"]
  found = Regularizers(config.from_dict(fields).regularization, 90, 0)
  names = ("weight_decay", "embedding_l2", "dropout", "label_smoothing")
  first, second, last = (found.at(step) for step in (0, 30, 61))
  for name in names:
    assert float(second[name]) == pytest.approx(float(first[name]) / 10)
    assert float(last[name]) == 0 < float(first[name])
