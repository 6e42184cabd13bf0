"""A preparation by Apache Beam against one by this process, byte for byte."""

import gzip
import itertools
import json
import os
import pathlib
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ctr_codistill.criteo import prepared
from ctr_codistill.criteo.preparing import beam_engine
from ctr_codistill.criteo.preparing import beam_stage
from ctr_codistill.criteo.preparing import preparation
from ctr_codistill.criteo.preparing.beam_engine import BeamEngine
from ctr_codistill.criteo.preparing.preparation import Options
from ctr_codistill.criteo.raw import layouts
from ctr_codistill.criteo.raw.layouts import Layout
from ctr_codistill.errors import InputError

ROOT = pathlib.Path(__file__).parents[1]
DIRECT = ("--runner=DirectRunner",)
SIZES = {"block_rows": 8, "shard_rows": 64, "block_bytes": 2000}
PIECE_BYTES = 3000
ENGINES_OWN = (
  *("seconds", "seconds_count", "seconds_encode", "peak_rss_bytes"),
  *("spilled_runs", "spilled_bytes"),
)


def _line(i):
  """A made row: integers, missing ones too, frequent values and rare ones."""
  integers = [str(i % 7), "" if i % 3 else str(-i), *[""] * 11]
  strings = [f"v{i % 5}", f"once{i}", f"w{i * i % 11}", *[""] * 23]
  return "\t".join([str(i % 2), *integers, *strings])


def _text(start, stop):
  return "".join(_line(i) + "\n" for i in range(start, stop)).encode()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
  """500 lines: a text, a .gz, and a text with three bad lines."""
  folder = tmp_path_factory.mktemp("inputs")
  (folder / "a.tsv").write_bytes(b"\xef\xbb\xbf" + _text(0, 250)[:-1])
  (folder / "b.tsv.gz").write_bytes(gzip.compress(_text(250, 400)))
  split = _text(400, 500).splitlines()
  split[3], split[60], split[99] = b"bad", split[60] + b"\0", b""
  (folder / "c.tsv").write_bytes(b"\r\n".join(split) + b"\n")
  return folder


def _prepare(inputs, output, engine=None, *, layout=layouts.CRITEO, **options):
  return preparation.prepare(
    [f"{inputs}/*"],
    output,
    Options(**({"min_count": 2, "max_bad_fraction": 0.01} | SIZES | options)),
    clock=itertools.count().__next__,
    layout=layout,
    engine=engine,
  )


def _beam(*flags):
  return BeamEngine(flags or DIRECT, piece_bytes=PIECE_BYTES)


def _tree(folder):
  """Returns the bytes of each file, and what the summary says of the job."""
  found = {
    str(path.relative_to(folder)): path.read_bytes()
    for path in folder.rglob("*")
    if path.is_file()
  }
  summary = json.loads(found.pop(prepared.SUMMARY))
  return found, {k: v for k, v in summary.items() if k not in ENGINES_OWN}


@pytest.fixture(scope="module")
def local(inputs, tmp_path_factory):
  """What this process makes of the inputs."""
  folder = tmp_path_factory.mktemp("local") / "out"
  _prepare(inputs, folder)
  found, summary = _tree(folder)
  assert summary["rows_quarantined"] == 3
  assert summary["rows_out"] == 497
  # 500 lines, 429 to train on, of which one is bad: 428 = 6 x 64 + 44.
  assert sorted(name for name in found if name.startswith("train")) == [
    "train/records.json",
    *(f"train/shard-{i:05d}.rows" for i in range(7)),
  ]
  assert "validation/shard-00001.rows" in found
  assert found["quarantine/lines.tsv"].count(b"c.tsv\t") == 3
  return found, summary


def test_the_direct_runner_writes_the_same_bytes(inputs, local, tmp_path):
  _prepare(inputs, tmp_path / "out", _beam())
  assert _tree(tmp_path / "out") == local


def test_a_job_server_writes_the_same_bytes(
  inputs, local, job_server, tmp_path
):
  done = _run(
    f"--input={inputs}/*",
    f"--output={tmp_path}/out",
    *("--min_count=2", "--max_bad_fraction=0.01", "--threads=2"),
    *(f"--{name}={size}" for name, size in SIZES.items()),
    f"--piece_bytes={PIECE_BYTES}",
    "--runner=PortableRunner",
    f"--beam_options=--job_endpoint={job_server} --environment_type=LOOPBACK",
  )
  assert done.returncode == 0, done.stderr
  assert "500 rows in, 428 to train on, 69 to validate, 3 in" in done.stdout
  assert _tree(tmp_path / "out") == local


def test_values_may_lie_in_buckets_and_leave_a_worker_in_portions(
  inputs, tmp_path, monkeypatch
):
  monkeypatch.setattr(beam_engine, "_BUCKET_ROWS", 60)
  options = {"layout": layouts.CRITEO_X4, "max_vocabulary": 4}
  _prepare(inputs, tmp_path / "local", **options)
  summary = _prepare(
    inputs, tmp_path / "out", _beam(), count_bytes=1000, **options
  )
  assert summary["spilled_runs"] == 1 + 500 // 60
  found, said = _tree(tmp_path / "out")
  wanted, local_said = _tree(tmp_path / "local")
  assert found == wanted
  assert said["vocabularies"] == local_said["vocabularies"]
  assert said["vocabularies"]["C2"]["distinct"] == 428
  assert said["vocabularies"]["C1"]["capped"] == 1


def test_logs_of_other_columns_and_parquet_are_the_same(tmp_path):
  layout = Layout(("n",), ("s",), True, "y", delimiter=",", header=True)
  (tmp_path / "in").mkdir()
  rows = [f"{i % 2},{i},s{i % 3}\n" for i in range(90)]
  for name in ("a", "b"):
    (tmp_path / "in" / name).write_text("y,n,s\n" + "".join(rows))
  columns = {"s": ["s1"] * 50, "n": list(range(50)), "y": [0, 1] * 25}
  pq.write_table(pa.table(columns), tmp_path / "in" / "c")
  options = {"layout": layout, "shard_rows": 32, "block_bytes": 100}
  _prepare(tmp_path / "in", tmp_path / "local", **options)
  engine = BeamEngine(DIRECT, piece_bytes=200)
  _prepare(tmp_path / "in", tmp_path / "out", engine, **options)
  assert _tree(tmp_path / "out") == _tree(tmp_path / "local")
  assert len(_tree(tmp_path / "out")[0]) > 8


def test_too_many_bad_lines_end_the_job_with_what_was_seen(inputs, tmp_path):
  said = (
    r"of 500 lines at most 2 may be bad \(max_bad_fraction=0.005\), 3 are so "
    r"far: .*c.tsv:4: 1 columns, expected 40; .*c.tsv:61: NUL byte .*; "
    r".*c.tsv:100: empty line"
  )
  with pytest.raises(InputError, match=said):
    _prepare(inputs, tmp_path / "out", _beam(), max_bad_fraction=0.005)
  assert not (tmp_path / "out" / "prepare.json").exists()


@pytest.mark.parametrize(
  "text, said",
  [
    (gzip.compress(_text(0, 30))[:-9], "a damaged gzip"),
    (_text(0, 3), "no row is left for validation: 3 lines"),
    (b"2" + _text(0, 2)[1:], "no row is left for training: 2 lines"),
  ],
)
def test_a_mistake_is_said_in_the_words_of_the_local_job(tmp_path, text, said):
  (tmp_path / "in").mkdir()
  (tmp_path / "in" / "a").write_bytes(text)
  options = {"max_bad_fraction": 0.5}
  if text.startswith(b"2"):
    options["validation_fraction"] = 0.5
  errors = []
  for name, engine in (("local", None), ("beam", _beam())):
    with pytest.raises(InputError, match=said) as caught:
      _prepare(tmp_path / "in", tmp_path / name, engine, **options)
    errors.append(str(caught.value))
  assert errors[0] == errors[1]


def test_a_full_disk_is_named_and_pipelines_that_ended_run_no_more(
  inputs, local, tmp_path, full_disk
):
  with (
    full_disk(10_000),
    pytest.raises(InputError, match=r"File too large; men"),
  ):
    _prepare(inputs, tmp_path / "out", _beam())
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(prepared, "finish", lambda *unused: 1 / 0)
    with pytest.raises(ZeroDivisionError):
      _prepare(inputs, tmp_path / "out", _beam())
  with pytest.raises(InputError, match=r"begun by .*engine: beam against loc"):
    _prepare(inputs, tmp_path / "out")
  _prepare(inputs, tmp_path / "out", _beam("--runner=NoSuchRunner"))
  assert _tree(tmp_path / "out") == local


def test_workers_that_write_elsewhere_are_told(inputs, tmp_path, monkeypatch):
  # As if what they wrote had gone to another machine's disk.
  monkeypatch.setattr(beam_stage, "_say", lambda *unused: None)
  with pytest.raises(InputError, match=r"left no .*all of them see"):
    _prepare(inputs, tmp_path / "out", _beam())


def _run(*flags, without=""):
  hide = f"import sys; sys.modules['{without}'] = None; " if without else ""
  run = "runpy.run_module('pipelines.prepare', None, '__main__', True)"
  code = f"{hide}import runpy; {run}"
  return subprocess.run(
    [sys.executable, "-c", code, *flags],
    cwd=ROOT,
    env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    capture_output=True,
    text=True,
  )


def test_without_beam_only_the_runner_lacks(inputs, tmp_path):
  flags = (f"--input={inputs}/a.tsv", f"--output={tmp_path}/out")
  done = _run(*flags, "--runner=DirectRunner", without="apache_beam")
  assert done.returncode == 1
  assert done.stderr.startswith("error: --runner needs Apache Beam")
  assert done.stderr.endswith("pip install -r requirements-beam.txt\n")
  assert done.stderr.count("\n") == 1
  assert not (tmp_path / "out").exists()
  done = _run("--help", without="apache_beam")
  assert "--runner" in done.stdout


def test_options_without_a_runner_are_named(inputs, tmp_path):
  flags = (f"--input={inputs}/a.tsv", f"--output={tmp_path}/out")
  done = _run(*flags, "--beam_options=--a=1 --b")
  assert done.returncode == 1
  assert "error: beam_options should come with --runner, are --a=1 --b\n" == (
    done.stderr
  )


def test_pieces_have_a_size():
  with pytest.raises(InputError, match=r"piece_bytes should .* is 0"):
    BeamEngine(DIRECT, piece_bytes=0)
