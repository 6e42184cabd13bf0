import json
import os
import pathlib
import subprocess
import sys

import pytest

import ctr_codistill
from ctr_codistill import stamped
from ctr_codistill import sums
from ctr_codistill.errors import InputError
from ctr_codistill.manifests import TornError

ROOT = pathlib.Path(ctr_codistill.__file__).parents[1]


def _fill(folder):
  (folder / "below").mkdir()
  (folder / "one").write_bytes(b"11")
  (folder / "below" / "other").write_bytes(b"222")


def _write(path, **facts):
  return stamped.write(path, _fill, facts)


def _die(folder, code):
  """Runs `code` in a process that ends in the middle of it."""
  done = subprocess.run(
    [
      sys.executable,
      "-c",
      f"import os\nfrom ctr_codistill import stamped\n{code}",
    ],
    env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
    cwd=folder,
    timeout=60,
  )
  assert done.returncode == 7


def test_what_was_written_is_complete(tmp_path):
  path = _write(tmp_path / "above" / "5", step=5)
  assert path == tmp_path / "above" / "5"
  assert stamped.is_stamped(path)
  assert stamped.facts(path) == stamped.verify(path) == {"step": 5}
  assert (path / "below" / "other").read_bytes() == b"222"
  assert os.listdir(path.parent) == ["5"]


def test_the_manifest_has_the_size_and_sum_of_every_file(tmp_path):
  manifest = (_write(tmp_path / "5") / "manifest.json").read_text()
  files = json.loads(manifest)["files"]
  assert sorted(files) == ["below/other", "one"]
  # printf 11 | sha256sum gives 4fc82b26 ... a05eeb8.
  assert files["one"]["bytes"] == 2
  assert files["one"]["sha256"].startswith("4fc82b26aecb47d2868c4efbe3581732")


def test_known_sums_are_taken_as_they_are(tmp_path):
  known = {"one": {"sha256": "linked", "bytes": 2}, "none": {}}
  path = stamped.write(tmp_path / "5", _fill, {}, known)
  files = json.loads((path / "manifest.json").read_text())["files"]
  assert files["one"] == known["one"]
  own = sums.of(path)
  assert sorted(files) == ["below/other", "one"]
  assert files["below/other"] == own["below/other"]


def test_a_fill_that_fails_leaves_nothing(tmp_path):
  def fill(folder):
    _fill(folder)
    raise OSError("no more")

  with pytest.raises(OSError, match="no more"):
    stamped.write(tmp_path / "5", fill, {})
  assert os.listdir(tmp_path) == []


def test_a_fill_that_fails_keeps_what_a_dead_writer_left(tmp_path):
  (tmp_path / "5").mkdir()

  def fill(folder):
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    stamped.write(tmp_path / "5", fill, {})
  assert os.listdir(tmp_path) == ["5"]


def test_a_process_that_dies_while_it_fills_leaves_it_absent(tmp_path):
  _die(tmp_path, "stamped.write('5', lambda folder: os._exit(7), {})")
  assert not (tmp_path / "5").exists()
  assert stamped.numbers(tmp_path) == []
  (left,) = os.listdir(tmp_path)
  assert left.startswith(".tmp-5-")
  stamped.sweep(tmp_path)
  assert os.listdir(tmp_path) == []


def test_a_directory_whose_writer_died_before_the_stamp_is_replaced(tmp_path):
  # The facts are asked for between the renaming and the stamp.
  code = """
class Facts:
  def keys(self):
    os._exit(7)
def fill(folder):
  (folder / 'old').write_text('x')
stamped.write('5', fill, Facts())
"""
  _die(tmp_path, code)
  path = tmp_path / "5"
  assert os.listdir(path) == ["old"]
  assert not stamped.is_stamped(path)
  assert stamped.numbers(tmp_path) == []
  with pytest.raises(TornError, match=r"5 is no complete .*manifest\.json"):
    stamped.verify(path)
  _write(path, step=5)
  assert stamped.verify(path) == {"step": 5}
  assert not (path / "old").exists()


def test_what_is_stamped_is_never_written_again(tmp_path):
  path = _write(tmp_path / "5", step=5)
  with pytest.raises(FileExistsError, match="5 is complete"):
    _write(path, step=6)
  assert stamped.verify(path) == {"step": 5}
  assert os.listdir(tmp_path) == ["5"]


def test_a_flipped_byte_is_found(tmp_path, flip):
  path = _write(tmp_path / "5")
  flip(path / "below" / "other")
  with pytest.raises(TornError, match=r"5: below/other should be .*, is "):
    stamped.verify(path)


def test_a_missing_file_is_found(tmp_path):
  path = _write(tmp_path / "5")
  (path / "one").unlink()
  with pytest.raises(TornError, match="5: one is stamped but missing"):
    stamped.verify(path)


def test_a_directory_that_is_deleted_while_it_is_verified_is_torn(
  tmp_path, monkeypatch
):
  """Made up is the moment: when its first file is about to be read."""
  path = _write(tmp_path / "5")
  read = sums.of_file

  def read_late(file):
    stamped.delete(path)
    return read(file)

  monkeypatch.setattr(sums, "of_file", read_late)
  with pytest.raises(TornError, match="5 was deleted while it was read"):
    stamped.verify(path)


def test_an_added_file_is_found(tmp_path):
  path = _write(tmp_path / "5")
  (path / "below" / "third").touch()
  with pytest.raises(TornError, match="below/third is there but not stamped"):
    stamped.verify(path)


@pytest.mark.parametrize(
  ("text", "said"),
  [
    ("{", "Expecting"),
    ("[]", "list"),
    ('{"files": {}}', "facts"),
    ('{"facts": {}, "files": [1]}', "files should be an object"),
    ("\udcff", "utf-8"),
  ],
)
def test_a_broken_manifest_is_named(tmp_path, text, said):
  path = _write(tmp_path / "5")
  (path / "manifest.json").write_text(text, errors="surrogateescape")
  with pytest.raises(
    TornError, match=rf"manifest\.json is no manifest.*{said}"
  ):
    stamped.facts(path)


def test_a_file_or_nothing_in_its_place_is_a_mistake_of_the_user(tmp_path):
  (tmp_path / "file").touch()
  for name in ("file", "none"):
    with pytest.raises(InputError, match=f"{name} is no complete directory"):
      stamped.verify(tmp_path / name)
    assert not stamped.is_stamped(tmp_path / name)


def test_numbers_are_those_of_the_stamped(tmp_path):
  for number in (100, 9, 20):
    _write(tmp_path / str(number))
  _write(tmp_path / "name")
  (tmp_path / "30").mkdir()
  (tmp_path / "40").touch()
  assert stamped.numbers(tmp_path) == [9, 20, 100]
  assert stamped.numbers(tmp_path / "none") == []


def test_the_newest_are_kept(tmp_path):
  for number in (100, 9, 20):
    _write(tmp_path / str(number))
  (tmp_path / "10").mkdir()
  stamped.keep_newest(tmp_path, 5)
  assert stamped.numbers(tmp_path) == [9, 20, 100]
  stamped.keep_newest(tmp_path, 2)
  assert sorted(os.listdir(tmp_path)) == ["10", "100", "20"]
  stamped.keep_newest(tmp_path, 0)
  assert stamped.numbers(tmp_path) == []


def test_json_on_a_full_disk_is_the_one_before(tmp_path, full_disk):
  path = tmp_path / "value.json"
  stamped.write_json(path, {"a": 1})
  with full_disk(100), pytest.raises(OSError):
    stamped.write_json(path, {"a": "x" * 1000})
  assert json.loads(path.read_text()) == {"a": 1}
  assert os.listdir(tmp_path) == ["value.json"]
  stamped.write_json(path, {"a": 2})
  assert json.loads(path.read_text()) == {"a": 2}


def test_a_disk_that_is_full_at_the_stamp_leaves_it_absent(tmp_path, full_disk):
  with full_disk(100), pytest.raises(OSError):
    _write(tmp_path / "5", step=5)
  assert not stamped.is_stamped(tmp_path / "5")
  _write(tmp_path / "5", step=5)
  assert stamped.verify(tmp_path / "5") == {"step": 5}
