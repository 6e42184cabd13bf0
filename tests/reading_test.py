"""A thread that is kept busy stands for a read that takes its time."""

import contextlib
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ctr_codistill import stamped
from ctr_codistill.codistill.reading import Reader
from ctr_codistill.models import networks
from ctr_codistill.serving import Servable
from ctr_codistill.snapshots import Snapshot
from ctr_codistill.snapshots import Weights
from ctr_codistill.snapshots import Writer


@pytest.fixture
def thread():
  with ThreadPoolExecutor(1) as executor:
    yield executor


@pytest.fixture
def reader(thread, tmp_path):
  return Reader(tmp_path, thread)


@contextlib.contextmanager
def _busy(thread):
  """Keeps `thread` from reading."""
  go = threading.Event()
  thread.submit(go.wait)
  try:
    yield
  finally:
    go.set()


def _look(reader, used=None):
  reader.look(used)
  reader.wait()
  return reader.ready


def _probability(snapshot, features):
  return snapshot.predict_ids(**features)["probability"].numpy()


def test_what_is_being_read_is_not_ready(reader, thread, publish, tmp_path):
  publish(tmp_path, 10, seed=1)
  with _busy(thread):
    reader.look(None)
    assert reader.ready == -1
    assert reader.has(10, None) is None
  reader.wait()
  assert reader.ready == 10
  assert reader.has(10, None) is True


def test_the_first_is_a_snapshot_and_the_next_are_weights_for_it(
  reader, publish, features, tmp_path
):
  one, other = (publish(tmp_path, s, seed=s) for s in (10, 20))
  stamped.delete(other)
  assert _look(reader) == 10
  used = reader.take().content
  assert isinstance(used, Snapshot)
  wanted = _probability(used, features)
  assert np.array_equal(wanted, _probability(Snapshot(one), features))
  path = publish(tmp_path, 20, seed=3)
  assert _look(reader, used) == 20
  content = reader.take().content
  assert isinstance(content, Weights)
  assert np.array_equal(wanted, _probability(used, features))
  used.swap(content)
  wanted = _probability(Snapshot(path), features)
  assert np.array_equal(wanted, _probability(used, features))


def test_weights_of_another_graph_come_with_it(
  reader, publish, servable, schema, tiny, tmp_path
):
  publish(tmp_path, 10, seed=1)
  _look(reader)
  used = reader.take().content
  wide = type(tiny)(**{**vars(tiny), "hidden": (5,)})
  module = Servable(
    networks.build(wide, schema, seed=1), schema, servable.lookup
  )
  writer = Writer(module, module.signatures(), {}, tmp_path / "template")
  writer.write(tmp_path, 20, module.weights, {})
  assert _look(reader, used) == 20
  assert isinstance(reader.take().content, Snapshot)


def test_what_is_ready_stays_until_it_is_taken(reader, publish, tmp_path):
  publish(tmp_path, 10, seed=1)
  assert _look(reader) == 10
  publish(tmp_path, 20, seed=2)
  assert _look(reader) == 10
  used = reader.take().content
  assert reader.ready == -1
  assert _look(reader, used) == 20


def test_the_one_that_is_asked_for_is_read_instead(reader, publish, tmp_path):
  for step in (10, 20):
    publish(tmp_path, step, seed=step)
  assert _look(reader) == 20
  assert reader.has(10, None) is None
  reader.wait()
  assert (reader.has(10, None), reader.ready) == (True, 10)


def test_a_lower_step_counts_once_no_higher_is_left(reader, publish, tmp_path):
  for step in (10, 20):
    publish(tmp_path, step, seed=step)
  _look(reader)
  used = reader.take().content
  assert used.step == 20
  assert _look(reader, used) == -1
  stamped.delete(tmp_path / "20")
  assert _look(reader, used) == 10


def test_a_torn_one_is_passed_over_and_read_once(
  reader, publish, flip, tmp_path, caplog
):
  for step in (10, 20):
    path = publish(tmp_path, step, seed=step)
  flip(path / "variables" / "variables.index")
  (tmp_path / "30").mkdir()
  assert _look(reader) == 10
  used = reader.take().content
  assert _look(reader, used) == -1
  (record,) = caplog.records
  assert "20: variables/variables.index should be" in record.getMessage()
  # What is written in its place later is another.
  stamped.delete(path)
  publish(tmp_path, 20, seed=2)
  assert _look(reader, used) == 20


def test_one_that_its_store_does_not_give_is_tried_again(
  reader, publish, tmp_path, caplog
):
  stamp = publish(tmp_path, 10, seed=1) / stamped.MANIFEST
  kept = stamp.rename(tmp_path / "kept")
  # A regular file whose first byte is a real I/O error.
  stamp.symlink_to("/proc/self/mem")
  assert _look(reader) == -1
  (record,) = caplog.records
  assert "the exchange cannot be read: [Errno 5]" in record.getMessage()
  stamp.unlink()
  kept.rename(stamp)
  assert _look(reader) == 10


def test_a_torn_one_that_is_asked_for_cannot_be_had(
  reader, publish, flip, tmp_path
):
  flip(publish(tmp_path, 10, seed=1) / "variables" / "variables.index")
  assert reader.has(10, None) is None
  reader.wait()
  assert (reader.has(10, None), reader.ready) == (False, -1)
  assert "10: variables/variables.index should be" in reader.take().error


def test_one_that_its_owner_deletes_meanwhile_cannot_be_had(
  reader, thread, publish, tmp_path
):
  path = publish(tmp_path, 10, seed=1)
  with _busy(thread):
    reader.has(10, None)
    shutil.rmtree(path)
  reader.wait()
  assert reader.has(10, None) is False
  assert _look(reader) == -1


def test_a_refused_one_is_passed_over(reader, publish, tmp_path):
  for step in (10, 20):
    publish(tmp_path, step, seed=step)
  assert _look(reader) == 20
  reader.refuse(20)
  assert reader.ready == -1
  assert _look(reader) == 10
