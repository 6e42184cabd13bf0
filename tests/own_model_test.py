import dataclasses
import pathlib
import sys

import numpy as np
import own_models
import pytest
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill.criteo.lookup import Lookup
from ctr_codistill.errors import InputError
from ctr_codistill.models import networks
from ctr_codistill.models import optimizers
from ctr_codistill.models import own
from ctr_codistill.serving import Servable
from ctr_codistill.snapshots import Snapshot
from ctr_codistill.snapshots import Writer
from ctr_codistill.training.trainer import Trainer

ROOT = pathlib.Path(__file__).parents[1]
EXAMPLE = "docs.examples.own_model:two_towers"
GOOD = ["own_models:column", "own_models:loops", "own_models:half", EXAMPLE]
BATCH = 16


@pytest.fixture(autouse=True)
def _current_directory(monkeypatch):
  """What a script started with `python -m` has on its path."""
  monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])


def _build(name, tiny, schema):
  return networks.build(dataclasses.replace(tiny, name=name), schema, seed=3)


@pytest.mark.parametrize("name", GOOD)
def test_logits_are_float32_one_an_example(name, tiny, schema, features):
  for training in (False, True):
    logits = _build(name, tiny, schema)(features, training=training)
    assert (logits.shape, logits.dtype) == ((16,), tf.float32)


def test_logits_are_those_of_the_model_itself(tiny, schema, features):
  found = _build("own_models:column", tiny, schema)(features)
  wanted = own_models.column(tiny, schema, seed=3)(features)
  assert np.array_equal(found, wanted[:, 0])
  assert len(set(found.numpy().tolist())) > 8


def test_a_function_of_tensorflow_in_it_may_loop(tiny, schema, features):
  found = _build("own_models:loops", tiny, schema)(features)
  assert np.array_equal(found, features["categorical"].numpy().sum(axis=1))


@pytest.mark.parametrize("name", GOOD)
def test_it_is_published_and_loaded_as_any_other(
  name, tiny, schema, prepared, features, tmp_path
):
  servable = Servable(
    _build(name, tiny, schema), schema, Lookup(schema, prepared)
  )
  signatures = servable.signatures()
  writer = Writer(servable, signatures, {}, tmp_path / "template")
  snapshot = Snapshot(writer.write(tmp_path, 1, servable.weights, {}))
  found = snapshot.predict_ids(**features)["logit"].numpy()
  wanted = signatures["predict_ids"](**features)["logit"].numpy()
  assert np.array_equal(found, wanted)


def _trainer(name, tiny, schema):
  """Returns a trainer whose tables stand all but still; SGD."""
  optimizer = config.Optimizer(
    name="sgd", learning_rate=0.1, embedding_learning_rate=1e-9
  )
  return Trainer(
    tf.distribute.get_strategy(),
    lambda: _build(name, tiny, schema),
    lambda: optimizers.build(optimizer, steps=100),
    numerics=len(schema.numeric),
    batch_size=BATCH,
  )


@pytest.mark.parametrize("name", ["own_models:column", EXAMPLE])
def test_keras_embeddings_in_it_are_tables(name, tiny, schema, rows):
  trainer = _trainer(name, tiny, schema)
  before = [w.numpy() for w in trainer.model.trainable_variables]
  trainer.step(tf.constant(rows[:BATCH]), trainer.no_opinion, 0.0)
  tables = 0
  for weight, old in zip(trainer.model.trainable_variables, before):
    moved = np.abs(weight.numpy() - old).max()
    if "embedding" in weight.name:
      tables += 1
      assert moved < 1e-8
    else:
      assert moved > 1e-5
  assert tables == (3 if name == EXAMPLE else 1)


def test_losses_of_its_own_count(tiny, schema, rows):
  """Adds 3 x bias^2 / 2 to the loss: the bias, then 1, moves by -0.1 x 3."""
  trainer, batch = (
    _trainer("own_models:column", tiny, schema),
    tf.constant(rows[:BATCH]),
  )
  logits = trainer.model(trainer.features(batch)).numpy()
  label = np.mean(1 / (1 + np.exp(-logits)) - rows[:BATCH, 0])
  trainer.step(batch, trainer.no_opinion, 0.0)
  (bias,) = (w for w in trainer.model.weights if w.name == "bias/bias:0")
  wanted = 1 - 0.1 * label - 0.1 * 3
  np.testing.assert_allclose(bias.numpy(), [wanted], atol=1e-6)


def test_the_loss_that_the_example_adds_counts(tiny, schema, features):
  model = _build(EXAMPLE, tiny, schema)
  with tf.GradientTape() as tape:
    model(features, training=True)
    (loss,) = model.losses
  gradients = tape.gradient(loss, model.trainable_variables)
  assert 0 < float(loss) < 1e-3
  assert sum(g is not None for g in gradients) >= 5


@pytest.mark.parametrize(
  ("name", "said"),
  [
    ("no_such.module:f", r"to import, .*; there is no 'no_such'"),
    ("own_models.inner:f", r"to import, .*; there is no 'own_models\.inner'"),
    ("own_models:missing", r"a function of .*own_models\.py, .* None for 'mi"),
    ("own_models:NOT_A_FUNCTION", "which has 7 for 'NOT_A_FUNCTION'"),
  ],
)
def test_what_is_not_there_is_named(name, said):
  with pytest.raises(
    InputError, match=rf"model\.name '{name}' should .*{said}"
  ):
    own.find(name)


@pytest.mark.parametrize(
  ("name", "said"),
  [
    ("no_model", r"return a tf_keras\.Model .*, returned <function no_model"),
    ("two_columns", r"\[batch\] or \[batch, 1\], returned .*shape=\(None, 2\)"),
    ("integers", r"one float tensor .*, returned .*dtype=int32"),
    ("two_outputs", r"one float tensor .*, returned \{'numeric': "),
  ],
)
def test_a_model_of_another_kind_is_named(name, said, tiny, schema):
  with pytest.raises(InputError, match=f"own_models:{name} should .*{said}"):
    _build(f"own_models:{name}", tiny, schema)


def test_its_own_faults_are_shown_as_they_are(tiny, schema):
  with pytest.raises(RuntimeError, match="the user's own fault"):
    _build("own_models:broken", tiny, schema)
  with pytest.raises(ModuleNotFoundError, match="no_such_package"):
    own.find("own_broken:f")
