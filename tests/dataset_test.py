import itertools
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from ctr_codistill.criteo import dataset
from ctr_codistill.criteo import records
from ctr_codistill.criteo.dataset import Share
from ctr_codistill.criteo.schema import Numeric
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.criteo.shard_writer import ShardWriter
from ctr_codistill.errors import InputError

SCHEMA = Schema((Numeric("number", 0.0, 1.0, ()),), ())
# Blocks of 4 rows in shards of 12, the last block short: 50 = 4 x 12 + 2.
COUNTS = (7, 12, 50)


def _write(folder, count):
  """Writes rows whose one feature is their number."""
  number = np.arange(count)
  rows = np.stack([number % 2, number], axis=1).astype(np.int32)
  with ShardWriter(folder, SCHEMA, block_rows=4, shard_rows=12) as writer:
    writer.write(rows)
  return records.open_shards(folder, SCHEMA)


@pytest.fixture(scope="module")
def all_shards(tmp_path_factory):
  folder = tmp_path_factory.mktemp("shards")
  return {count: _write(folder / str(count), count) for count in COUNTS}


@pytest.fixture(scope="module")
def shards(all_shards):
  return all_shards[50]


def _stream(shards, share, count, *, batch_rows=5, start_step=0):
  """Returns the numbers of the rows of `count` batches, `[count, batch]`."""
  found = dataset.batches(
    shards, share, batch_rows=batch_rows, start_step=start_step
  )
  return np.stack([batch[:, 1] for batch in itertools.islice(found, count)])


def _epoch(shards, share, epoch=0):
  """Returns the numbers of the rows of an epoch of one worker."""
  rows = dataset.epoch_rows(shards, share)
  return _stream(shards, share, epoch + 1, batch_rows=rows)[epoch]


@pytest.mark.parametrize(("workers", "each"), [(1, 50), (2, 25), (3, 16)])
@pytest.mark.parametrize("window_rows", [3, 10, 1000])
def test_a_row_is_seen_once_an_epoch(shards, workers, each, window_rows):
  left_out = set()
  for epoch in range(4):
    parts = [
      _epoch(
        shards,
        Share(worker=worker, workers=workers, window_rows=window_rows),
        epoch,
      )
      for worker in range(workers)
    ]
    assert [len(part) for part in parts] == [each] * workers
    seen = set(np.concatenate(parts).tolist())
    assert len(seen) == each * workers
    left_out |= set(range(50)) - seen
  # Two of 50 rows do not go into 3 workers: in each epoch others.
  assert len(left_out) > 2 if workers == 3 else not left_out


@pytest.mark.parametrize("groups", [2, 3])
def test_disjoint_groups_share_no_row_and_have_all(shards, groups):
  parts = [
    _epoch(shards, Share(group=group, groups=groups, sharing="disjoint"))
    for group in range(groups)
  ]
  assert sorted(np.concatenate(parts).tolist()) == list(range(50))
  # Block b, which is rows 4 b ... 4 b + 3, belongs to group b mod groups.
  for group, part in enumerate(parts):
    assert set(part // 4 % groups) == {group}


def test_groups_that_share_see_all_rows(shards):
  for group in range(2):
    part = _epoch(shards, Share(group=group, groups=2, sharing="same"))
    assert sorted(part.tolist()) == list(range(50))


def test_the_order_is_a_function_of_seed_group_and_epoch(shards):
  first = _epoch(shards, Share(groups=2))
  assert np.array_equal(first, _epoch(shards, Share(groups=2)))
  others = [
    _epoch(shards, Share(groups=2, seed=1)),
    _epoch(shards, Share(groups=2, group=1)),
    _epoch(shards, Share(groups=2), epoch=1),
    np.arange(50),
  ]
  for one, other in itertools.combinations([first, *others], 2):
    assert not np.array_equal(one, other)


def test_a_window_mixes_rows_of_its_blocks_alone(shards):
  rows = _epoch(shards, Share(window_rows=8)) // 4
  blocks = [set(rows[at : at + 8].tolist()) for at in range(0, 48, 8)]
  # Windows hold 2 blocks of 4; only around the short one (of 2 rows) 3.
  assert max(len(part) for part in blocks) <= 3


# 10 batches of 5 make an epoch; windows of 12 begin at 0, 12, 24, 36, 48.
@pytest.mark.parametrize("start", [1, 2, 3, 9, 10, 11, 25])
def test_a_stream_from_a_step_is_the_rest_of_the_whole(shards, start):
  share = Share(window_rows=12, seed=3)
  whole = _stream(shards, share, start + 12)
  rest = _stream(shards, share, 12, start_step=start)
  assert np.array_equal(rest, whole[start:])


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
  count=st.sampled_from(COUNTS),
  workers=st.integers(1, 3),
  groups=st.integers(1, 2),
  place=st.integers(0, 5),
  disjoint=st.booleans(),
  window_rows=st.integers(1, 60),
  batch_rows=st.integers(1, 4),
  start=st.integers(0, 30),
)
def test_streams_resume_and_epochs_are_whole(
  all_shards,
  count,
  workers,
  groups,
  place,
  disjoint,
  window_rows,
  batch_rows,
  start,
):
  shards = all_shards[count]
  share = Share(
    group=place % groups,
    groups=groups,
    worker=place % workers,
    workers=workers,
    sharing="disjoint" if disjoint else "same",
    seed=place,
    window_rows=window_rows,
  )
  rows = dataset.epoch_rows(shards, share)
  if rows < batch_rows:
    return
  whole = _stream(shards, share, start + 9, batch_rows=batch_rows)
  rest = _stream(shards, share, 9, batch_rows=batch_rows, start_step=start)
  assert np.array_equal(rest, whole[start:])
  epochs = whole.ravel()[: whole.size // rows * rows].reshape(-1, rows)
  for epoch in epochs:
    assert len(set(epoch.tolist())) == rows


def test_all_batches_have_one_shape_and_type(shards):
  # 50 rows an epoch in batches of 7: epochs end within batches.
  found = dataset.batches(shards, Share(window_rows=9), batch_rows=7)
  for batch in itertools.islice(found, 30):
    assert (batch.shape, batch.dtype) == ((7, 2), np.int32)
    assert np.array_equal(batch[:, 0], batch[:, 1] % 2)


def test_an_epoch_has_at_least_a_batch(shards):
  said = "each of 3 workers at least one batch of 17 rows an epoch, gives 16"
  with pytest.raises(InputError, match=said):
    next(dataset.batches(shards, Share(workers=3), batch_rows=17))
  assert len(next(dataset.batches(shards, Share(workers=3), batch_rows=16)))


def test_a_group_without_a_block_is_told_so(all_shards):
  share = Share(group=2, groups=3, sharing="disjoint")
  with pytest.raises(InputError, match="gives 0"):
    next(dataset.batches(all_shards[7], share, batch_rows=1))


def test_fewer_shards_than_workers_serve_all(all_shards):
  assert len(all_shards[12].shards) == 1
  parts = [
    _epoch(all_shards[12], Share(worker=worker, workers=3))
    for worker in range(3)
  ]
  assert sorted(np.concatenate(parts).tolist()) == list(range(12))


def test_a_damaged_block_is_named(tmp_path, flip):
  shards = _write(tmp_path, 12)
  flip(tmp_path / "shard-00000.rows")
  with pytest.raises(InputError, match=r"shard-00000\.rows: block 1 should"):
    list(itertools.islice(dataset.batches(shards, Share(), batch_rows=12), 1))


@pytest.mark.parametrize(
  ("values", "said"),
  [
    ({"group": 2, "groups": 2}, r"group should be in \[0, 2\), is 2"),
    ({"worker": -1}, r"worker should be in \[0, 1\), is -1"),
    ({"sharing": "own"}, "sharing should be .*, is 'own'"),
    ({"window_rows": 0}, "window_rows should be at least 1, is 0"),
  ],
)
def test_a_wrong_share_is_refused_with_its_value(values, said):
  with pytest.raises(InputError, match=said):
    Share(**values)


def test_a_thread_ahead_changes_nothing(shards):
  plain = list(
    itertools.islice(dataset.batches(shards, Share(), batch_rows=7), 20)
  )
  ahead = dataset.prefetch(
    dataset.batches(shards, Share(), batch_rows=7), depth=3
  )
  for one, other in zip(plain, ahead):
    assert np.array_equal(one, other)
  ahead.close()


def test_a_thread_ahead_ends_with_its_source():
  assert list(dataset.prefetch(iter([1, 2, 3]), depth=1)) == [1, 2, 3]


def test_a_thread_ahead_passes_errors_on():
  def source():
    yield 1
    yield 2
    raise InputError("block 3 is gone")

  ahead = dataset.prefetch(source(), depth=5)
  assert [next(ahead), next(ahead)] == [1, 2]
  with pytest.raises(InputError, match="block 3 is gone"):
    next(ahead)


def test_a_thread_ahead_ends_when_nobody_wants_more():
  before = set(threading.enumerate())
  made = []

  def source():
    for item in itertools.count():
      made.append(item)
      yield item

  ahead = dataset.prefetch(source(), depth=2)
  assert next(ahead) == 0
  (thread,) = set(threading.enumerate()) - before
  ahead.close()
  thread.join(timeout=30)
  assert not thread.is_alive()
  # One taken, two ready, one in hand, and one more slot when it was closed.
  assert len(made) <= 5
