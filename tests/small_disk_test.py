"""A training on a disk that fills, is read-only, or is gone: it goes on."""

import errno
import os
import shutil

import numpy as np
import pytest
import small_disk
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill import snapshots
from ctr_codistill import stamped
from ctr_codistill import sums
from ctr_codistill.codistill import exchange
from ctr_codistill.codistill.teacher import Teacher
from ctr_codistill.errors import InputError
from ctr_codistill.models import networks
from ctr_codistill.models import optimizers
from ctr_codistill.training.checkpoints import Checkpoints
from ctr_codistill.training.journal import Journal
from ctr_codistill.training.publishing import Publisher
from ctr_codistill.training.strategy import Agreement
from ctr_codistill.training.trainer import Trainer

needs_disk = pytest.mark.skipif(
  bool(small_disk.reason()), reason=small_disk.reason()
)


@pytest.fixture
def disk(tmp_path):
  try:
    with small_disk.mounted(tmp_path / "disk", 2) as folder:
      yield folder
  except OSError as error:
    pytest.skip(f"no small disk: {error}")


@pytest.fixture
def publish_on(servable, writer):
  """A function: a publisher of the tiny model, and what it told."""

  def make(root):
    told = []

    def write(step, weights):
      exchange.publish(writer, root, step, weights, {}, keep=2)

    publisher = Publisher(
      lambda step: [w.read_value() for w in servable.weights],
      write,
      lambda step, figures: told.append((step, figures)),
      stop=100,
    )
    return publisher, told

  return make


def _publish(publisher, *steps):
  for step in steps:
    publisher(step)
    publisher.wait()


def _break(fault, disk):
  """Returns what mends it."""
  if fault == "full":
    ballast = small_disk.fill(disk)
    return ballast.unlink
  if fault == "read-only":
    small_disk.remount(disk, "ro")
    return lambda: small_disk.remount(disk, "rw")
  shutil.move(disk / "exchange", disk / "away")
  (disk / "exchange").touch()  # not to be made anew
  return (disk / "exchange").unlink


@needs_disk
@pytest.mark.parametrize("fault", ["full", "read-only", "vanished"])
def test_a_publisher_goes_on_and_publishes_when_it_can(
  disk, publish_on, fault, caplog
):
  caplog.set_level("INFO")
  root = disk / "exchange" / "group-0"
  publisher, told = publish_on(root)
  _publish(publisher, 4, 8)
  mend = _break(fault, disk)
  _publish(publisher, 12, 16, 20)
  assert told == [(12 + 4 * i, {"publish/failed": i + 1}) for i in range(3)]
  mend()
  _publish(publisher, 24, 28)
  assert stamped.numbers(root) == [24, 28]
  assert snapshots.read(root / "28").step == 28
  assert sorted(os.listdir(root)) == ["24", "28"]
  said = [record.getMessage() for record in caplog.records]
  assert len(said) == 2
  assert "training goes on without publishing" in said[0]
  assert said[1] == "step 24 is published, as before"


@needs_disk
@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_peers_keep_the_teacher_that_they_have(
  disk, publish_on, features, fault
):
  root = disk / "exchange" / "group-1"
  publisher, _ = publish_on(root)
  _publish(publisher, 4)
  teacher = Teacher({1: root})
  teacher.look()
  teacher.wait()
  teacher.take(teacher.newer())
  before = teacher(features).numpy()
  mend = _break(fault, disk)
  _publish(publisher, 8)
  teacher.look()
  teacher.wait()
  assert teacher.newer() == [-1]
  assert np.array_equal(teacher(features), before)
  mend()
  _publish(publisher, 12)
  teacher.look()
  teacher.wait()
  assert teacher.newer() == [12]


@pytest.fixture
def checkpoints(schema, tiny):
  """A function: checkpoints below a folder that has room after `tries`."""

  def make(root, mend=lambda: None, pauses=None):
    trainer = Trainer(
      tf.distribute.get_strategy(),
      lambda: networks.build(tiny, schema, seed=1),
      lambda: optimizers.build(config.Optimizer(), steps=20),
      numerics=2,
      batch_size=16,
    )
    pauses = [] if pauses is None else pauses

    def sleep(seconds):
      pauses.append(seconds)
      if len(pauses) == 2:
        mend()

    return Checkpoints(
      root,
      keep=2,
      sleep=sleep,
      model=trainer.model,
      optimizer=trainer.optimizer,
    )

  return make


@needs_disk
@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_a_checkpoint_is_tried_again_and_then_an_error(
  disk, checkpoints, fault
):
  root, pauses = disk / "checkpoints", []
  saved = checkpoints(root, pauses=pauses)
  saved.save(2)
  mend = _break(fault, disk)
  with pytest.raises(
    InputError, match=rf"checkpoint {root}/4 could not be written in 6 tries: "
  ):
    saved.save(4)
  assert pauses == [1, 2, 4, 8, 16]
  assert saved.latest() == 2
  pauses.clear()
  saved = checkpoints(root, mend, pauses)
  saved.save(4)
  assert (pauses, saved.latest()) == ([1, 2], 4)
  assert sorted(os.listdir(root)) == ["2", "4"]


def test_a_torn_checkpoint_of_a_step_is_put_aside_when_it_is_saved_again(
  checkpoints, flip, tmp_path
):
  saved = checkpoints(tmp_path)
  for step in (2, 4):
    saved.save(step)
  flip(next((tmp_path / "4").glob("*.data-*")))
  assert saved.latest() == 2
  saved.save(4)
  assert saved.latest() == 4
  assert sorted(os.listdir(tmp_path)) == ["2", "4", "torn-4"]


def test_what_a_dead_writer_left_of_checkpoints_is_swept(checkpoints, tmp_path):
  for name in (".tmp-4-12345678", "4"):
    (tmp_path / name).mkdir()
  checkpoints(tmp_path).save(6)
  assert os.listdir(tmp_path) == ["6"]


@needs_disk
def test_a_journal_does_without_a_disk(disk, caplog):
  journal = Journal(
    disk / "group-0",
    Agreement(tf.distribute.get_strategy()),
    batch_size=16,
    stop=100,
    clock=lambda: 0.0,
    now=lambda: 1.5e9,
    is_chief=True,
  )
  mend = _break("full", disk)
  for step in range(100):
    journal.scalars(step, {"loss": 0.5})
    journal.note(step=step)
  assert caplog.text.count("training goes on, but writes no progress") == 1
  mend()
  journal.note(step=100)
  journal.close()
  assert '"step": 100' in (disk / "group-0/progress.json").read_text()


def test_an_error_of_the_device_is_not_held_against_a_snapshot(
  publish, tmp_path, monkeypatch, caplog
):
  """Made up is the error, which no disk here gives."""
  for step in (10, 20):
    publish(tmp_path, step, seed=step)
  teacher, read = Teacher({1: tmp_path}), sums.of_file

  def fail(path):
    raise OSError(errno.EIO, "Input/output error", str(path))

  for _ in range(2):
    monkeypatch.setattr(sums, "of_file", fail)
    teacher.look()
    teacher.wait()
    assert teacher.newer() == [-1]
  assert caplog.text.count("the exchange cannot be read") == 1
  monkeypatch.setattr(sums, "of_file", read)
  teacher.look()
  teacher.wait()
  assert teacher.newer() == [20]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_without_permission_a_training_goes_on(publish_on, tmp_path):
  tmp_path.chmod(0o500)
  publisher, told = publish_on(tmp_path / "group-0")
  _publish(publisher, 4)
  tmp_path.chmod(0o700)
  assert told == [(4, {"publish/failed": 1})]
