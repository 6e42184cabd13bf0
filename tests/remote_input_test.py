"""Training and predicting on data that lie in a real object store."""

import gzip
import json
import signal

import launching
import numpy as np
import object_store
import pytest

from ctr_codistill import stamped
from ctr_codistill.evaluation import parts
from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation.plans import Task

PLACE = f"s3://{object_store.BUCKET}"
STEPS = 8
FLAGS = (
  "--groups=1",
  *launching.TINY,
  f"--training.max_steps={STEPS}",
  "--exchange.every_steps=4",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  return launching.data(tmp_path_factory.mktemp("data"), rows=2000)


@pytest.fixture(scope="module")
def store(data):
  with object_store.served() as found:
    for path in data.rglob("*"):
      if path.is_file():
        found.put(f"data/{path.relative_to(data)}", path.read_bytes())
    yield found


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
  return tmp_path_factory.mktemp("cache")


def _start(store, script, *flags, **environment):
  return launching.start(script, *flags, env=store.environment | environment)


def _run(store, script, *flags, status=0):
  return launching.ended(_start(store, script, *flags), status)


@pytest.fixture(scope="module")
def run(store, cache, tmp_path_factory):
  """The work directory of a group, and what was said of it."""
  workdir = tmp_path_factory.mktemp("runs") / "run"
  flags = (f"--data={PLACE}/data", f"--cache={cache}", f"--workdir={workdir}")
  return workdir, _run(store, "launch", *flags, *FLAGS)


def test_a_group_trains_on_the_copy_of_its_data(run, data, cache):
  workdir, said = run
  (copy,) = cache.glob("[!.]*")
  assert f"{PLACE}/data is read from its copy, {copy}" in said
  files = [path for path in data.rglob("*") if path.is_file()]
  for path in files:
    found = copy / path.relative_to(data)
    assert found.read_bytes() == path.read_bytes()
  # The launcher fails where a worker ends with another status than 0.
  progress = json.loads((workdir / "group-0" / "progress.json").read_text())
  assert (progress["state"], progress["step"]) == ("done", STEPS)
  assert stamped.numbers(workdir / "exchange" / "group-0") == [4, 8]


def test_workers_that_copy_for_themselves_end_well(store, tmp_path):
  ports = [object_store.free_port() for _ in range(2)]
  cluster = {"worker": [f"localhost:{port}" for port in ports]}
  workers = [
    _start(
      store,
      "train",
      f"--data={PLACE}/data",
      f"--cache={tmp_path / 'cache'}",
      f"--workdir={tmp_path / 'run'}",
      "--workers=2",
      *FLAGS,
      TF_CONFIG=json.dumps(
        {"cluster": cluster, "task": {"type": "worker", "index": index}}
      ),
    )
    for index in range(2)
  ]
  said = [launching.ended(worker) for worker in workers]
  # One fetched the rows, the other one waited for it.
  assert sorted("fetch train" in text for text in said) == [False, True]


def test_shards_of_a_store_are_predicted_into_it(
  run, store, data, cache, tmp_path
):
  flags = (f"--snapshot={run[0]}/exchange/group-0/8", f"--cache={cache}")
  for source, output in [
    (data / "validation", tmp_path / "a.parquet"),
    (f"{PLACE}/data/validation", f"{PLACE}/out/b.parquet"),
    (f"{PLACE}/data/validation", f"{PLACE}/out/parts"),
  ]:
    said = _run(
      store, "predict", *flags, f"--input={source}", f"--output={output}"
    )
    assert f"286 rows predicted: {output}" in said
  (tmp_path / "b.parquet").write_bytes(store.get("out/b.parquet"))
  first, second = (predictions.read(tmp_path / f"{n}.parquet") for n in "ab")
  np.testing.assert_array_equal(first.probability, second.probability)
  np.testing.assert_array_equal(first.label, second.label)
  assert set(store.tree("out/parts")) == {"job.json", "part-00000.parquet"}
  runs = f"--runs={PLACE}/out/b.parquet,{PLACE}/out/parts/*.parquet"
  _run(store, "churn", runs, f"--output={tmp_path / 'churn'}")
  found = json.loads((tmp_path / "churn" / "churn.json").read_text())
  assert found["examples"] == 286


def test_a_scoring_job_that_was_killed_goes_on_in_a_store(
  run, store, data, tmp_path
):
  source = tmp_path / "a.tsv"
  text = (data.parent / "clicks.tsv").read_bytes()
  source.write_bytes(text.replace(b"\n", b"\nbad\n", 1))
  steps = tuple(f"{run[0]}/exchange/group-0/{step}" for step in (4, 8))
  task = Task(steps, str(source), piece_bytes=100_000, max_bad_fraction=0.01)
  local = tmp_path / "out"
  assert parts.run(task, local).parts == 5
  wanted = {
    str(path.relative_to(local)): path.read_bytes()
    for path in local.rglob("*")
    if path.is_file()
  }
  flags = (
    f"--snapshot={','.join(steps)}",
    f"--input={source}",
    f"--output={PLACE}/scored",
    *("--piece_bytes=100000", "--max_bad_fraction=0.01"),
  )
  jobs, admitted = [], []

  def admits():
    if len(admitted) == 5:  # between two files of the second piece
      jobs[0].kill()
      return False
    admitted.append(None)
    return True

  with object_store.gate(store, admits) as environment:
    jobs.append(_start(store, "predict", *flags, **environment))
    jobs[0].communicate()
  assert jobs[0].returncode == -signal.SIGKILL
  left = store.tree("scored")
  assert len(left) == 5
  assert left == {name: wanted[name] for name in left}
  with object_store.gate(store, lambda: jobs.append(None) or True) as behind:
    said = launching.ended(_start(store, "predict", *flags, **behind))
  assert "1 of them were there already" in said
  assert len(jobs) == 1 + 2 * 4
  assert store.tree("scored") == wanted


def test_made_clicks_go_to_a_store(store, tmp_path):
  for place in (tmp_path, f"{PLACE}/made"):
    output = f"--output={place}/a.tsv.gz"
    truth = f"--truth={place}/truth.parquet"
    _run(store, "synthesize", "--rows=500", output, truth)
  files = store.tree("made")
  local = gzip.decompress((tmp_path / "a.tsv.gz").read_bytes())
  assert gzip.decompress(files["a.tsv.gz"]) == local
  assert files["truth.parquet"] == (tmp_path / "truth.parquet").read_bytes()


def test_a_source_that_is_not_complete_is_named(store, tmp_path):
  flags = (f"--cache={tmp_path / 'cache'}", f"--workdir={tmp_path / 'run'}")
  said = _run(store, "launch", f"--data={PLACE}/none", *flags, *FLAGS, status=1)
  assert f"error: {PLACE}/none should be a prepared directory: " in said
  assert f"{PLACE}/none/prepare.json: no such file" in said
  assert "Traceback" not in said
  said = _run(
    store, "launch", "--data=x", f"--workdir={PLACE}/run", *FLAGS, status=1
  )
  assert f"--workdir={PLACE}/run: should be a path of this machine" in said
