import os

import pytest

from ctr_codistill import stamped
from ctr_codistill.codistill import exchange
from ctr_codistill.errors import InputError
from ctr_codistill.errors import PassingError


class _Writer:
  """Writes small directories, and remembers which."""

  key = None

  def __init__(self):
    self.written = []

  def write(self, root, step, weights, facts):
    self.written.append(step)
    return stamped.write(
      root / str(step), lambda d: (d / "x").touch(), {**facts, "step": step}
    )


def test_a_group_has_a_folder_of_snapshots(tmp_path):
  folder = exchange.folder(tmp_path, 3)
  assert folder == tmp_path / "exchange" / "group-3"


def test_there_is_no_latest_at_first(tmp_path):
  assert exchange.latest(tmp_path / "exchange" / "group-0") is None


def test_the_latest_is_the_highest_complete_step(tmp_path):
  writer = _Writer()
  for step in (100, 50, 9):
    exchange.publish(writer, tmp_path, step, [], {}, keep=5)
  (tmp_path / "200").mkdir()
  assert exchange.latest(tmp_path) == 100


def test_the_newest_snapshots_are_kept(tmp_path):
  writer = _Writer()
  for step in (50, 100, 150, 200):
    exchange.publish(writer, tmp_path, step, [], {}, keep=3)
  assert sorted(os.listdir(tmp_path)) == ["100", "150", "200"]


def test_a_snapshot_that_is_there_stays_as_it_is(tmp_path):
  writer = _Writer()
  exchange.publish(writer, tmp_path, 50, [], {"published": 1.0}, keep=3)
  exchange.publish(writer, tmp_path, 50, [], {"published": 2.0}, keep=3)
  assert writer.written == [50]
  assert stamped.verify(tmp_path / "50") == {"published": 1.0, "step": 50}


def test_a_half_written_snapshot_is_written_again(tmp_path):
  (tmp_path / "50").mkdir()
  exchange.publish(_Writer(), tmp_path, 50, [], {}, keep=3)
  assert exchange.latest(tmp_path) == 50


def test_what_is_newer_than_a_checkpoint_is_withdrawn(tmp_path):
  for step in (50, 100, 150):
    exchange.publish(_Writer(), tmp_path, step, [], {}, keep=5)
  (tmp_path / ".tmp-200-1234").mkdir()
  exchange.withdraw(tmp_path, newer_than=100)
  assert sorted(os.listdir(tmp_path)) == ["100", "50"]
  exchange.withdraw(tmp_path, newer_than=0)
  assert exchange.latest(tmp_path) is None
  exchange.withdraw(tmp_path / "none", newer_than=0)


def test_what_a_failed_publication_left_goes_with_the_next(tmp_path):
  # Whoever lost the store could not clean up there.
  (tmp_path / ".tmp-50-1234").mkdir()
  (tmp_path / "60").mkdir()
  exchange.publish(_Writer(), tmp_path, 70, [], {}, keep=3)
  assert os.listdir(tmp_path) == ["70"]


def test_a_group_that_starts_without_its_store_may_start_again(tmp_path):
  root = tmp_path / "exchange"
  root.touch()
  with pytest.raises(PassingError, match=f"cannot be used: .*'{root}'"):
    exchange.withdraw(root, newer_than=0)


def test_a_snapshot_that_cannot_be_written_is_named(
  writer, servable, tmp_path, full_disk
):
  said = rf"snapshot {tmp_path}/50 could not be written: .*File too large"
  with full_disk(100), pytest.raises(InputError, match=said):
    exchange.publish(writer, tmp_path, 50, servable.weights, {}, keep=2)
  assert os.listdir(tmp_path) == []


def test_a_real_model_goes_around(writer, servable, tmp_path):
  facts = {"group": 1}
  exchange.publish(writer, tmp_path, 50, servable.weights, facts, keep=2)
  assert stamped.verify(tmp_path / "50") == {"group": 1, "step": 50}


def test_the_newest_of_each_group_of_a_run_is_found(tmp_path):
  for group, steps in ((0, (50, 100)), (1, (50,))):
    for step in steps:
      root = exchange.folder(tmp_path, group)
      exchange.publish(_Writer(), root, step, [], {}, keep=5)
  own, peers = (exchange.folder(tmp_path, group) for group in (0, 1))
  assert exchange.newest(tmp_path) == [own / "100", peers / "50"]


def test_a_group_without_a_snapshot_is_named(tmp_path):
  with pytest.raises(InputError, match="should have 2 groups or more, has 0"):
    exchange.newest(tmp_path)
  exchange.publish(_Writer(), exchange.folder(tmp_path, 0), 5, [], {}, keep=2)
  exchange.folder(tmp_path, 1).mkdir()
  with pytest.raises(InputError, match="group-1 should have a snapshot"):
    exchange.newest(tmp_path)
