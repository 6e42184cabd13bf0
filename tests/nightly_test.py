"""Nights on made days with drift: a good model is promoted, a worse refused."""

import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill import serving
from ctr_codistill import snapshots
from ctr_codistill import stamped
from ctr_codistill.criteo import records
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo import synthetic
from ctr_codistill.criteo.lookup import Lookup
from ctr_codistill.criteo.preparing import preparation
from ctr_codistill.criteo.raw.layouts import Layout
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation.churn import gate
from ctr_codistill.evaluation.plans import Task
from ctr_codistill.exporting import exports
from ctr_codistill.exporting import judging
from ctr_codistill.exporting import narrow
from ctr_codistill.models import networks
from pipelines import night
from pipelines import nightly

ROOT = pathlib.Path(__file__).parents[1]
ROWS = 6000
LIMITS = """
[measures]
mean_absolute = 0.15
[worse]
log_loss = 0
[slices]
mean_absolute = 0.9
"""


class _Made:
  """Days of clicks whose effects drift, and a model that learns day by day."""

  def __init__(self, folder):
    self.folder = folder
    spec = synthetic.Spec(rows_per_day=ROWS, drift=0.1, seed=4)
    for day in range(4):
      rows = synthetic.rows(spec, day * ROWS, (day + 1) * ROWS)
      self.day(day).write_bytes(synthetic.text(rows))
    preparation.prepare(
      str(folder / "day-[012].tsv"),
      folder / "data",
      preparation.Options(min_count=3, validation_fraction=0.01),
      clock=time.monotonic,
    )
    self.schema = schemas.read(folder / "data")
    shards = records.open_shards(folder / "data" / "train", self.schema)
    self._rows = np.concatenate(list(records.read_rows(shards)))
    self._model = networks.build(
      config.Model(hidden=(16,), embedding_dim=4), self.schema, seed=1
    )
    self._optimizer = tf.keras.optimizers.legacy.Adam(0.003)
    servable = serving.Servable(
      self._model, self.schema, Lookup(self.schema, folder / "data")
    )
    self._writer = snapshots.Writer(
      servable,
      servable.signatures(),
      {schemas.FILE: folder / "data" / schemas.FILE},
      folder / "template",
    )

  def day(self, number):
    return self.folder / f"day-{number}.tsv"

  def learn(self, day):
    """Trains on a day's rows, once in order."""
    first = 1 + len(self.schema.numeric)

    @tf.function(autograph=False)
    def step(rows):
      with tf.GradientTape() as tape:
        logits = self._model(
          {"numeric": rows[:, 1:first], "categorical": rows[:, first:]},
          training=True,
        )
        labels = tf.cast(rows[:, 0], tf.float32)
        loss = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
        loss = tf.reduce_mean(loss)
      weights = self._model.trainable_variables
      self._optimizer.apply_gradients(
        zip(tape.gradient(loss, weights), weights)
      )

    for at in range(day * ROWS, min((day + 1) * ROWS, len(self._rows)), 50):
      step(tf.constant(self._rows[at : at + 50]))

  def publish(self, step):
    """Writes the model as it is; returns the snapshot."""
    weights = self._model.weights
    return str(self._writer.write(self.folder / "run", step, weights, {}))

  def spoil(self):
    """Makes the model predict far too many clicks."""
    bias = [w for w in self._model.weights if w.shape.rank == 1][-1]
    bias.assign_add(tf.fill(bias.shape, 1.5))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  return _Made(tmp_path_factory.mktemp("made"))


def test_nights_promote_what_is_better_and_refuse_what_is_not(made, tmp_path):
  clicks, limits = tmp_path / "clicks", tmp_path / "limits.toml"
  limits.write_text(LIMITS)
  made.learn(0)
  first = made.publish(1)
  assert night.begun(tmp_path / "1", str(clicks), first) == (first,)
  shutil.copytree(first, clicks / "1")

  made.learn(1)
  candidate = made.publish(2)
  output = tmp_path / "2"
  found = night.begun(output, str(clicks), candidate)
  assert found == (str(clicks / "1"), candidate)
  task = Task(found, str(made.day(2)), kept=("C6", "C9"))
  tonight = night.Night(
    task, gate.read(limits), str(clicks), output, slices=("C9",)
  )
  ended = night.run(tonight)
  assert ended["promoted"] == str(clicks / "2"), ended
  assert stamped.verify(clicks / "2")["step"] == 2
  card = json.loads((clicks / "2" / "assets.extra" / "export.json").read_text())
  assert card["judged"]["verdicts"] == ended["verdicts"]
  compared = json.loads((output / "churn" / "churn.json").read_text())
  assert card["judged"]["mean_absolute"] == compared["mean_absolute"] > 0
  value = json.loads((output / "quality" / "quality.json").read_text())
  losses = [run["log_loss"] for run in value["runs"].values()]
  assert losses[1] < losses[0]  # effects drifted: yesterday's knows less
  assert {s["column"] for s in value["runs"]["2"]["slices"]} == {"C9"}
  assert {s["column"] for s in compared["slices"]} == {"C9"}
  assert (output / "churn" / "report.html").exists()
  # Started again, it changes nothing, though its candidate is served now.
  assert night.begun(output, str(clicks), candidate) == found
  assert night.run(tonight) == ended
  assert stamped.numbers(clicks) == [1, 2]

  # One that was killed after its promotion goes back to before its verdict,
  # and there need not be another candidate on the next night.
  note = {k: v for k, v in ended.items() if k not in ("promoted", "verdicts")}
  stamped.write_json(output / night.NOTE, note)
  assert night.run(tonight)["promoted"] == str(clicks / "2")
  next_found = night.begun(tmp_path / "2b", str(clicks), candidate)
  again = dataclasses.replace(
    tonight,
    task=dataclasses.replace(task, snapshots=next_found),
    output=tmp_path / "2b",
  )
  assert night.run(again)["promoted"] == str(clicks / "2")
  assert stamped.numbers(clicks) == [1, 2]

  made.spoil()
  done = subprocess.run(
    [
      *(sys.executable, "-m", "pipelines.nightly"),
      f"--candidate={made.publish(3)}",
      f"--serving={clicks}",
      f"--input={made.day(3)}",
      f"--gate={limits}",
      *("--columns=C9", "--slices=C9", "--runner=DirectRunner"),
      f"--output={tmp_path / '3'}",
    ],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == nightly.REFUSED, done.stderr
  assert "BROKEN  worse.log_loss" in done.stdout
  assert "slices.mean_absolute: " in done.stdout
  assert "promoted: no" in done.stdout
  assert stamped.numbers(clicks) == [1, 2]


def _night(snapshots, source, folder, output):
  limits = gate.Limits("value", (gate.Limit("worse", "log_loss", 9.0),))
  layout = Layout(("I1", "I2"), ("C1", "C2", "C3"), True)
  task = Task(snapshots, str(source), layout)
  return night.Night(task, limits, str(folder / "clicks"), output)


def _lines(path, label=""):
  path.write_text(f"{label}1\t2\ta\tb\tc\n" * 8)
  return path


def test_a_night_that_is_wrong_from_the_start_binds_nothing(publish, tmp_path):
  """The next try may have another candidate, input and served model."""
  good = str(publish(tmp_path / "run", 1, seed=1))
  day = _lines(tmp_path / "day.tsv", "1\t")
  output = tmp_path / "night"
  for candidate, source, said in [
    (good, _lines(tmp_path / "bare.tsv"), r"bare\.tsv should have labels"),
    (good, tmp_path / "none.tsv", r"none\.tsv"),
    (str(tmp_path), day, "is no complete directory"),
  ]:
    found = night.begun(output, str(tmp_path / "clicks"), candidate)
    with pytest.raises(InputError, match=said):
      night.run(_night(found, source, tmp_path, output))
    assert not output.exists()
  with pytest.raises(InputError, match="directory of versions, is a model"):
    night.begun(output, good, good)
  found = night.begun(output, str(tmp_path / "clicks"), good)
  tonight = _night(found, day, tmp_path, output)
  ended = night.run(tonight)
  assert ended["promoted"] == str(tmp_path / "clicks" / "1")

  # Its end is told whatever became of its models.
  assert night.ended(output, good, str(day)) == ended
  assert night.ended(tmp_path / "none", good, str(day)) is None

  other = str(publish(tmp_path / "run", 2, seed=2))
  said = f"night of the candidate {good}, not of {other}; each night"
  with pytest.raises(InputError, match=said):
    night.begun(output, str(tmp_path / "clicks"), other)
  tomorrow = _night(found, tmp_path / "day_9.tsv", tmp_path, output)
  with pytest.raises(InputError, match=r"input .*day\.tsv, not of .*day_9"):
    night.run(tomorrow)
  assert night.run(tonight) == ended


def test_a_night_whose_opponent_was_replaced_is_refused(publish, tmp_path):
  day, clicks = _lines(tmp_path / "day.tsv", "1\t"), tmp_path / "clicks"
  first, good, other = (
    str(publish(tmp_path / "run", step, seed=step)) for step in (1, 2, 3)
  )
  exports.export(first, clicks)
  found = night.begun(tmp_path / "night", str(clicks), good)
  tonight = _night(found, day, tmp_path, tmp_path / "night")
  exports.export(other, clicks)
  said = rf"has {clicks}/2 in place by now, this night compares with {clicks}/1"
  with pytest.raises(InputError, match=said):
    night.run(tonight)
  assert stamped.numbers(clicks) == [1, 2]


def test_a_night_keeps_weights_as_those_that_are_served(publish, tmp_path):
  day, clicks = _lines(tmp_path / "day.tsv", "1\t"), tmp_path / "clicks"
  narrow.write(publish(tmp_path / "run", 1, seed=1), clicks / "1")
  candidate = str(publish(tmp_path / "run", 2, seed=2))
  output = tmp_path / "night"
  found = night.begun(output, str(clicks), candidate)
  assert found == (str(clicks / "1"), str(output / "candidate-bfloat16"))
  own = shutil.copytree(candidate, tmp_path / "x" / "candidate-bfloat16")
  with pytest.raises(InputError, match="candidate-bfloat16 should lie elsewh"):
    night.begun(tmp_path / "x", str(clicks), str(own))
  assert stamped.verify(own)["step"] == 2
  tonight = dataclasses.replace(
    _night(found, day, tmp_path, output), candidate=candidate
  )
  assert night.run(tonight)["promoted"] == str(clicks / "2")
  assert narrow.is_narrow(clicks / "2")
  report = json.loads(exports.report(clicks / "2").read_text())
  assert report["snapshot"] == candidate
  assert report["warmup"]["rows"] == f"of {day}"
  assert night.begun(output, str(clicks), candidate) == found
  with pytest.raises(InputError, match="of the weights bfloat16, not of float"):
    night.begun(output, str(clicks), candidate, weights="float32")
  assert night.run(tonight)["promoted"] == str(clicks / "2")
  wide = night.begun(
    tmp_path / "wide", str(clicks), candidate, weights="float32"
  )
  assert wide == (str(clicks / "2"), candidate)


def test_limits_that_no_night_could_be_held_against_end_it_at_once(tmp_path):
  (tmp_path / "limits.toml").write_text(LIMITS)
  done = subprocess.run(
    [
      *(sys.executable, "-m", "pipelines.nightly"),
      *(f"--candidate={tmp_path}", f"--serving={tmp_path / 'clicks'}"),
      *(f"--input={tmp_path}", f"--gate={tmp_path / 'limits.toml'}"),
      f"--output={tmp_path / 'night'}",
    ],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 1
  assert "[slices] should be of none (there are no slices: --sl" in done.stderr
  assert not (tmp_path / "night").exists()
  (tmp_path / "limits.toml").write_text("[ranks]\ntau_b = 0.9\n")
  with pytest.raises(InputError, match=r"\[ranks\] .* has 'tau_b'"):
    judging.read_limits(tmp_path / "limits.toml", sliced=True)
  (tmp_path / "limits.toml").write_text("[measures]\nmean_absolut = 0.9\n")
  with pytest.raises(InputError, match="has 'mean_absolut'"):
    judging.read_limits(tmp_path / "limits.toml")
