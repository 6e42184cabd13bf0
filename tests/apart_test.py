"""No job writes what it reads, or where its next turn would read it."""

import pathlib

import pytest

from ctr_codistill.criteo.made import click_file
from ctr_codistill.criteo.preparing import preparation
from ctr_codistill.criteo.raw import apart
from ctr_codistill.criteo.synthetic import Spec
from ctr_codistill.errors import InputError


def _says(said, pattern, files=(), folders=()):
  with pytest.raises(InputError, match=said):
    apart.check([str(pattern)], files, folders)


@pytest.fixture
def day(tmp_path):
  """A folder with a log; `link` is another name of the folder."""
  (tmp_path / "day").mkdir()
  (tmp_path / "day" / "a.tsv").write_bytes(b"1\n")
  (tmp_path / "link").symlink_to("day")
  return tmp_path / "day"


def test_a_file_of_the_input_is_refused_by_any_of_its_names(day, monkeypatch):
  link = day.parent / "link"
  for path in (day / "a.tsv", link / "a.tsv", day / ".." / "day" / "a.tsv"):
    for pattern in (day / "a.tsv", link / "a.tsv", link / "*"):
      _says("a.tsv should not be written: it is of the input", pattern, [path])
  monkeypatch.chdir(day)
  _says("should not be written", day / "a.tsv", ["a.tsv"])
  _says("should not be written", "s3://b/day/a", files=["s3://b/day/a"])


def test_a_file_that_the_input_would_match_is_refused(day):
  link = day.parent / "link"
  for pattern, path in [
    (day / "*", day / "new.parquet"),
    (link / "*", day / "new.parquet"),
    (day / "*", link / "new.parquet"),
    (day / "*" / "*.parquet", day / "out" / "part-00000.parquet"),
    (day.parent / "d?y" / "*", day / "new"),
    ("s3://b/day/*", "s3://b/day/new"),
  ]:
    _says(
      "should lie elsewhere: the input '.*' would match it", pattern, [path]
    )


def test_a_link_that_a_pattern_finds_is_no_way_out(tmp_path):
  (tmp_path / "elsewhere").mkdir()
  (tmp_path / "logs").mkdir()
  (tmp_path / "logs" / "day").symlink_to(tmp_path / "elsewhere")
  pattern, path = tmp_path / "logs" / "*" / "*", tmp_path / "logs" / "day" / "p"
  _says("the input '.*' would match it", pattern, [path])


def test_the_working_directory_is_no_part_of_a_pattern(tmp_path, monkeypatch):
  odd = tmp_path / "x[1]"
  (odd / "day").mkdir(parents=True)
  monkeypatch.chdir(odd)
  _says("would match it", "day/*", ["day/p.parquet"])
  _says("would match it", "day/*", [odd / "day" / "p.parquet"])
  apart.check(["day/*"], ["p.parquet"])


def test_what_the_input_would_not_read_may_lie_beside_it(day):
  for pattern, path in [
    (day / "a.tsv", day / "new.parquet"),
    (day / "*.tsv", day / "new.parquet"),
    (day / "*", day / "out" / "new.parquet"),
    (day / "*", day / "_marked.parquet"),
    (day / "*", day.parent / "new.parquet"),
    (day / "*", "s3://b/day/new"),
    ("s3://b/day/*", "s3://b/day/out/new"),
    ("http://host/a?x=1", day / "new"),
  ]:
    apart.check([str(pattern)], [path], [day / "out"])


def test_a_folder_of_a_job_holds_no_input(day):
  _says("day should lie elsewhere: it holds", day / "a.tsv", folders=[day])
  _says("link should lie", day / "*.tsv", folders=[day.parent / "link"])
  _says("should lie", "s3://b/day/*", folders=["s3://b/day/"])


def test_preparation_does_not_delete_its_input(tmp_path):
  kept = tmp_path / "data" / "quarantine" / "lines.tsv"
  kept.parent.mkdir(parents=True)
  kept.write_bytes(b"mended\n")
  (tmp_path / "data" / "prepare.json").write_text("{}")
  with pytest.raises(InputError, match=r"lines.tsv should not be written"):
    preparation.prepare(
      str(kept),
      tmp_path / "data",
      preparation.Options(overwrite=True),
      clock=lambda: 0.0,
    )
  assert kept.read_bytes() == b"mended\n"


def test_made_clicks_and_their_truth_are_two_files(day, monkeypatch):
  monkeypatch.chdir(day)
  with pytest.raises(InputError, match="truth should be another file"):
    click_file.write(
      Spec(), "made.tsv", stop=9, truth=str(pathlib.Path("../link/made.tsv"))
    )
  assert not (day / "made.tsv").exists()
