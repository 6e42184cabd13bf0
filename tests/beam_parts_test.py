"""Scoring by Apache Beam's RunInference against this process, byte for byte."""

import functools
import gzip
import pathlib
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ctr_codistill.criteo.parsing import BadLine
from ctr_codistill.criteo.raw import pieces
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import beam_parts
from ctr_codistill.evaluation import parts
from ctr_codistill.evaluation import plans
from ctr_codistill.evaluation.plans import Task
from ctr_codistill.evaluation.predict import Scored
from ctr_codistill.evaluation.predictions import Batch

pytest.importorskip("apache_beam", reason="Beam is an optional requirement")

ROOT = pathlib.Path(__file__).parents[1]
_DIRECT = functools.partial(beam_parts.score, flags=("--runner=DirectRunner",))


def _line(i):
  return f"{i % 2}\t{i}\t{'' if i % 3 else -i}\t{'abcx'[i % 4]}\t\tb\n"


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
  """A text with two bad lines, a .gz and a parquet file."""
  folder = tmp_path_factory.mktemp("raw")
  split = [_line(i).encode() for i in range(150)]
  split[2] = split[140] = b"bad\n"
  (folder / "a.tsv").write_bytes(b"".join(split))
  text = "".join(map(_line, range(150, 200)))
  (folder / "b.tsv.gz").write_bytes(gzip.compress(text.encode()))
  columns = {
    "label": [0, 1] * 20,
    "I1": list(range(40)),
    "I2": [None, 5] * 20,
    "C1": ["a", "z"] * 20,
    "C2": [""] * 40,
    "C3": ["e"] * 40,
  }
  pq.write_table(pa.table(columns), folder / "c.parquet")
  return folder


@pytest.fixture(scope="module")
def task(raw, publish, tmp_path_factory):
  folder = tmp_path_factory.mktemp("snapshots")
  snapshots = tuple(
    str(publish(folder / name, 7, i)) for i, name in enumerate("ab")
  )
  return Task(
    snapshots,
    f"{raw}/*",
    kept=("I2", "C1"),
    piece_bytes=500,
    max_bad_fraction=0.01,
  )


def _tree(folder):
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in folder.rglob("*")
    if path.is_file()
  }


@pytest.fixture(scope="module")
def local(task, tmp_path_factory):
  """What this process writes."""
  folder = tmp_path_factory.mktemp("local") / "out"
  done = parts.run(task, folder)
  assert (done.rows, done.bad) == (238, 2)
  found = _tree(folder)
  assert sum(name.endswith(".parquet") for name in found) == 2 * done.parts
  assert done.parts > 5
  return found


def test_the_direct_runner_counts_and_writes_the_same_bytes(
  task, local, tmp_path, monkeypatch
):
  monkeypatch.delattr(pieces, "all_counted")  # by the machine that starts it
  output = tmp_path / "out"
  count = functools.partial(
    beam_parts.count, output=str(output), flags=("--runner=DirectRunner",)
  )
  done = parts.run(task, output, score=_DIRECT, count=count)
  assert (done.rows, done.bad) == (238, 2)
  assert _tree(tmp_path / "out") == local


def test_beam_goes_on_with_what_this_process_left(task, local, tmp_path):
  parts.run(task, tmp_path / "out")
  (tmp_path / "out" / "b-7" / "part-00003.parquet").unlink()
  done = parts.run(task, tmp_path / "out", score=_DIRECT)
  assert done.found == done.parts - 1
  assert _tree(tmp_path / "out") == local


def test_shards_are_scored_alike(prepared, task, tmp_path):
  own = Task(task.snapshots, str(prepared / "train"), kept=("C3",))
  parts.run(own, tmp_path / "local")
  parts.run(own, tmp_path / "beam", score=_DIRECT)
  assert _tree(tmp_path / "beam") == _tree(tmp_path / "local")


def test_bad_lines_keep_their_order_whatever_comes_first(task, tmp_path):
  names = ("one", "other")
  plans_ = [plans.make(task, str(tmp_path / n), overwrite=False) for n in names]

  def part(first, *bad):
    none = np.zeros(0)
    batch = (
      Batch(none, none)
      if first < 0
      else Batch(np.array([first]), np.array([0.5]))
    )
    lines = tuple(BadLine("a.tsv", n, "bad", b"x") for n in bad)
    return Scored(0, (batch, batch), lines)

  # Parts without rows come of blocks that are less than a call of the models.
  found = [part(-1, 2), part(-1, 3, 4), part(1), part(-1, 9), part(8, 11)]
  parts.write(plans_[0], 0, found)
  (written,) = beam_parts._write((0, found[::-1]), plan=plans_[1])
  assert written == {"piece": 0, "rows": 2}
  one, other = (_tree(tmp_path / name) for name in names)
  assert one == other
  kept = one["quarantine/part-00000.tsv"].splitlines()
  assert [int(line.split(b"\t")[1]) for line in kept] == [2, 3, 4, 9, 11]


def test_a_damaged_file_is_said_in_the_words_of_the_local_job(
  raw, task, tmp_path
):
  data = (raw / "b.tsv.gz").read_bytes()
  (tmp_path / "b.tsv.gz").write_bytes(data)
  own = Task(task.snapshots, str(tmp_path / "b.tsv.gz"))

  def damaged(plan, pieces, before):
    (tmp_path / "b.tsv.gz").write_bytes(data[:-20])
    _DIRECT(plan, pieces, before)

  with pytest.raises(InputError, match=r"b\.tsv\.gz"):
    parts.run(own, tmp_path / "out", score=damaged)
  assert not list((tmp_path / "out").rglob("*.parquet"))


def test_a_job_server_writes_the_same_bytes(task, local, job_server, tmp_path):
  done = subprocess.run(
    [
      *(sys.executable, "-m", "pipelines.predict"),
      f"--snapshot={','.join(task.snapshots)}",
      f"--input={task.source}",
      f"--output={tmp_path}/out",
      *("--columns=I2,C1", "--piece_bytes=500", "--max_bad_fraction=0.01"),
      "--runner=PortableRunner",
      f"--beam_options=--job_endpoint={job_server} --environment_type=LOOPBACK",
    ],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  assert "238 rows predicted" in done.stdout
  assert _tree(tmp_path / "out") == local
