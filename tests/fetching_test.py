"""Copies of prepared data. Any place will do as a source: here, directories."""

import shutil
import threading

import pytest

from ctr_codistill.criteo import fetching
from ctr_codistill.criteo import prepared as layout
from ctr_codistill.criteo import records
from ctr_codistill.errors import InputError


@pytest.fixture
def source(prepared, tmp_path):
  """A complete prepared directory of its own: 3 shards of 80, 80, 70 rows."""
  found = tmp_path / "clicks"
  shutil.copytree(prepared, found)
  (found / layout.SUMMARY).write_text('{"seconds": 1}')
  return found


def _files(directory):
  return {
    str(path.relative_to(directory)): path.read_bytes()
    for path in directory.rglob("*")
    if path.is_file()
  }


def test_a_copy_is_the_source_and_is_made_once(source, tmp_path):
  told = []

  def progress(name, rows):
    told.append((name, rows))
    return lambda done: told.append(done)

  target = fetching.fetch(str(source), tmp_path / "cache", progress)
  assert target.parent == tmp_path / "cache"
  assert _files(target) == _files(source)
  assert told == [
    *[("fetch train", 230), 80, 80, 70],
    *[("fetch validation", 40), 40],
  ]
  # What is there is believed: the source is asked for its stamp only.
  shutil.rmtree(source / "train")
  assert fetching.fetch(f"{source}/", tmp_path / "cache") == target


def test_another_preparation_is_another_copy(source, tmp_path):
  first = fetching.fetch(str(source), tmp_path / "cache")
  (source / layout.SUMMARY).write_text('{"seconds": 2}')
  second = fetching.fetch(str(source), tmp_path / "cache")
  assert first != second
  assert first.name.startswith("clicks-") and second.name.startswith("clicks-")


def test_a_split_is_copied_alone_and_kept_for_the_whole(
  source, schema, tmp_path
):
  split = fetching.fetch_split(f"{source}/validation", tmp_path / "cache")
  assert records.open_shards(split, schema).rows == 40
  assert [path.name for path in split.parent.iterdir()] == ["validation"]
  (source / "validation" / "shard-00000.rows").unlink()
  target = fetching.fetch(str(source), tmp_path / "cache")
  assert target == split.parent
  assert records.open_shards(target / "train", schema).rows == 230


def test_a_copy_that_broke_off_goes_on(source, tmp_path, flip):
  last = source / "train" / "shard-00002.rows"
  flip(last)
  with pytest.raises(InputError, match=r"00002.rows: block 4 should have the"):
    fetching.fetch(str(source), tmp_path / "cache")
  (target,) = (tmp_path / "cache").glob("[!.]*")
  found = sorted(path.name for path in (target / "train").iterdir())
  assert found == ["shard-00000.rows", "shard-00001.rows"]
  flip(last)
  (source / "train" / "shard-00000.rows").unlink()
  fetching.fetch(str(source), tmp_path / "cache")
  assert (target / layout.SUMMARY).exists()
  assert (target / "train" / last.name).read_bytes() == last.read_bytes()


def test_a_full_disk_is_named(source, tmp_path, full_disk):
  with full_disk(100), pytest.raises(InputError, match="File too large"):
    fetching.fetch(str(source), tmp_path / "cache")


@pytest.mark.parametrize(
  "name, said",
  [
    ("train/shard-00001.rows", "block 5 should have the sum .*, has "),
    ("vocabularies/C2.txt", "sha256 should be .*, is "),
  ],
)
def test_damage_is_named_and_not_copied(source, tmp_path, flip, name, said):
  flip(source / name)
  with pytest.raises(InputError, match=f"clicks/{name}: {said}"):
    fetching.fetch(str(source), tmp_path / "cache")
  (target,) = (tmp_path / "cache").glob("[!.]*")
  assert not (target / name).exists()
  assert not (target / layout.SUMMARY).exists()


def test_a_shard_that_ends_early_is_named(source, tmp_path):
  path = source / "train" / "shard-00002.rows"
  path.write_bytes(path.read_bytes()[:-1])
  with pytest.raises(InputError, match=r"00002.rows: block 8 .*152 .*has 151"):
    fetching.fetch(str(source), tmp_path / "cache")


def test_what_is_not_complete_is_no_source(source, tmp_path):
  (source / layout.SUMMARY).unlink()
  with pytest.raises(InputError, match="should be a prepared directory"):
    fetching.fetch(str(source), tmp_path / "cache")
  assert not (tmp_path / "cache").exists()


def test_a_source_that_changes_meanwhile_is_an_error(source, tmp_path):
  def progress(name, rows):
    (source / layout.SUMMARY).write_text('{"seconds": 3}')
    return lambda done: None

  with pytest.raises(InputError, match=r"clicks changed while it was read"):
    fetching.fetch(str(source), tmp_path / "cache", progress)
  (target,) = (tmp_path / "cache").glob("[!.]*")
  assert not (target / "train" / records.MANIFEST).exists()


def test_one_copies_and_the_others_wait(source, tmp_path):
  copied = []

  def progress(name, rows):
    copied.append(name)
    return lambda done: None

  threads = [
    threading.Thread(
      target=fetching.fetch, args=(str(source), tmp_path / "cache", progress)
    )
    for _ in range(4)
  ]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert copied == ["fetch train", "fetch validation"]
  (copy,) = (tmp_path / "cache").glob("[!.]*")
  assert copy.name.startswith("clicks-")
