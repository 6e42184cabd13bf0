import shutil

import numpy as np
import pytest

from ctr_codistill.codistill import exchange
from ctr_codistill.codistill.teacher import Teacher
from ctr_codistill.errors import InputError
from ctr_codistill.snapshots import Snapshot


def _logit(path, features):
  return Snapshot(path).predict_ids(**features)["logit"].numpy()


def _sigmoid(z):
  return 1 / (1 + np.exp(-np.float64(z)))


def _close(one, other):
  return np.allclose(one, other, rtol=1e-5, atol=1e-6)


def _newer(teacher):
  """Returns what there is to take, once it was read."""
  teacher.look()
  teacher.wait()
  return teacher.newer()


@pytest.fixture
def folders(tmp_path):
  """Of peers 2 and 1, in this order."""
  return {peer: tmp_path / f"group-{peer}" for peer in (2, 1)}


@pytest.fixture
def teacher(folders):
  return Teacher(folders)


def test_without_a_snapshot_there_is_no_opinion(teacher, features):
  assert teacher.peers == (1, 2)
  assert _newer(teacher) == [-1, -1]
  assert teacher.take([-1, -1]) == ["", ""]
  assert teacher.snapshots == {}
  with pytest.raises(InputError, match="teacher should have a snapshot"):
    teacher(features)


def test_the_opinion_is_the_logit_of_the_peers_mean_probability(
  teacher, folders, features, publish
):
  one = publish(folders[1], 10, seed=1)
  other = publish(folders[2], 20, seed=2)
  assert _newer(teacher) == [10, 20]
  assert teacher.take([10, 20]) == ["", ""]
  assert {p: s.step for p, s in teacher.snapshots.items()} == {1: 10, 2: 20}
  p, q = (_sigmoid(_logit(path, features)) for path in (one, other))
  np.testing.assert_allclose(
    _sigmoid(teacher(features)), (p + q) / 2, atol=1e-6
  )
  assert np.abs(p - q).max() > 0.05


def test_a_peer_that_has_not_published_has_no_say(
  teacher, folders, features, publish
):
  path = publish(folders[2], 20, seed=2)
  assert _newer(teacher) == [-1, 20]
  teacher.take([-1, 20])
  assert _close(teacher(features), _logit(path, features))


def test_a_newer_snapshot_changes_the_opinion_and_traces_nothing(
  teacher, folders, features, publish
):
  publish(folders[1], 10, seed=1)
  teacher.take(_newer(teacher))
  teacher(features)
  (function,), snapshot = teacher._functions.values(), teacher.snapshots[1]
  before = teacher(features).numpy()
  path = publish(folders[1], 20, seed=2)
  assert _newer(teacher) == [20, -1]
  # It was read, and is not in use before it is taken.
  assert snapshot.step == 10
  assert np.array_equal(teacher(features), before)
  assert teacher.take([20, -1]) == ["", ""]
  assert _close(teacher(features), _logit(path, features))
  assert list(teacher._functions.values()) == [function]
  assert function.experimental_get_tracing_count() == 1
  assert teacher.snapshots[1] is snapshot and snapshot.step == 20
  assert _newer(teacher) == [-1, -1]


def test_what_was_not_read_ahead_is_read_when_it_is_taken(
  teacher, folders, features, publish
):
  path = publish(folders[1], 10, seed=1)
  publish(folders[1], 20, seed=2)
  assert teacher.newer() == [-1, -1]
  assert teacher.take([10, -1]) == ["", ""]
  assert _close(teacher(features), _logit(path, features))


def test_a_peer_that_was_set_back_is_followed(teacher, folders, publish):
  for step in (10, 20):
    publish(folders[1], step, seed=step)
  teacher.take(_newer(teacher))
  exchange.withdraw(folders[1], newer_than=10)
  assert _newer(teacher) == [10, -1]
  teacher.take([10, -1])
  assert teacher.snapshots[1].step == 10
  assert _newer(teacher) == [-1, -1]


def test_a_torn_snapshot_is_passed_over_for_the_next_older(
  teacher, folders, publish, flip
):
  for step in (10, 20, 30):
    path = publish(folders[1], step, seed=step)
  flip(path / "variables" / "variables.data-00000-of-00001")
  (folders[1] / "40").mkdir()
  assert _newer(teacher) == [20, -1]
  teacher.take([20, -1])
  assert _newer(teacher) == [-1, -1]


def test_what_keeps_a_snapshot_away_is_told_and_the_old_one_stays(
  teacher, folders, features, publish, flip
):
  publish(folders[1], 10, seed=1)
  teacher.take([10, -1])
  before = teacher(features).numpy()
  flip(publish(folders[1], 20, seed=2) / "variables" / "variables.index")
  one, other = teacher.take([20, 99])
  assert "20: variables/variables.index should be" in one
  assert "group-2/99 is no complete directory" in other
  assert teacher.snapshots[1].step == 10
  assert np.array_equal(teacher(features), before)


def test_a_refused_snapshot_is_not_offered_again(teacher, folders, publish):
  for step in (10, 20):
    publish(folders[1], step, seed=step)
  assert _newer(teacher) == [20, -1]
  assert (teacher.has(1, 20), teacher.has(2, 20)) == (True, None)
  teacher.refuse(1, 20)
  assert _newer(teacher) == [10, -1]


def test_a_peer_whose_folder_is_gone_keeps_its_last_say(
  teacher, folders, features, publish
):
  publish(folders[1], 10, seed=1)
  teacher.take(_newer(teacher))
  before = teacher(features).numpy()
  shutil.rmtree(folders[1])
  assert _newer(teacher) == [-1, -1]
  assert np.array_equal(teacher(features), before)
