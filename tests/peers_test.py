"""Two groups of different models, one of them a user's own, as one command."""

import json

import launching
import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill import keys
from ctr_codistill import stamped
from ctr_codistill.evaluation import curves
from ctr_codistill.snapshots import Snapshot

FLAGS = [
  "--groups=2",
  *launching.TINY,
  "--training.epochs=20",
  "--training.max_steps=480",
  "--training.summarize_every=8",
  "--exchange.every_steps=4",
  "--codistill.burn_in_steps=4",
]
SECRET = "a secret of a test, no shorter than it must be"
OWN = [
  "--per_group=0:model.name=docs.examples.own_model:two_towers",
  "--per_group=1:model.name=dlrm",
  "--per_group=1:model.activation=smelu",
  "--per_group=1:model.precision=bfloat16",
  "--per_group=1:model.hidden=16,8",
  "--per_group=1:training.batch_size=128",
  "--per_group=1:training.max_steps=240",
  "--per_group=1:optimizer.learning_rate=0.01",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  return launching.data(tmp_path_factory.mktemp("data"))


def _launch(data, workdir, *flags, status=0):
  places = (f"--data={data}", f"--workdir={workdir}")
  return launching.run("launch", *places, *FLAGS, *flags, status=status)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
  """The work directory of the two groups."""
  folder = tmp_path_factory.mktemp("runs")
  (folder / "key").write_text(SECRET)
  (folder / "key").chmod(0o600)
  workdir = folder / "run"
  _launch(data, workdir, f"--exchange.key_file={folder}/key", *OWN)
  return workdir


def _newest(run, group):
  folder = run / "exchange" / f"group-{group}"
  return folder / str(stamped.numbers(folder)[-1])


def test_each_group_has_its_own_steps(run):
  assert [_newest(run, group).name for group in (0, 1)] == ["480", "240"]
  for group, steps in ((0, 480), (1, 240)):
    text = (run / f"group-{group}" / "progress.json").read_text()
    assert (json.loads(text)["state"], json.loads(text)["step"]) == (
      "done",
      steps,
    )


def test_the_one_that_came_later_learned_from_the_other_s_model(run):
  taught = [
    curves.read(run / f"group-{group}" / "events", "loss/teacher")[1]
    for group in (0, 1)
  ]
  assert max(map(len, taught)) > 0
  assert all(np.isfinite(values).all() for values in taught)


def test_both_serve_the_same_requests(run):
  snapshots = [Snapshot(_newest(run, group)) for group in (0, 1)]
  features = {
    "numeric": tf.zeros([5, 13], tf.int32),
    "categorical": tf.ones([5, 26], tf.int32),
  }
  found = [s.predict_ids(**features)["probability"].numpy() for s in snapshots]
  assert [p.shape for p in found] == [(5,), (5,)]
  assert not np.allclose(*found)


def test_one_file_tells_of_both(run):
  written = json.loads((run / "experiment.json").read_text())["experiment"]
  experiment = config.from_dict(written)
  assert [config.for_group(experiment, g).model.name for g in (0, 1)] == [
    "docs.examples.own_model:two_towers",
    "dlrm",
  ]


def test_a_model_that_there_is_not_reaches_the_user(data, tmp_path):
  other = "--per_group=1:model.name=docs.examples:no"
  said = _launch(data, tmp_path / "run", other, status=1)
  assert "group 1 worker 0 ended with status 1: error: model.name" in said
  assert "None for 'no'" in said
  assert "Traceback" not in said


def test_all_that_is_exchanged_is_signed_and_the_secret_is_nowhere(run):
  key = keys.read(run.parent / "key")
  for group in (0, 1):
    root = run / "exchange" / f"group-{group}"
    for place in (root, run / f"group-{group}" / "checkpoints"):
      numbers = stamped.numbers(place)
      assert numbers
      for number in numbers:
        stamped.verify(place / str(number), key)
  texts = [path.read_bytes() for path in run.rglob("*") if path.is_file()]
  assert not [text for text in texts if SECRET.encode() in text]
