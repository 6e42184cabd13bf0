"""Nights on made days with drift: a good model is promoted, a worse refused."""

import json
import os
import pathlib
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
from ctr_codistill.evaluation.churn import gate
from ctr_codistill.evaluation.plans import Task
from ctr_codistill.models import networks
from pipelines import nightly

ROOT = pathlib.Path(__file__).parents[1]
ROWS = 6000
LIMITS = """
[measures]
mean_absolute = 0.15
[worse]
log_loss = 0
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


def _night(made, tmp, name, candidate, day):
  output = tmp / name
  limits = tmp / "limits.toml"
  limits.write_text(LIMITS)
  found = nightly.begun(output, str(tmp / "clicks"), candidate)
  night = nightly.Night(
    Task(found, str(made.day(day))),
    gate.read(limits),
    str(tmp / "clicks"),
    output,
  )
  return nightly.run(night)


def test_nights_promote_what_is_better_and_refuse_what_is_not(made, tmp_path):
  made.learn(0)
  first = _night(made, tmp_path, "1", made.publish(1), day=1)
  assert first["promoted"] == str(tmp_path / "clicks" / "1")
  assert first["verdicts"] == []

  made.learn(1)
  candidate = made.publish(2)
  second = _night(made, tmp_path, "2", candidate, day=2)
  assert second["promoted"] == str(tmp_path / "clicks" / "2"), second
  value = json.loads((tmp_path / "2" / "quality" / "quality.json").read_text())
  losses = [run["log_loss"] for run in value["runs"].values()]
  assert losses[1] < losses[0]  # effects drifted: yesterday's knows less
  assert (tmp_path / "2" / "churn" / "report.html").exists()

  made.spoil()
  third = _night(made, tmp_path, "3", made.publish(3), day=3)
  assert third["promoted"] is None
  assert any(
    line.startswith("BROKEN  worse.log_loss") for line in third["verdicts"]
  )
  assert stamped.numbers(tmp_path / "clicks") == [1, 2]

  # A night that is started again changes nothing, though 2 is served now.
  assert _night(made, tmp_path, "2", candidate, day=2) == second
  assert stamped.numbers(tmp_path / "clicks") == [1, 2]


def test_the_script_ends_with_the_status_of_a_refusal(made, tmp_path):
  made.learn(2)
  good = made.publish(4)
  made.spoil()
  bad = made.publish(5)
  (tmp_path / "clicks").mkdir()
  os.symlink(good, tmp_path / "clicks" / "7")
  limits = tmp_path / "limits.toml"
  limits.write_text(LIMITS)
  done = subprocess.run(
    [
      *(sys.executable, "-m", "pipelines.nightly"),
      f"--candidate={bad}",
      f"--serving={tmp_path / 'clicks'}",
      f"--input={made.day(3)}",
      f"--gate={limits}",
      f"--output={tmp_path / 'night'}",
    ],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == nightly.REFUSED, done.stderr
  assert "promoted: no" in done.stdout
  assert "BROKEN  worse.log_loss" in done.stdout
