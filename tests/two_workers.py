"""One of two workers of a group: trains, agrees and writes what it has.

Two of them, started by two_workers_test with TF_CONFIG, are a real group.

  TF_CONFIG=... python tests/two_workers.py PREPARED CHECKPOINTS OUTPUT.npz
"""

import os
import pathlib
import shutil
import sys

import memory
import numpy as np
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill.codistill.teacher import Teacher
from ctr_codistill.criteo import records
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo.lookup import Lookup
from ctr_codistill.errors import InputError
from ctr_codistill.models import networks
from ctr_codistill.models import optimizers
from ctr_codistill.serving import Servable
from ctr_codistill.snapshots import Writer
from ctr_codistill.training import actions
from ctr_codistill.training import alarm
from ctr_codistill.training import strategy as strategies
from ctr_codistill.training.checkpoints import Checkpoints
from ctr_codistill.training.regularizers import Regularizers
from ctr_codistill.training.strategy import Agreement
from ctr_codistill.training.trainer import Trainer

BATCH = 16  # examples over both workers
STEPS = 6
CHECKPOINT = 4  # steps before it
WEIGHT = 0.7
RULES = {
  "adagrad": {"name": "adagrad"},
  "sgd": {"name": "sgd"},
  "momentum": {"name": "sgd", "momentum": 0.9, "decay": "cosine"},
  "adam": {"name": "adam", "epsilon": 0.1},
  "ftrl": {"name": "ftrl", "l1": 1e-3, "l2": 1e-2},
  "regularized": {"name": "adagrad"},
  "clipped": {"name": "adagrad", "embedding_name": "sgd", "clip_norm": 0.05},
}
VALUES = {
  "regularized": config.Regularization(
    weight_decay="0.5, 3:0.2", embedding_l2=0.1, label_smoothing=0.1
  )
}


def trainer(strategy, prepared, name):
  """Returns a trainer of a tiny model whose batches are of 16 examples."""
  schema = schemas.read(prepared)
  model = config.Model(hidden=(4,), embedding_dim=2, embedding_scale=0.5)
  optimizer = config.Optimizer(
    learning_rate=0.1,
    embedding_learning_rate=0.2,
    initial_accumulator=0.1,
    **RULES[name],
  )
  return Trainer(
    strategy,
    lambda: networks.build(model, schema, seed=1),
    lambda: optimizers.build(optimizer, steps=STEPS),
    numerics=2,
    batch_size=BATCH,
  )


def train(trainer, prepared, name, steps, *, part=0, parts=1):
  """Does the given steps on one of equal parts of each of their batches.

  Returns:
    The sums of the terms of the last step and the rows taught, `[3]`.
  """
  shards = records.open_shards(prepared / "train", schemas.read(prepared))
  rows = np.concatenate(list(records.read_rows(shards)))
  teacher = np.random.RandomState(2).randn(len(rows)).astype(np.float32)
  size = BATCH // parts
  regularization = VALUES.get(name, config.Regularization())
  regularizers = Regularizers(regularization, STEPS, seed=0)
  for step in steps:
    own = slice(step * BATCH + part * size, step * BATCH + (part + 1) * size)
    terms, _ = trainer.step(
      tf.constant(rows[own]),
      tf.constant(teacher[own]),
      WEIGHT,
      regularizers.at(step),
    )
  return terms.numpy()


def weights(trainer):
  """Returns the model's variables one after the other, `[n]`."""
  return np.concatenate([w.numpy().ravel() for w in trainer.model.weights])


def collectives(trainer):
  """Returns the operations of a step that every worker must take part in."""
  graph = trainer._step.get_concrete_function(
    tf.zeros([BATCH // 2, 6], tf.int32),
    trainer.no_opinion,
    tf.constant(0.0),
    {},
  ).graph.as_graph_def()
  nodes = [graph.node, *(f.node_def for f in graph.library.function)]
  kinds = [node.op for part in nodes for node in part]
  return sorted(kind for kind in kinds if kind.startswith("Collective"))


def _group(strategy, prepared, name, index, root):
  """Trains as a worker of the group; the chief leaves a checkpoint."""
  own = trainer(strategy, prepared, name)
  train(own, prepared, name, range(CHECKPOINT), part=index, parts=2)
  if index == 0:
    _checkpoints(root / name, own).save(CHECKPOINT)
  terms = train(
    own, prepared, name, range(CHECKPOINT, STEPS), part=index, parts=2
  )
  return {
    f"{name}/group": weights(own),
    f"{name}/terms": terms,
    f"{name}/collectives": collectives(own),
  }


def _alone(prepared, name):
  own = trainer(tf.distribute.get_strategy(), prepared, name)
  terms = train(own, prepared, name, range(STEPS))
  return {f"{name}/alone": weights(own), f"{name}/alone/terms": terms}


def _resumed(strategy, agreement, prepared, name, index, root):
  """Goes on from the checkpoint, as a group that was started again does."""
  own = trainer(strategy, prepared, name)
  checkpoints = _checkpoints(root / name, own)
  (step,) = agreement.chosen(1, lambda: [checkpoints.latest()])
  checkpoints.restore(step)
  train(own, prepared, name, range(step, STEPS), part=index, parts=2)
  return {f"{name}/resumed": weights(own), f"{name}/resumed/step": step}


def _checkpoints(root, trainer):
  return Checkpoints(
    root, keep=2, model=trainer.model, optimizer=trainer.optimizer
  )


def _agreed(agreement, index):
  def choose():
    if index:
      raise AssertionError("only the chief chooses")
    return [2**52 + 1, -1]

  return {
    "agreement/sum": agreement.sum(np.array([1.0, 10.0**index, 0.1])),
    "agreement/chosen": np.array(agreement.chosen(2, choose)),
  }


def _kept(strategy, agreement, prepared):
  """Returns what a collective and a step, of two of them, keep of a call."""
  own = trainer(strategy, prepared, "adagrad")
  rows = tf.zeros([BATCH // 2, 6], tf.int32)
  before = _threads()
  calls = (
    lambda: agreement.sum(np.zeros(1)),
    lambda: own.step(rows, own.no_opinion, 0.0),
  )
  kept = [memory.kept(call, warm=400, times=60) for call in calls]
  return {"kept/bytes": kept, "kept/threads": _threads() - before}


def _threads():
  return len(os.listdir("/proc/self/task"))


def _peer(prepared, root):
  """Leaves snapshots 10 and 20 of a peer in `root`."""
  schema = schemas.read(prepared)
  model = config.Model(hidden=(4,), embedding_dim=2)
  network = networks.build(model, schema, seed=2)
  module = Servable(network, schema, Lookup(schema, prepared))
  writer = Writer(module, module.signatures(), {}, root / "template")
  for step in (10, 20):
    writer.write(root, step, module.weights, {})


def _taught(agreement, prepared, root, index):
  """Takes over snapshots of a peer whose folder each worker has for itself.

  First only the chief has read snapshot 10, then both have, then the other
  worker finds snapshot 20 torn.
  """
  _peer(prepared, root)
  later = root / "later"
  shutil.move(root / "20", later)
  if index:
    flipped = later / "variables" / "variables.index"
    flipped.write_bytes(flipped.read_bytes()[:-1] + b"x")
  teacher, steps = Teacher({1: root}), []
  look = actions.refresh_teacher(teacher, agreement)
  if index == 0:
    teacher.look()
    teacher.wait()
  for turn in range(4):
    look(turn)
    held = teacher.snapshots.get(1)
    steps.append(held.step if held else -1)
    if turn == 1:
      shutil.move(later, root / "20")
      teacher.look()
    teacher.wait()
  teacher.look()
  teacher.wait()
  return {"teacher/steps": steps, "teacher/left": teacher.newer()}


def _alarmed(strategy, agreement, prepared, index):
  """Returns what both say when one number of worker 1 is another, by a bit."""
  own = trainer(strategy, prepared, "adagrad")
  compare = alarm.compare_replicas(own.model.weights, strategy, agreement)
  compare(0)
  if index:
    kernel = strategy.experimental_local_results(own.model.weights[1])[0]
    value = kernel.numpy()
    value.flat[-1] = np.nextafter(value.flat[-1], np.float32(9))
    kernel.assign(value)
  try:
    compare(5)
  except InputError as error:
    return {
      "alarm/said": str(error),
      "alarm/name": own.model.weights[1].name,
    }
  return {}


def main(prepared, checkpoints, output):
  cluster = strategies.from_tf_config(os.environ["TF_CONFIG"])
  strategy = strategies.start(cluster, threads=1)
  agreement = Agreement(strategy)
  found = _agreed(agreement, cluster.index)
  found |= _kept(strategy, agreement, prepared)
  for name in RULES:
    found |= _group(strategy, prepared, name, cluster.index, checkpoints)
    if cluster.is_chief:
      found |= _alone(prepared, name)
  for name in ("adagrad", "momentum", "adam"):
    found |= _resumed(
      strategy, agreement, prepared, name, cluster.index, checkpoints
    )
  own = output.with_suffix(".peer")
  found |= _taught(agreement, prepared, own, cluster.index)
  found |= _alarmed(strategy, agreement, prepared, cluster.index)
  agreement.wait()
  np.savez(output, **found)


if __name__ == "__main__":
  main(*map(pathlib.Path, sys.argv[1:]))
