"""What is prepared into a real object store is what a directory would hold."""

import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys

import object_store
import pytest

ROOT = pathlib.Path(__file__).parents[1]
VARIES = ("seconds", "seconds_count", "seconds_encode", "peak_rss_bytes")
ROWS = 400
# A run makes some 300 changes; 60 may come between two notes.
SEEDS = {1: 300, 2: 150, 3: 100}
FLAGS = (
  "--min_count=2",
  "--max_bad_fraction=0.1",
  "--block_rows=8",
  "--shard_rows=40",
  "--block_bytes=3000",
  "--count_bytes=60000",
  "--threads=2",
)


@pytest.fixture(scope="module")
def store():
  with object_store.served() as found:
    yield found


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
  """A raw file; every 50th line is bad."""
  drawn = random.Random(0)
  path = tmp_path_factory.mktemp("raw") / "a.tsv"
  lines = []
  for i in range(ROWS):
    numbers = [str(drawn.randrange(-3, 999)) for _ in range(13)]
    strings = [f"{drawn.randrange(2 ** (j % 12)):x}" for j in range(26)]
    bad = ["bad"] * (i % 50 == 7)
    lines.append("\t".join([str(i % 2), *numbers, *strings, *bad]) + "\n")
  path.write_text("".join(lines))
  return path


def _start(store, *words, **environment):
  quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
  return subprocess.Popen(
    [sys.executable, *map(str, words)],
    cwd=ROOT,
    env=os.environ | quiet | store.environment | environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def _ended(process, status=0):
  stdout, stderr = process.communicate(timeout=300)
  assert process.returncode == status, stderr
  assert "Traceback" not in stderr
  return stderr + stdout


def _prepare(store, raw, output, *flags, status=0, **environment):
  words = ("-m", "pipelines.prepare", f"--input={raw}", f"--output={output}")
  process = _start(store, *words, *FLAGS, *flags, **environment)
  return _ended(process, status)


def _parts(tree):
  """Returns the files, without what tells time and memory, and the summary."""
  summary = json.loads(tree.pop("prepare.json"))
  for name in VARIES:
    assert summary.pop(name) > 0
  return tree, summary


@pytest.fixture(scope="module")
def local(store, raw, tmp_path_factory):
  """What a directory holds when nobody killed the job."""
  output = tmp_path_factory.mktemp("local") / "out"
  _prepare(store, raw, output)
  found = {
    str(path.relative_to(output)): path.read_bytes()
    for path in output.rglob("*")
    if path.is_file()
  }
  files, summary = _parts(found)
  assert len([name for name in files if name.endswith(".rows")]) == 11
  assert (summary["rows_in"], summary["rows_quarantined"]) == (ROWS, 8)
  assert summary["spilled_runs"] > 1
  return files, summary


def _check(store, folder, local):
  files, summary = _parts(store.tree(folder))
  expected, whole = local
  assert files.keys() == expected.keys()
  assert [name for name in files if files[name] != expected[name]] == []
  assert summary == whole


def test_objects_are_the_files_of_a_local_job(store, raw, local, tmp_path):
  output = f"s3://{object_store.BUCKET}/plain/"
  said = _prepare(store, raw, output, TMPDIR=str(tmp_path))
  # The scratch follows from the address.
  own = tmp_path / f"ctr_codistill-{os.getuid()}"
  assert f"{output} is made in {own}/prepare-s3-clicks-plain-" in said
  assert f"{ROWS} rows in" in said
  _check(store, "plain", local)
  assert list(own.iterdir()) == []


def test_a_complete_or_foreign_output_is_left_alone(store, raw, tmp_path):
  output = f"s3://{object_store.BUCKET}/rules"
  scratch = f"--scratch={tmp_path / 'scratch'}"
  store.put("rules/thesis.txt", b"mine")
  said = _prepare(store, raw, output, scratch, "--overwrite", status=1)
  assert f"output {output} should be empty" in said
  assert store.tree("rules") == {"thesis.txt": b"mine"}
  output = f"s3://{object_store.BUCKET}/rules/out"
  (tmp_path / "scratch").mkdir()
  (tmp_path / "scratch" / "letter.txt").write_text("mine, too")
  said = _prepare(store, raw, output, scratch, "--overwrite", status=1)
  assert "scratch should be empty or a prepared directory" in said
  (tmp_path / "scratch" / "letter.txt").unlink()
  _prepare(store, raw, output, scratch)
  before = store.tree("rules/out")
  said = _prepare(store, raw, output, scratch, "--min_count=3", status=1)
  assert f"{output} is prepared already" in said
  assert store.tree("rules/out") == before
  # Nothing of the refused jobs stays behind.
  assert list(tmp_path.iterdir()) == []
  _prepare(
    store, raw, output, scratch, "--shard_rows=400", "--overwrite", status=0
  )
  names = [name for name in store.tree("rules/out") if name.endswith(".rows")]
  assert len(names) == 2


@pytest.fixture(scope="module")
def jobs(store, raw, tmp_path_factory):
  """How often each job was killed, by its seed."""
  seeds = ",".join(f"{seed}:{most}" for seed, most in SEEDS.items())
  job = _start(
    store,
    "tests/killed_job.py",
    f"s3://{object_store.BUCKET}/killed",
    seeds,
    f"--input={raw}",
    *FLAGS,
    SCRATCH=str(tmp_path_factory.mktemp("scratch")),
  )
  return json.loads(_ended(job).splitlines()[-1])


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_before_any_change_it_goes_on(store, local, jobs, seed):
  assert jobs[str(seed)] > 0
  _check(store, f"killed/{seed}", local)


def _admitted(count, otherwise):
  """Returns what admits `count` uploads and then does `otherwise`."""
  left = itertools.count(count, -1)
  return lambda: next(left) > 0 or otherwise()


def test_killed_in_an_upload_it_goes_on_even_without_its_scratch(
  store, raw, local, tmp_path
):
  output = f"s3://{object_store.BUCKET}/lost"
  scratch = tmp_path / "scratch"
  flags = (f"--input={raw}", f"--output={output}", f"--scratch={scratch}")
  jobs = []

  def kill():
    jobs[-1].kill()

  for lost in (False, True):
    if lost:
      shutil.rmtree(scratch)
    with object_store.gate(store, _admitted(8, kill)) as environment:
      words = ("-m", "pipelines.prepare", *flags, *FLAGS)
      jobs.append(_start(store, *words, **environment))
      jobs[-1].communicate()
    assert jobs[-1].returncode == -signal.SIGKILL
    assert "prepare.json" not in store.tree("lost")
  _prepare(store, raw, output, f"--scratch={scratch}")
  _check(store, "lost", local)


def test_a_store_that_refuses_is_named_and_the_job_goes_on_later(
  store, raw, local, tmp_path
):
  output = f"s3://{object_store.BUCKET}/refused"
  scratch = f"--scratch={tmp_path / 'scratch'}"
  for admitted, name in [(0, "unfinished.json"), (7, "train/shard-0000")]:
    admits = _admitted(admitted, lambda: False)
    with object_store.gate(store, admits) as environment:
      said = _prepare(store, raw, output, scratch, status=1, **environment)
    assert f"{output}/{name}" in said
  assert "start again: the job goes on where it was" in said
  _prepare(store, raw, output, scratch)
  _check(store, "refused", local)


def test_a_bucket_that_is_not_there_is_named(store, raw, tmp_path):
  said = _prepare(store, raw, "s3://nobody/out", status=1, TMPDIR=str(tmp_path))
  assert "s3://nobody/out/unfinished.json cannot be written: no such" in said


def test_a_place_that_is_only_read_is_refused(store, raw):
  said = _prepare(store, raw, "http://127.0.0.1/out", status=1)
  assert "--output=http://127.0.0.1/out: should be a path of this mac" in said
