import fcntl
import os
import pathlib
import subprocess
import sys

import pytest

import ctr_codistill
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


def _names(root):
  """Returns what lies in `root` beside the file that is locked."""
  return sorted(set(os.listdir(root)) - {".lock"})


def test_a_version_is_told_its_number(tmp_path):
  assert (_write(tmp_path, "a") / "number").read_text() == "1"
  assert (_write(tmp_path, "b", version=7) / "number").read_text() == "7"


def test_what_fails_is_absent(tmp_path):
  def fill(path, number):
    (path / "content").write_text("half")
    raise OSError("the disk is full")

  with pytest.raises(OSError, match="full"):
    versions.write(tmp_path, fill, {})
  assert _names(tmp_path) == []


def test_the_highest_number_is_in_place(tmp_path):
  assert versions.in_place(tmp_path / "none") is None
  for number in (9, 10):
    _write(tmp_path, str(number), version=number)
  (tmp_path / "11a").mkdir()
  assert versions.in_place(tmp_path) == tmp_path / "10"


def test_of_a_version_without_a_manifest_it_is_said_what_to_do(tmp_path):
  """Writers of an older program left such ones when they died."""
  _write(tmp_path, "a")
  (tmp_path / "2").mkdir()
  assert versions.numbers(tmp_path) == [1, 2]
  with pytest.raises(InputError, match=r"2 should have a man.*: move it away"):
    versions.in_place(tmp_path)
  assert _write(tmp_path, "c").name == "3"
  assert versions.in_place(tmp_path) == tmp_path / "3"


def test_a_version_appears_with_its_manifest_or_not_at_all(
  tmp_path, monkeypatch
):
  """Made up is that the disk has no room for the manifest."""
  _write(tmp_path, "a")
  seen, write = [], stamped.write_text

  def full(path, text):
    seen.append(versions.numbers(tmp_path))
    raise OSError(28, "No space left on device", str(path))

  monkeypatch.setattr(stamped, "write_text", full)
  with pytest.raises(OSError, match="No space left"):
    _write(tmp_path, "b")
  monkeypatch.setattr(stamped, "write_text", write)
  assert (seen, _names(tmp_path)) == ([[1]], ["1"])


def test_a_writer_that_is_killed_leaves_no_version_without_manifest(tmp_path):
  code = """
import os, signal, sys
from ctr_codistill.exporting import versions
calls = [0]
def kill(event, arguments):
  if event == "os.rename":  # of the manifest's file, then of the directory
    calls[0] += 1
    if calls[0] == int(sys.argv[1]):
      os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(kill)
versions.write("served", lambda path, number: (path / "a").touch(), {})
"""
  root = pathlib.Path(ctr_codistill.__file__).parents[1]
  path = os.pathsep.join([str(root), *sys.path])
  for at, ended in (("1", -9), ("2", -9), ("3", 0)):
    done = subprocess.run(
      [sys.executable, "-c", code, at],
      env={**os.environ, "PYTHONPATH": path},
      cwd=tmp_path,
      check=False,
    )
    found = versions.numbers(tmp_path / "served")
    assert (done.returncode, found) == (ended, [] if ended else [1])
  assert stamped.verify(tmp_path / "served" / "1") == {}


def test_a_version_is_on_the_disk_before_it_appears(tmp_path, monkeypatch):
  flushed, sync = [], os.fsync

  def look(descriptor):
    path = pathlib.Path(os.readlink(f"/proc/self/fd/{descriptor}"))
    flushed.append((path.name[:5], (tmp_path / "1").exists()))
    sync(descriptor)

  monkeypatch.setattr(os, "fsync", look)
  _write(tmp_path, "a")
  wanted = {("conte", False), ("numbe", False), ("manif", False)}
  assert set(flushed) == wanted | {(".tmp-", False), (tmp_path.name[:5], True)}


@pytest.mark.parametrize(
  "name", ["02", "+2", " 2", "-1", "9", "link", "00000000000000000000009"]
)
def test_what_a_server_takes_and_is_no_version_is_refused(tmp_path, name):
  _write(tmp_path, "a")
  if name == "9":
    (tmp_path / name).touch()
  elif name == "link":
    (tmp_path / "3").symlink_to(tmp_path / "1")
  else:
    (tmp_path / name).mkdir()
  before = _names(tmp_path)
  for call in (versions.numbers, versions.back, versions.in_place):
    with pytest.raises(InputError, match=r"a server takes for version .* away"):
      call(tmp_path)
  with pytest.raises(InputError, match="a server takes for version"):
    _write(tmp_path, "b")
  with pytest.raises(InputError, match="a server takes for version"):
    versions.keep(tmp_path, 1)
  assert _names(tmp_path) == before


def test_what_a_server_does_not_take_stays_and_does_not_count(tmp_path):
  _write(tmp_path, "a")
  names = ["1.bak", "tmp", "\u0663", "1e1", str(2**63)]
  for name in names:
    (tmp_path / name).mkdir()
  assert _write(tmp_path, "b").name == "2"
  versions.keep(tmp_path, 1)
  assert _names(tmp_path) == sorted(["2", *names])


def test_a_link_that_was_put_aside_goes_and_what_it_names_stays(tmp_path):
  root = tmp_path / "served"
  version = _write(root, "a")
  (root / ".tmp-5-link").symlink_to(tmp_path)
  versions.keep(root, 1)
  assert _names(root) == ["1"]
  assert _content(version) == "a"


@pytest.mark.parametrize("version", [1, 4, 5])
def test_numbers_only_rise(tmp_path, version):
  _write(tmp_path, "a", version=5)
  with pytest.raises(
    InputError, match=f"should be above 5, .* is {version}: numbers only rise"
  ):
    _write(tmp_path, "b", version=version)
  assert _names(tmp_path) == ["5"]


def test_what_was_compared_with_another_is_refused(tmp_path):
  _write(tmp_path, "a", above=0)
  with pytest.raises(
    InputError, match=r"have no version in place.*version 1 b"
  ):
    _write(tmp_path, "b", above=0)
  _write(tmp_path, "c", above=1)
  with pytest.raises(
    InputError, match=r"have version 1 in .* 2 by now: run ag"
  ):
    _write(tmp_path, "d", above=1)
  assert _names(tmp_path) == ["1", "2"]


def test_what_is_locked_is_open_for_writing(tmp_path, monkeypatch):
  """As over NFS, whose client makes a lock of bytes of each lock of a file."""
  monkeypatch.setattr(fcntl, "flock", fcntl.lockf)
  assert _write(tmp_path, "a").name == "1"
  versions.keep(tmp_path, 1)
  assert _names(tmp_path) == ["1"]


def test_the_highest_are_kept_and_what_dead_writers_left_goes(tmp_path):
  for number in (1, 2, 3, 10):
    _write(tmp_path, str(number), version=number)
  (tmp_path / ".tmp-4-dead").mkdir()
  (tmp_path / "notes.txt").write_text("mine")
  versions.keep(tmp_path, 2)
  assert _names(tmp_path) == ["10", "3", "notes.txt"]


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
  assert _names(tmp_path) == ["2"]


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
