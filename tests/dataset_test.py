import itertools
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from ctr_codistill.criteo import dataset
from ctr_codistill.criteo import order
from ctr_codistill.criteo import records
from ctr_codistill.criteo.preparing.shard_writer import ShardWriter
from ctr_codistill.criteo.schema import Numeric
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.criteo.share import Share
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


def _stream(shards, share, count, *, batch_rows=5, start_step=0, threads=0):
  """Returns the numbers of the rows of `count` batches, `[count, batch]`."""
  found = dataset.batches(
    shards,
    share,
    batch_rows=batch_rows,
    start_step=start_step,
    threads=threads,
  )
  taken = [batch[:, 1] for batch in itertools.islice(found, count)]
  found.close()
  return np.stack(taken)


def _epoch(shards, share, epoch=0):
  """Returns the numbers of the rows of an epoch of one worker."""
  rows = order.epoch_rows(shards, share)
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
    _epoch(shards, Share(group=group, groups=groups, overlap=0.0))
    for group in range(groups)
  ]
  assert sorted(np.concatenate(parts).tolist()) == list(range(50))
  # Block b, which is rows 4 b ... 4 b + 3, belongs to group b mod groups.
  for group, part in enumerate(parts):
    assert set(part // 4 % groups) == {group}


def test_groups_that_share_see_all_rows_in_orders_of_their_own(shards):
  parts = [_epoch(shards, Share(group=group, groups=2)) for group in range(2)]
  for part in parts:
    assert sorted(part.tolist()) == list(range(50))
  assert not np.array_equal(*parts)


def test_coordinated_groups_see_the_same_rows_in_the_same_order(shards):
  parts = [
    _stream(shards, Share(group=group, groups=3, coordinated=True), 30)
    for group in range(3)
  ]
  assert np.array_equal(parts[0], parts[1])
  assert np.array_equal(parts[0], parts[2])
  assert sorted(parts[0].ravel()[:50].tolist()) == list(range(50))


def test_groups_that_overlap_have_some_rows_in_common_and_share_the_rest(
  shards,
):
  # 13 blocks: 0.4 x 13 = 5.2, so 5 blocks or 20 rows are everybody's. 8 blocks
  # are dealt to 3 groups: 3, 3 and 2; the last, of 2 rows, is the second's.
  parts = [
    _epoch(shards, Share(group=group, groups=3, overlap=0.4)).tolist()
    for group in range(3)
  ]
  owners = np.bincount(np.concatenate(parts), minlength=50)
  assert np.bincount(owners).tolist() == [0, 30, 0, 20]
  assert [len(part) for part in parts] == [20 + 12, 20 + 10, 20 + 8]
  assert all(len(set(part)) == len(part) for part in parts)


def _parts(shards, share, windows):
  """Returns by name of a part its rows, each at its place."""
  stream = iter(_stream(shards, share, 50 * windows, batch_rows=1).ravel())
  found = {}
  for stretch in order.stretches(shards, share, 0):
    if len(found) == windows * share.parts:
      return found
    rows = np.full(stretch.size, -1)
    rows[stretch.places] = [next(stream) for _ in stretch.places]
    found[stretch.name] = rows


@pytest.mark.parametrize(("groups", "parts"), [(2, 2), (2, 8), (3, 3)])
@pytest.mark.parametrize("window_rows", [10, 20, 1000])
def test_a_part_has_the_same_rows_at_the_same_places_in_all_groups(
  shards, groups, parts, window_rows
):
  found = [
    _parts(
      shards,
      Share(group=group, groups=groups, parts=parts, window_rows=window_rows),
      windows=5,
    )
    for group in range(groups)
  ]
  for other in found[1:]:
    assert set(other) == set(found[0])
    for name, rows in other.items():
      assert np.array_equal(rows, found[0][name])
  # Each begins at another part: 4 of 8 on, 1 of 2, 1 of 3.
  first = [next(iter(names)) for names in found]
  assert first == [f"0-0-{g * parts // groups}" for g in range(groups)]


def test_groups_go_through_a_part_in_orders_of_their_own(shards):
  shares = [Share(group=group, groups=2, parts=2) for group in range(2)]
  one, other = (_epoch(shards, share) for share in shares)
  assert set(one[:25]) == set(other[25:])
  assert not np.array_equal(one[:25], other[25:])
  assert sorted(one.tolist()) == list(range(50))


@pytest.mark.parametrize("start", [0, 1, 9, 24, 25, 26, 49, 50, 61, 149])
def test_stretches_begin_at_any_row(shards, start):
  share = Share(group=1, groups=2, parts=4, window_rows=25)

  def rows(start, count):
    pairs = (
      (stretch.name, int(place))
      for stretch in order.stretches(shards, share, start)
      for place in stretch.places
    )
    return list(itertools.islice(pairs, count))

  assert rows(start, 70) == rows(0, start + 70)[start:]


def test_parts_go_with_the_same_rows_in_orders_of_their_own():
  for wrong in ({"overlap": 0.5}, {"coordinated": True}):
    with pytest.raises(InputError, match=r"parts should be 1 unless.* is 2"):
      Share(groups=2, parts=2, **wrong)
  with pytest.raises(InputError, match="parts should be at least 1, is 0"):
    Share(parts=0)


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


def test_a_window_has_a_block_of_every_stretch_of_the_log(tmp_path):
  # 12 blocks of 4 rows in 3 windows of 16: each takes one block of the blocks
  # 0, 1, 2, one of 3, 4, 5, and so on.
  shards = _write(tmp_path, 48)
  orders = set()
  for epoch in range(6):
    windows = _epoch(shards, Share(window_rows=16), epoch).reshape(3, 16)
    for window in windows // 4:
      assert sorted(set(window // 3)) == [0, 1, 2, 3]
      assert sorted(np.bincount(window)[np.unique(window)]) == [4, 4, 4, 4]
    orders.add(tuple(windows.ravel().tolist()))
  assert len(orders) == 6


def test_windows_of_an_epoch_are_of_one_size(shards):
  # 50 rows in windows of at most 12 are 5 of 10, not 4 of 12 and one of 2.
  windows = order.windows(shards, Share(window_rows=12), 0)
  assert [w.rows for w in itertools.islice(windows, 10)] == [10] * 10


# 10 batches of 5 make an epoch; windows of 13 begin at 0, 12, 25, 37.
@pytest.mark.parametrize("start", [1, 2, 3, 9, 10, 11, 25])
@pytest.mark.parametrize(("threads", "later"), [(0, 1), (1, 3), (3, 0)])
def test_a_stream_from_a_step_is_the_rest_of_the_whole(
  shards, start, threads, later
):
  share = Share(window_rows=13, seed=3)
  whole = _stream(shards, share, start + 12, threads=threads)
  rest = _stream(shards, share, 12, start_step=start, threads=later)
  assert np.array_equal(rest, whole[start:])


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
  count=st.sampled_from(COUNTS),
  workers=st.integers(1, 3),
  groups=st.integers(1, 2),
  place=st.integers(0, 5),
  overlap=st.sampled_from([0.0, 0.3, 1.0]),
  window_rows=st.integers(1, 60),
  batch_rows=st.integers(1, 4),
  start=st.integers(0, 30),
  threads=st.integers(0, 2),
)
def test_streams_resume_and_epochs_are_whole(
  all_shards,
  count,
  workers,
  groups,
  place,
  overlap,
  window_rows,
  batch_rows,
  start,
  threads,
):
  shards = all_shards[count]
  share = Share(
    group=place % groups,
    groups=groups,
    worker=place % workers,
    workers=workers,
    overlap=overlap,
    seed=place,
    window_rows=window_rows,
  )
  rows = order.epoch_rows(shards, share)
  if rows < batch_rows:
    return
  whole = _stream(shards, share, start + 9, batch_rows=batch_rows)
  rest = _stream(
    shards,
    share,
    9,
    batch_rows=batch_rows,
    start_step=start,
    threads=threads,
  )
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
  share = Share(group=2, groups=3, overlap=0.0)
  with pytest.raises(InputError, match="gives 0"):
    next(dataset.batches(all_shards[7], share, batch_rows=1))


def test_fewer_shards_than_workers_serve_all(all_shards):
  assert len(all_shards[12].shards) == 1
  parts = [
    _epoch(all_shards[12], Share(worker=worker, workers=3))
    for worker in range(3)
  ]
  assert sorted(np.concatenate(parts).tolist()) == list(range(12))


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_a_damaged_block_is_named(tmp_path, flip, threads):
  shards = _write(tmp_path, 12)
  flip(tmp_path / "shard-00000.rows")
  with pytest.raises(InputError, match=r"shard-00000\.rows: block 1 should"):
    _stream(shards, Share(), 1, batch_rows=12, threads=threads)
  assert not _threads()


def _threads():
  return [t for t in threading.enumerate() if t.name.startswith("input")]


@pytest.mark.parametrize("threads", [1, 3])
def test_no_thread_stays_when_nobody_wants_more(shards, threads):
  found = dataset.batches(shards, Share(), batch_rows=5, threads=threads)
  next(found)
  assert _threads()
  found.close()
  assert not _threads()


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_three_windows_are_in_memory_at_most(tmp_path, threads):
  schema = Schema(tuple(Numeric(f"I{i}", 0.0, 1.0, ()) for i in range(127)), ())
  with ShardWriter(tmp_path, schema, block_rows=64, shard_rows=8192) as writer:
    writer.write(np.ones((32_768, 128), np.int32))
  shards = records.open_shards(tmp_path, schema)
  window = 2048 * 128 * 4  # bytes, a sixteenth of all
  tracemalloc.start()
  found = dataset.batches(
    shards, Share(window_rows=2048), batch_rows=96, threads=threads
  )
  for _ in itertools.islice(found, 1000):
    pass
  found.close()
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert window < peak < 3.5 * window
