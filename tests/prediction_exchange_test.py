import itertools
import shutil

import numpy as np
import pytest

from ctr_codistill.codistill import prediction_exchange
from ctr_codistill.codistill.prediction_exchange import PredictionExchange
from ctr_codistill.criteo import dataset
from ctr_codistill.criteo import records
from ctr_codistill.criteo.preparing.shard_writer import ShardWriter
from ctr_codistill.criteo.schema import Numeric
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.criteo.share import Share
from ctr_codistill.errors import InputError
from ctr_codistill.keys import Key

SCHEMA = Schema((Numeric("number", 0.0, 1.0, ()),), ())
ROWS, BATCH = 96, 6  # two windows of 48 rows: of 4 parts of 12, two batches


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
  """Rows whose one feature is their number."""
  folder = tmp_path_factory.mktemp("shards")
  number = np.arange(ROWS)
  rows = np.stack([number % 2, number], axis=1).astype(np.int32)
  with ShardWriter(folder, SCHEMA, block_rows=4, shard_rows=12) as writer:
    writer.write(rows)
  return records.open_shards(folder, SCHEMA)


def _share(group, **changes):
  return Share(
    **{"group": group, "groups": 2, "window_rows": 48, "parts": 4, **changes}
  )


class _Group:
  """One worker that predicts of row n the logit (n - 48) / 16 + `own`."""

  def __init__(self, root, shards, group, *, own=0.0, start=0, groups=2):
    share = _share(group, groups=groups, parts=4 if groups == 2 else groups)
    folders = {peer: root / str(peer) for peer in range(groups)}
    self.exchange = PredictionExchange(
      folders.pop(group),
      folders,
      shards,
      share,
      batch_rows=BATCH,
      start_step=start,
    )
    self._rows = dataset.batches(
      shards, share, batch_rows=BATCH, start_step=start
    )
    self._own, self.step = own, start

  def train(self, steps):
    """Returns what was taken in `steps` steps: rows, logits, staleness."""
    found = []
    for _ in range(steps):
      rows = next(self._rows)[:, 1]
      logits, ages = self.exchange.take(self.step)
      self.exchange.leave(self.step, _logit(rows) + self._own)
      said = logits[0] if len(logits) == 1 else logits
      found.append((rows, said, max(ages.values(), default=np.nan)))
      self.step += 1
    return found


def _logit(rows):
  return (rows - 48) / 16


def _together(groups, steps):
  """Trains groups in step; returns what each took."""
  found = [[] for _ in groups]
  for _ in range(steps):
    for group, taken in zip(groups, found):
      taken += group.train(1)
  return found


def test_each_row_is_told_what_its_peer_predicted_for_it(tmp_path, shards):
  groups = [_Group(tmp_path, shards, g, own=g / 4) for g in (0, 1)]
  told = 0
  for taken, peers_own in zip(_together(groups, 16), (0.25, 0.0)):
    for rows, said, _ in taken:
      heard = ~np.isnan(said)
      wanted = _logit(rows) + peers_own
      # Two bytes a logit: half of 2^-10 of it, at most 3 / 2048.
      np.testing.assert_allclose(said[heard], wanted[heard], atol=2e-3)
      told += heard.sum()
  assert told == ROWS  # of 2 x 96: the first to come to a part hears nothing


def test_in_step_each_group_is_taught_in_half_of_its_parts(tmp_path, shards):
  groups = [_Group(tmp_path, shards, g) for g in (0, 1)]
  for taken in _together(groups, 8):
    # A window: parts 0 1 2 3 against 2 3 0 1, each of two batches.
    heard = [not np.isnan(said).any() for _, said, _ in taken]
    assert heard == [False] * 4 + [True] * 4
    # Left after steps 1, 3 (a part ends there), heard from step 4 on.
    assert [age for *_, age in taken[4:]] == [3, 4, 3, 4]


def test_who_runs_ahead_teaches_all_and_waits_for_nobody(tmp_path, shards):
  ahead, behind = (_Group(tmp_path, shards, g) for g in (0, 1))
  assert all(np.isnan(said).all() for _, said, _ in ahead.train(16))
  assert not any(np.isnan(said).any() for _, said, _ in behind.train(16))


def test_three_groups_hear_all_that_were_there_before(tmp_path, shards):
  groups = [
    _Group(tmp_path, shards, g, own=float(g), groups=3) for g in range(3)
  ]
  for group in groups[:2]:
    group.train(16)
  for rows, said, _ in groups[2].train(16):
    z = _logit(rows)
    np.testing.assert_allclose(said, [z, z + 1], atol=3e-3)
  taken = [group.exchange.bytes_taken for group in groups]
  # Two bytes a row, of each group that was there before.
  assert taken == [0, 2 * ROWS, 4 * ROWS]
  assert [group.exchange.bytes_left for group in groups] == [2 * ROWS] * 3


def test_a_start_in_the_middle_takes_what_the_whole_stream_would(
  tmp_path, shards
):
  _Group(tmp_path, shards, 1).train(16)
  whole = _Group(tmp_path, shards, 0).train(16)
  for start in (3, 8, 11):  # within a part, at a window, within a part
    for one, other in zip(
      whole[start:], _Group(tmp_path, shards, 0, start=start).train(16 - start)
    ):
      assert np.array_equal(one[0], other[0])
      assert np.array_equal(one[1], other[1], equal_nan=True)


def test_a_part_that_was_begun_before_is_left_without_what_came_before(
  tmp_path, shards
):
  _Group(tmp_path, shards, 1, start=1).train(15)
  taken = _Group(tmp_path, shards, 0).train(8)
  silent = sum(np.isnan(said).sum() for _, said, _ in taken)
  assert silent == BATCH


def test_an_altered_file_is_named_and_teaches_nothing(
  tmp_path, shards, flip, caplog
):
  _Group(tmp_path, shards, 1).train(16)
  victim = sorted((tmp_path / "1").iterdir())[0]
  flip(victim)
  taken = _Group(tmp_path, shards, 0).train(16)
  assert sum(np.isnan(said).sum() for _, said, _ in taken) == 12  # one part
  assert caplog.text.count(str(victim)) == 1
  assert "its sum does not hold" in caplog.text


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (b"", "should begin with its sum"),
    (b"{}\n", "should begin with its sum"),
    (b'{"step": 1, "rows": 12, "sum": ""}\n1234', "should have 12 rows"),
    (b'{"step": 1, "rows": 3, "sum": ""}\n123456', "says 3 and has 3"),
  ],
)
def test_what_is_no_part_is_named(tmp_path, shards, caplog, content, message):
  peer = tmp_path / "1"
  peer.mkdir()
  for part in range(4):
    (peer / f"0-0-{part}").write_bytes(content)
  taken = _Group(tmp_path, shards, 0).train(8)
  assert all(np.isnan(said).all() for _, said, _ in taken)
  assert message in caplog.text


def test_a_place_that_cannot_be_used_ends_nothing(tmp_path, shards, caplog):
  group = _Group(tmp_path, shards, 0)
  (tmp_path / "1").mkdir()
  for part in range(4):
    (tmp_path / "1" / f"0-0-{part}").mkdir()  # where files should be
  shutil.rmtree(tmp_path / "0")
  (tmp_path / "0").write_bytes(b"")  # where a directory was
  taken = group.train(16)
  assert all(np.isnan(said).all() for _, said, _ in taken)
  for place in (tmp_path / "0", tmp_path / "1"):
    assert caplog.text.count(f"training goes on without {place}: ") == 1
  (tmp_path / "0").unlink()
  (tmp_path / "0").mkdir()
  group.train(16)
  assert list((tmp_path / "0").iterdir())


def test_an_older_part_goes_when_two_windows_are_there(tmp_path, shards):
  group = _Group(tmp_path, shards, 0)
  group.train(3 * 8)
  names = {path.name for path in (tmp_path / "0").iterdir()}
  assert names == {
    f"{epoch}-{window}-{part}"
    for (epoch, window), part in itertools.product([(0, 1), (1, 0)], range(4))
  }


def test_who_starts_again_sweeps_and_counts_what_it_left(tmp_path, shards):
  _Group(tmp_path, shards, 0).train(16)
  (tmp_path / "0" / ".tmp-0-0-0-1").write_bytes(b"")
  _Group(tmp_path, shards, 0, start=16).train(8)
  assert len(list((tmp_path / "0").iterdir())) == 8
  assert not (tmp_path / "0" / ".tmp-0-0-0-1").exists()


def test_far_logits_are_kept_as_finite_ones(tmp_path):
  prediction_exchange.write(tmp_path / "p", np.array([1e9, -1e9, np.nan]), 5)
  values, step = prediction_exchange.read(tmp_path / "p", 3)
  assert step == 5
  assert np.array_equal(values, [30, -30, np.nan], equal_nan=True)


def test_each_group_needs_a_part(tmp_path, shards):
  with pytest.raises(InputError, match="part for each of 5 groups, has 4"):
    PredictionExchange(
      tmp_path, {}, shards, _share(0, groups=5), batch_rows=BATCH
    )


def test_signed_predictions_hold_in_their_own_place_alone(tmp_path):
  key = Key(tmp_path / "key", b"k" * 32)
  own = prediction_exchange.folder(tmp_path / "group-0", 1)
  other = prediction_exchange.folder(tmp_path / "group-1", 1)
  logits = np.float32([0.5, -1.0])
  path = own / "7"
  prediction_exchange.write(path, logits, 3, key)
  found, step = prediction_exchange.read(path, 2, key)
  assert (found.tolist(), step) == ([0.5, -1.0], 3)
  other.mkdir(parents=True)
  for moved in (own / "8", other / "7"):
    moved.write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"(7|8): its signature does not hold"):
      prediction_exchange.read(moved, 2, key)
  prediction_exchange.write(path, logits, 3)
  with pytest.raises(InputError, match="7: its signature does not hold"):
    prediction_exchange.read(path, 2, key)
