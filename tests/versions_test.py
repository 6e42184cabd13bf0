import os

import pytest

from ctr_codistill import stamped
from ctr_codistill.errors import InputError
from ctr_codistill.exporting import versions


def _write(root, text, **given):
  def fill(path, number):
    (path / "content").write_text(text)
    (path / "number").write_text(str(number))

  return versions.write(root, fill, {"text": text}, **given)


def _content(version):
  return (version / "content").read_text()


def test_a_version_is_told_its_number(tmp_path):
  assert (_write(tmp_path, "a") / "number").read_text() == "1"
  assert (_write(tmp_path, "b", version=7) / "number").read_text() == "7"


def test_what_fails_is_absent(tmp_path):
  def fill(path, number):
    (path / "content").write_text("half")
    raise OSError("the disk is full")

  with pytest.raises(OSError, match="full"):
    versions.write(tmp_path, fill, {})
  assert os.listdir(tmp_path) == []


def test_the_highest_number_is_in_place(tmp_path):
  assert versions.in_place(tmp_path / "none") is None
  for number in (9, 10):
    _write(tmp_path, str(number), version=number)
  (tmp_path / "11a").mkdir()
  assert versions.in_place(tmp_path) == tmp_path / "10"
  # Whole, though its writer died before it could stamp it.
  (tmp_path / "12").mkdir()
  assert versions.in_place(tmp_path) == tmp_path / "12"


def test_the_highest_are_kept_and_what_dead_writers_left_goes(tmp_path):
  for number in (1, 2, 3, 10):
    _write(tmp_path, str(number), version=number)
  (tmp_path / ".tmp-4-dead").mkdir()
  (tmp_path / "notes.txt").write_text("mine")
  versions.keep(tmp_path, 2)
  assert sorted(os.listdir(tmp_path)) == ["10", "3", "notes.txt"]


def test_a_version_goes_by_one_rename(tmp_path, monkeypatch):
  """A server that polls never sees one from which files are missing."""
  for number in (1, 2):
    _write(tmp_path, str(number), version=number)
  seen, delete = [], stamped.shutil.rmtree

  def look(path, **given):
    seen.append(versions.numbers(tmp_path))
    delete(path, **given)

  monkeypatch.setattr(stamped.shutil, "rmtree", look)
  versions.keep(tmp_path, 1)
  assert seen == [[2]]
  assert os.listdir(tmp_path) == ["2"]


def test_back_publishes_the_version_before_under_a_new_number(tmp_path):
  for text in "abc":
    _write(tmp_path, text)
  found = versions.back(tmp_path)
  assert (found.name, _content(found)) == ("4", "b")
  assert stamped.verify(found)["text"] == "b"
  assert versions.numbers(tmp_path) == [1, 2, 3, 4]


def test_back_twice_goes_back_two_and_then_there_is_none(tmp_path):
  for text in "abc":
    _write(tmp_path, text)
  versions.back(tmp_path)
  assert _content(versions.back(tmp_path)) == "a"
  with pytest.raises(InputError, match="should have a version before 1, has"):
    versions.back(tmp_path)


def test_after_a_new_version_back_is_what_was_served_before(tmp_path):
  for text in "abc":
    _write(tmp_path, text)
  versions.back(tmp_path)  # b
  _write(tmp_path, "d")
  assert _content(versions.back(tmp_path)) == "b"


def test_a_version_that_was_altered_is_not_gone_back_to(tmp_path, flip):
  for text in "ab":
    _write(tmp_path, text)
  flip(tmp_path / "1" / "content")
  with pytest.raises(stamped.TornError, match="content should be"):
    versions.back(tmp_path)
  assert versions.numbers(tmp_path) == [1, 2]
