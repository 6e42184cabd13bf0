"""Flips and cuts over every region of every file: found, and passed over."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import damage
import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill import snapshots
from ctr_codistill.codistill.reading import Reader
from ctr_codistill.criteo import records
from ctr_codistill.errors import InputError
from ctr_codistill.models import networks
from ctr_codistill.models import optimizers
from ctr_codistill.snapshots import Graph
from ctr_codistill.training.checkpoints import Checkpoints
from ctr_codistill.training.trainer import Trainer

REGIONS = 12


@pytest.fixture
def random():
  return np.random.RandomState(7)


def test_no_damage_to_a_snapshot_makes_a_teacher(
  publish, servable, random, tmp_path
):
  """The next older one is taken, each time."""
  for step in (10, 20):
    path = publish(tmp_path, step, seed=step)
  graph = Graph(servable.ids(), servable.weights)
  with ThreadPoolExecutor(1) as thread:
    tried = 0
    for said in damage.each(path, random, REGIONS):
      with pytest.raises(InputError):
        snapshots.read(path)
      reader = Reader(tmp_path, thread, graph=graph)
      reader.look(None)
      reader.wait()
      assert reader.ready == 10, said
      tried += 1
    assert tried > 250
    reader = Reader(tmp_path, thread, graph=graph)
    reader.look(None)
    reader.wait()
    assert reader.ready == 20


def test_no_damage_to_a_checkpoint_is_gone_on_from(
  schema, tiny, rows, random, tmp_path, caplog
):
  trainer = Trainer(
    tf.distribute.get_strategy(),
    lambda: networks.build(tiny, schema, seed=1),
    lambda: optimizers.build(config.Optimizer(), steps=20),
    numerics=2,
    batch_size=16,
  )
  trainer.step(tf.constant(rows[:16]), trainer.no_opinion, 0.0)
  checkpoints = Checkpoints(
    tmp_path, keep=2, model=trainer.model, optimizer=trainer.optimizer
  )
  for step in (2, 4):
    checkpoints.save(step)
  for said in damage.each(tmp_path / "4", random, REGIONS * 4):
    caplog.clear()
    assert checkpoints.latest() == 2, said
    (record,) = caplog.records
    assert f"passed over: {tmp_path}/4" in record.getMessage()
  assert checkpoints.latest() == 4


def test_no_damage_to_shards_is_read(prepared, schema, random, tmp_path):
  """What says of the rows where they are may be altered where it says nothing.

  Then the rows are those that were written.
  """
  folder = tmp_path / "train"
  shutil.copytree(prepared / "train", folder)
  wanted = _rows(folder, schema)
  for said in damage.each(folder, random, REGIONS * 4):
    try:
      found = _rows(folder, schema)
    except (InputError, OSError):
      continue
    assert said.startswith(records.MANIFEST), said
    assert np.array_equal(found, wanted), said
  assert np.array_equal(_rows(folder, schema), wanted)


def _rows(folder, schema):
  shards = records.open_shards(folder, schema)
  return np.concatenate(list(records.read_rows(shards)))
