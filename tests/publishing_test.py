"""A write that waits for an event stands for one that takes its time."""

import contextlib
import os
import pathlib
import threading

import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill import snapshots
from ctr_codistill import stamped
from ctr_codistill.codistill import exchange
from ctr_codistill.criteo.lookup import Lookup
from ctr_codistill.errors import InputError
from ctr_codistill.models import networks
from ctr_codistill.models import optimizers
from ctr_codistill.serving import Servable
from ctr_codistill.training.publishing import Publisher
from ctr_codistill.training.publishing import hollow
from ctr_codistill.training.served import Served
from ctr_codistill.training.trainer import Trainer

STOP = 100


@pytest.fixture
def trainer(schema, tiny):
  return Trainer(
    tf.distribute.get_strategy(),
    lambda: networks.build(tiny, schema, seed=1),
    lambda: optimizers.build(config.Optimizer(), steps=20),
    numerics=2,
    batch_size=16,
  )


class _Group:
  """A tiny group that publishes; its writes wait while `go` is not set."""

  def __init__(self, trainer, writer, root, rows, make, decay, skips):
    self.trainer, self.root, self._rows = trainer, root, rows
    self.go, self.told, self.written = threading.Event(), [], []
    self._writer, self.step = writer, 0
    strategy = tf.distribute.get_strategy()
    self.served = Served(trainer.model, strategy, make, decay=decay, every=2)
    self.publish = Publisher(
      self.served.weights,
      self._write,
      lambda step, figures: self.told.append((step, figures)),
      stop=STOP,
      skips=skips,
    )

  def _write(self, step, weights):
    self.go.wait()
    exchange.publish(self._writer, self.root, step, weights, {}, keep=9)
    self.written.append(step)

  def train(self, steps):
    for _ in range(steps):
      rows = tf.constant(self._rows[self.step * 16 :][:16])
      self.trainer.step(rows, self.trainer.no_opinion, 0.0)
      self.step += 1
      if self.served.averages and self.step % 2 == 0:
        self.served.update(self.step)

  def weights(self):
    return [w.numpy() for w in self.served.model.weights]


@pytest.fixture
def make(trainer, writer, tiny, schema, rows, tmp_path):
  """A function: a group with this decay of its average."""
  made = []

  def group(decay=0.0, skips=True):
    copy = lambda: networks.build(tiny, schema, seed=2)  # noqa: E731
    given = trainer, writer, tmp_path / "x", rows, copy, decay, skips
    made.append(_Group(*given))
    return made[-1]

  yield group
  for group in made:
    group.go.set()


def _equal(one, other):
  return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_a_snapshot_is_the_state_at_its_step(make, decay):
  group = make(decay)
  group.train(4)
  wanted = group.weights()
  group.publish(4)
  group.train(4)
  assert not _equal(wanted, group.weights())
  assert stamped.numbers(group.root) == []
  group.go.set()
  group.publish.wait()
  found = snapshots.read(group.root / "4")
  assert found.step == 4
  assert _equal(wanted, found.tensors)


def test_a_step_that_comes_while_one_is_written_is_left_out(make):
  group = make()
  for step in (4, 8, 12):
    group.publish(step)
  group.go.set()
  group.publish.wait()
  assert group.written == [4]
  assert group.told == [
    (8, {"publish/skipped": 1}),
    (12, {"publish/skipped": 2}),
  ]
  group.publish(16)
  group.publish.wait()
  assert stamped.numbers(group.root) == [4, 16]


def test_none_is_left_out_where_peers_count_on_each(make):
  group = make(skips=False)
  group.publish(4)
  threading.Thread(target=group.go.set).start()
  group.publish(8)
  group.publish.wait()
  assert group.written == [4, 8]
  assert group.told == []


def test_the_last_step_is_never_left_out_and_waited_for(make):
  group = make()
  group.publish(4)
  threading.Thread(target=group.go.set).start()
  group.publish(STOP)
  assert group.written == [4, STOP]
  assert stamped.numbers(group.root) == [4, STOP]


def test_a_training_goes_on_without_publishing_and_publishes_again(
  make, full_disk, caplog
):
  caplog.set_level("INFO")
  group = make()
  group.go.set()
  with full_disk(100):
    for step in (4, 8):
      group.publish(step)
      group.publish.wait()
  assert stamped.numbers(group.root) == []
  assert os.listdir(group.root) == []
  group.publish(12)
  group.publish.wait()
  assert stamped.numbers(group.root) == [12]
  assert group.told == [
    (4, {"publish/failed": 1}),
    (8, {"publish/failed": 2}),
  ]
  # Once when it begins, once when it ends.
  first, last = (r.getMessage() for r in caplog.records)
  assert f"without publishing: snapshot {group.root}/4 could not" in first
  assert last == "step 12 is published, as before"


@pytest.mark.parametrize(("skips", "step"), [(True, STOP), (False, 4)])
def test_what_peers_wait_for_is_tried_again(make, full_disk, skips, step):
  """Made up is the time: the disk has room again after the third pause."""
  group, pauses, full = make(skips=skips), [], contextlib.ExitStack()
  group.go.set()
  full.enter_context(full_disk(100))

  def sleep(seconds):
    pauses.append(seconds)
    if len(pauses) == 3:
      full.close()

  group.publish._sleep = sleep
  group.publish(step)
  group.publish.wait()
  assert pauses == [1, 2, 4]
  assert stamped.numbers(group.root) == [step]


@pytest.mark.parametrize(("skips", "step"), [(True, STOP), (False, 4)])
def test_what_can_not_be_written_at_last_is_an_error(
  make, full_disk, skips, step
):
  group, pauses = make(skips=skips), []
  group.publish._sleep = pauses.append
  group.go.set()
  said = f"step {step} could not be written in 6 tries: .*/{step} could not"
  with full_disk(100), pytest.raises(InputError, match=said):
    group.publish(step)
    group.publish.wait()
  assert pauses == [1, 2, 4, 8, 16]


def test_a_hollow_model_makes_the_same_graph(
  schema, tiny, prepared, features, tmp_path
):
  model = networks.build(tiny, schema, seed=1)
  empty = hollow(lambda: networks.build(tiny, schema, seed=1))
  assert [w.shape for w in empty.weights] == [w.shape for w in model.weights]
  module = Servable(empty, schema, Lookup(schema, prepared))
  writer = snapshots.Writer(module, module.signatures(), {}, tmp_path / "t")
  path = writer.write(tmp_path, 1, model.weights, {})
  found = snapshots.Snapshot(path).predict_ids(**features)["logit"]
  assert np.array_equal(found, model(features, training=False))


def _resident():
  """Returns the bytes that this process has in memory."""
  pages = pathlib.Path("/proc/self/statm").read_text().split()[1]
  return int(pages) * 4096


def test_a_hollow_model_takes_no_memory():
  def model():
    variable = tf.Variable(
      lambda: tf.ones([1 << 26]), shape=[1 << 26], dtype=tf.float32
    )
    return [variable]

  before = _resident()
  (variable,) = hollow(model)
  assert variable.shape == [1 << 26]
  # 256 MB, had it been filled.
  assert _resident() - before < 64e6
