"""A scoring job and its directory: whose it is, what goes on, what goes."""

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ctr_codistill import locks
from ctr_codistill import places
from ctr_codistill.criteo.preparing.shard_writer import ShardWriter
from ctr_codistill.criteo.raw import pieces
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import parts
from ctr_codistill.evaluation import predict
from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation.plans import Task
from ctr_codistill.snapshots import Snapshot

ROWS = 90


def _text(start, stop):
  lines = (f"{i % 2}\t{i}\t{-i}\t{'abcx'[i % 4]}\t\tb\n" for i in range(stop))
  return "".join(list(lines)[start:]).encode()


@pytest.fixture(scope="module")
def snapshots(publish, tmp_path_factory):
  folder = tmp_path_factory.mktemp("snapshots")
  return tuple(str(publish(folder / name, 7, i)) for i, name in enumerate("ab"))


@pytest.fixture(scope="module")
def predictor(snapshots):
  return predict.Predictor(Snapshot(snapshots[0]))


@pytest.fixture
def day(tmp_path):
  """A folder of two logs."""
  (tmp_path / "day").mkdir()
  (tmp_path / "day" / "a.tsv").write_bytes(_text(0, 60))
  (tmp_path / "day" / "b.tsv").write_bytes(_text(60, ROWS))
  return tmp_path / "day"


def _task(day, snapshots, **settings):
  settings = {"piece_bytes": 400, "max_bad_fraction": 0.05} | settings
  return Task(tuple(snapshots), f"{day}/*", **settings)


def _files(folder):
  """Returns the content of all files, by their names in the folder."""
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in folder.rglob("*")
    if path.is_file()
  }


def test_a_file_is_not_written_over_its_own_input(predictor, day):
  before = _files(day)
  for source, output in [
    (day / "a.tsv", day / "a.tsv"),
    (day / "*", day / "p.parquet"),
  ]:
    with pytest.raises(InputError, match=f"{output.name} should "):
      predict.run(predictor, str(source), output)
  assert _files(day) == before


def test_a_directory_of_the_input_is_none_for_predictions(
  day, snapshots, prepared
):
  before = _files(day)
  one = Task(snapshots[:1], f"{day}/*")
  for task, output in [
    (one, day),
    (Task(snapshots[:1], f"{day}/*/*"), day / "out"),
    (Task(snapshots, f"{day}/*"), day.parent),
    (Task(snapshots[:1], str(prepared / "train")), prepared / "train"),
  ]:
    if task.source.endswith("*/*"):
      (day / "sub").mkdir()
      (day / "sub" / "c.tsv").write_bytes(_text(0, 9))
    if output == day.parent:
      (day.parent / "a-7").symlink_to("day")  # where the job would write
    for overwrite in (False, True):
      with pytest.raises(InputError, match="should lie elsewhere"):
        parts.run(task, output, overwrite=overwrite)
  (day / "sub" / "c.tsv").unlink()
  assert _files(day) == before
  # A folder that the pattern matches is none of its logs.
  assert parts.run(one, day / "out").rows == ROWS
  assert parts.run(one, day / "out").rows == ROWS


def test_two_jobs_do_not_write_in_one_output(
  day, snapshots, predictor, tmp_path
):
  output = tmp_path / "out"
  task = _task(day, snapshots)

  def score(plan, missing, before):
    with pytest.raises(InputError, match="out is in use: another job writes"):
      parts.run(task, output)
    parts._score(plan, missing, before, threads=1, progress=lambda rows: None)

  assert parts.run(task, output, score=score).rows == ROWS
  assert not list(tmp_path.rglob(f"*{locks.FILE}"))
  # What a killed job left keeps nobody out.
  (output / locks.FILE).touch()
  assert parts.run(task, output).found == 4
  file = tmp_path / "p.parquet"
  with (
    locks.claimed(file, str(tmp_path / f".p.parquet{locks.FILE}")),
    pytest.raises(InputError, match=r"p.parquet is in use"),
  ):
    predict.run(predictor, str(day / "a.tsv"), file)


def test_what_is_refused_leaves_no_directory(day, snapshots, tmp_path):
  (day / "a.tsv").write_bytes(_text(0, 60) + b"x" * (1 << 25))
  with pytest.raises(InputError, match="has a line of more than"):
    parts.run(_task(day, snapshots, piece_bytes=1 << 26), tmp_path / "out")
  assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("before, after", [(1, 2), (2, 1), (2, 2)])
def test_to_overwrite_deletes_all_that_the_job_before_left(
  day, snapshots, tmp_path, before, after
):
  output = tmp_path / "out"
  (day / "a.tsv").write_bytes(b"bad\n" + _text(0, 60))
  parts.run(_task(day, snapshots[:before]), output)
  assert (output / "quarantine").is_dir()
  (day / "a.tsv").write_bytes(_text(0, 60))
  mine = ["part-mine.parquet", "quarantine/mine.tsv", "c-7/part-00000.parquet"]
  for name in mine:
    places.write_bytes(output / name, b"mine")
  task = _task(day, snapshots[:after], piece_bytes=1 << 20)
  parts.run(task, output, overwrite=True)
  parts.run(task, tmp_path / "new")
  wanted = _files(tmp_path / "new") | dict.fromkeys(mine, b"mine")
  assert _files(output) == wanted
  if before > after:
    assert not (output / "b-7").exists()


def test_an_input_of_other_rows_and_the_same_size_is_another_jobs(
  day, snapshots, tmp_path
):
  task = _task(day, snapshots)
  parts.run(task, tmp_path / "out")
  (day / "b.tsv").write_bytes(_text(60, ROWS).replace(b"\t-7", b"\t-8"))
  with pytest.raises(InputError, match=r"its input .*/b\.tsv should be \d+ by"):
    parts.run(task, tmp_path / "out")
  parts.run(task, tmp_path / "out", overwrite=True)


def test_shards_that_were_made_anew_are_another_jobs(
  rows, schema, snapshots, tmp_path
):
  task = Task(snapshots[:1], str(tmp_path / "shards"))
  for own in (rows, rows[::-1]):
    with ShardWriter(tmp_path / "shards", schema, block_rows=8) as writer:
      writer.write(own)
    if own is rows:
      parts.run(task, tmp_path / "out")
      continue
    with pytest.raises(InputError, match=r"its input .*records\.json should"):
      parts.run(task, tmp_path / "out")


def test_lines_are_counted_by_threads_and_told_of(day, snapshots, tmp_path):
  told = {}
  task = _task(day, snapshots)
  done = parts.run(
    task,
    tmp_path / "out",
    threads=3,
    progress=lambda total: told.setdefault(total, []).append,
  )
  assert done.rows == sum(told[None]) == sum(told[ROWS]) == ROWS
  told.clear()
  parts.run(  # which counts no line anew
    task,
    tmp_path / "out",
    progress=lambda total: told.setdefault(total, []).append,
  )
  assert told == {ROWS: [ROWS]}
  cut = pieces.split([str(day / "a.tsv"), str(day / "b.tsv")], 100)
  found = pieces.all_counted(cut, threads=4)
  alone = pieces.numbered([pieces.counted(piece) for piece in cut])
  assert found == alone and len(found) > 8


def test_a_torn_note_is_named_with_what_to_do(day, snapshots, tmp_path):
  task = _task(day, snapshots)
  parts.run(task, tmp_path / "out")
  note = tmp_path / "out" / "job.json"
  for torn in (note.read_bytes()[:99], b"", b"[]", b'{"pieces": 1}'):
    note.write_bytes(torn)
    with pytest.raises(InputError, match=r"job.json .* damaged .*--overwrite"):
      parts.run(task, tmp_path / "out")
  assert parts.run(task, tmp_path / "out", overwrite=True).rows == ROWS


def test_what_a_killed_job_left_aside_is_swept(
  day, snapshots, predictor, tmp_path
):
  output = tmp_path / "out"
  asides = [output / f".tmp-{name}-0123abcd" for name in ("job.json", "beam")]
  for path in asides:
    places.write_bytes(path, b"torn")
  (output / locks.FILE).touch()
  parts.run(_task(day, snapshots), output)
  asides.append(output / "quarantine" / ".tmp-part-00000.tsv-0123abcd")
  places.write_bytes(asides[-1], b"torn")
  parts.run(_task(day, snapshots), output)
  assert not any(path.exists() for path in asides)
  own, others = (tmp_path / f".tmp-{n}.parquet-0123abcd" for n in ("p", "q"))
  for path in (own, others):
    path.touch()
  predict.run(predictor, str(day / "a.tsv"), tmp_path / "p.parquet")
  assert not own.exists() and others.exists()


def test_files_that_a_power_cut_emptied_or_tore_are_written_anew(
  day, snapshots, tmp_path
):
  output = tmp_path / "out"
  parts.run(_task(day, snapshots), output)
  wanted = _files(output)
  for name, torn in [
    ("a-7/part-00001.parquet", b""),
    ("b-7/part-00002.parquet", wanted["b-7/part-00002.parquet"][:-9]),
    ("b-7/part-00003.parquet", bytes(900)),
  ]:
    (output / name).write_bytes(torn)
  done = parts.run(_task(day, snapshots), output)
  assert (done.rows, done.found) == (ROWS, done.parts - 3)
  assert _files(output) == wanted


def test_a_full_disk_is_named_with_the_file_and_nothing_is_half_written(
  day, snapshots, predictor, tmp_path, full_disk
):
  output = tmp_path / "out"
  with full_disk(200), pytest.raises(OSError) as error:
    parts.run(_task(day, snapshots), output)
  assert f"{output}/job.json: File too large" in places.said(error.value, "")
  assert not output.exists()
  with full_disk(200), pytest.raises(OSError) as error:
    predict.run(predictor, str(day / "a.tsv"), tmp_path / "p.parquet")
  assert f"{tmp_path}/p.parquet: File" in places.said(error.value, "")
  assert os.listdir(tmp_path) == ["day"]
  parts.run(_task(day, snapshots), output)
  lost = output / "b-7" / "part-00003.parquet"
  wanted = lost.read_bytes()
  lost.unlink()

  def score(plan, missing, before):
    bad = predict.Bad(ROWS, 1, before=before)
    models = plan.task.predictors()
    scored = list(predict.scored(models, plan.source, missing, bad=bad))
    with full_disk(200):
      parts.write(plan, missing[0].number, scored)

  with pytest.raises(OSError) as error:
    parts.run(_task(day, snapshots), output, score=score)
  assert f"{lost.name}: File too large" in places.said(error.value, "")
  assert not lost.exists() and not list(output.rglob(".*"))
  parts.run(_task(day, snapshots), output)
  assert lost.read_bytes() == wanted


def test_slices_of_a_column_of_lists_are_refused_before_a_row_is_scored(
  snapshots, tmp_path
):
  table = {
    "label": [0, 1],
    **{name: [1, 2] for name in ("I1", "I2")},
    **{name: ["a", "b"] for name in ("C1", "C2", "C3")},
    "tags": [["x"], []],
  }
  pq.write_table(pa.table(table), tmp_path / "a.parquet")
  task = Task(snapshots[:1], str(tmp_path / "a.parquet"), kept=("tags",))
  sliced = Task(**vars(task) | {"sliced": ("tags",)})
  with pytest.raises(InputError, match=r"'tags' should hold one value .* list"):
    parts.run(sliced, tmp_path / "out")
  assert not (tmp_path / "out").exists()
  parts.run(task, tmp_path / "out")  # which may be passed on
  found = pq.read_table(tmp_path / "out" / "part-00000.parquet")
  assert found["tags"].to_pylist() == [["x"], []]


def test_marks_beside_logs_and_a_cut_line_do_not_end_a_job(
  day, snapshots, tmp_path
):
  parts.run(_task(day, snapshots), tmp_path / "out")
  (day / "_SUCCESS").touch()
  (day / "empty.tsv").touch()
  (day / "a.tsv").write_bytes(b"\tx\tb\n" + _text(0, 60))
  done = parts.run(_task(day, snapshots), tmp_path / "cut")
  assert (done.rows, done.bad) == (ROWS, 1)
  noted = json.loads((tmp_path / "cut" / "job.json").read_text())["input"]
  assert list(noted) == [str(day / "a.tsv"), str(day / "b.tsv")]
  whole, cut = (
    [
      predictions.read(path).probability
      for path in sorted((tmp_path / name / "a-7").iterdir())
    ]
    for name in ("out", "cut")
  )
  np.testing.assert_array_equal(np.concatenate(whole), np.concatenate(cut))
