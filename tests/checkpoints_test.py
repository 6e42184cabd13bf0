import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill.errors import InputError
from ctr_codistill.models import networks
from ctr_codistill.models import optimizers
from ctr_codistill.training.checkpoints import Checkpoints
from ctr_codistill.training.trainer import Trainer

RULES = {
  "adagrad": {"name": "adagrad"},
  "sgd": {"name": "sgd"},
  "momentum": {"name": "sgd", "momentum": 0.5},
  "adam": {"name": "adam"},
  "ftrl": {"name": "ftrl"},
}


def _trainer(schema, model, seed=1, **optimizer):
  optimizer = config.Optimizer(**{"decay": "linear", **optimizer})
  return Trainer(
    tf.distribute.get_strategy(),
    lambda: networks.build(model, schema, seed=seed),
    lambda: optimizers.build(optimizer, steps=20),
    numerics=2,
    batch_size=16,
  )


def _train(trainer, rows, steps):
  for step in steps:
    batch = tf.constant(rows[step * 16 : (step + 1) * 16])
    trainer.step(batch, trainer.no_opinion, 0.0)


def _checkpoints(root, trainer, keep=2):
  return Checkpoints(
    root, keep=keep, model=trainer.model, optimizer=trainer.optimizer
  )


def _state(trainer):
  """Returns all variables: weights, slots, steps of the optimizers."""
  own = trainer.optimizer
  optimizer = [*own.tables.variables, *own.dense.variables]
  return [v.numpy() for v in [*trainer.model.weights, *optimizer]]


def _equal(one, other):
  return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture
def trained(schema, tiny, rows, tmp_path):
  """A trainer after 4 steps, its checkpoints, and checkpoints 2 and 4."""
  trainer = _trainer(schema, tiny)
  checkpoints = _checkpoints(tmp_path, trainer)
  _train(trainer, rows, range(2))
  checkpoints.save(2)
  _train(trainer, rows, range(2, 4))
  checkpoints.save(4)
  return trainer, checkpoints


def test_weights_and_slots_come_back_and_go_on_alike(
  trained, schema, tiny, rows, tmp_path
):
  first, _ = trained
  second = _trainer(schema, tiny, seed=2)
  assert not _equal(_state(first), _state(second))
  checkpoints = _checkpoints(tmp_path, second)
  assert checkpoints.latest() == 4
  checkpoints.restore(4)
  assert _equal(_state(first), _state(second))
  # A table and four others have a slot each; two optimizers count steps.
  assert len(_state(second)) == 5 + 5 + 2
  for trainer in (first, second):
    _train(trainer, rows, range(4, 7))
  assert _equal(_state(first), _state(second))


def test_without_a_checkpoint_the_latest_is_step_0(schema, tiny, tmp_path):
  assert _checkpoints(tmp_path / "none", _trainer(schema, tiny)).latest() == 0


def test_a_torn_checkpoint_is_passed_over(trained, tmp_path, flip):
  trainer, checkpoints = trained
  flip(next((tmp_path / "4").glob("*.data-*")))
  assert checkpoints.latest() == 2
  before = _state(trainer)
  checkpoints.restore(2)
  assert not _equal(before, _state(trainer))


def test_a_half_written_checkpoint_is_passed_over(trained, tmp_path):
  _, checkpoints = trained
  (tmp_path / "6").mkdir()
  (tmp_path / "6" / "state.index").touch()
  assert checkpoints.latest() == 4
  checkpoints.save(6)
  assert checkpoints.latest() == 6


def test_the_newest_are_kept_and_none_is_written_twice(trained, tmp_path):
  _, checkpoints = trained
  before = (tmp_path / "4" / "manifest.json").stat().st_mtime_ns
  checkpoints.save(4)
  assert (tmp_path / "4" / "manifest.json").stat().st_mtime_ns == before
  checkpoints.save(6)
  assert sorted(os.listdir(tmp_path)) == ["4", "6"]


@pytest.mark.parametrize(
  "fields",
  [
    {"hidden": (5,)},
    {"hidden": (4, 4)},
    {"embedding_dim": 3},
    {"numeric": "log"},
  ],
)
def test_a_checkpoint_of_another_model_is_named(schema, tiny, tmp_path, fields):
  other = dataclasses.replace(tiny, **fields)
  _checkpoints(tmp_path, _trainer(schema, other)).save(3)
  checkpoints = _checkpoints(tmp_path, _trainer(schema, tiny))
  with pytest.raises(InputError, match=r"/3 does not fit this model"):
    checkpoints.restore(3)


def test_a_checkpoint_that_lacks_a_part_is_named(schema, tiny, tmp_path):
  trainer = _trainer(schema, tiny)
  Checkpoints(tmp_path, keep=2, model=trainer.model).save(3)
  with pytest.raises(InputError, match=r"/3 does not fit this model"):
    _checkpoints(tmp_path, trainer).restore(3)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
  "course",
  [
    {"decay": "linear", "warmup_steps": 4},
    {"decay": "cosine"},
    {"decay": "step", "decay_boundaries": [3, 5]},
  ],
)
def test_a_training_that_goes_on_has_the_bits_of_an_unbroken_one(
  schema, tiny, rows, tmp_path, rule, course
):
  fields = {**RULES[rule], **course}
  unbroken = _trainer(schema, tiny, **fields)
  _train(unbroken, rows, range(3))
  _checkpoints(tmp_path, unbroken).save(3)
  _train(unbroken, rows, range(3, 7))
  second = _trainer(schema, tiny, seed=2, **fields)
  _checkpoints(tmp_path, second).restore(3)
  _train(second, rows, range(3, 7))
  assert _equal(_state(unbroken), _state(second))


@pytest.mark.parametrize("part", ["name", "embedding_name"])
@pytest.mark.parametrize("saved", RULES)
@pytest.mark.parametrize("wanted", RULES)
def test_the_state_of_one_rule_does_not_fit_another(
  schema, tiny, tmp_path, part, saved, wanted
):
  def checkpoints(rule):
    fields = {**RULES[rule]}
    if part == "embedding_name":
      fields = {**fields, "embedding_name": fields["name"], "name": "adagrad"}
    return _checkpoints(tmp_path, _trainer(schema, tiny, **fields))

  checkpoints(saved).save(3)
  if saved == wanted:
    checkpoints(wanted).restore(3)
    return
  with pytest.raises(InputError, match=r"/3 does not fit this model"):
    checkpoints(wanted).restore(3)
