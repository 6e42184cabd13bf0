"""The scoring job's rate beside that of its model's forward pass alone.

--rows made clicks, warm in the page cache, and a model of the width that
--hidden says. In turn: the forward pass on prepared rows that lie in memory, in
the job's own batches; the job on records, and on raw text; and on the first of
the same rows in memory `keras.Model.predict` of the same network, in batches of
32 (its own choice) and of the job's size, and of one that takes the raw
columns, whose strings TensorFlow looks up.
"""

import itertools
import pathlib
import tempfile
import time
from collections.abc import Callable
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tf_keras

from ctr_codistill import config
from ctr_codistill import serving
from ctr_codistill import snapshots
from ctr_codistill.criteo import prepared
from ctr_codistill.criteo import records
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo.lookup import Lookup
from ctr_codistill.criteo.made import click_file
from ctr_codistill.criteo.preparing import preparation
from ctr_codistill.criteo.preparing.job import Options
from ctr_codistill.criteo.synthetic import Spec
from ctr_codistill.evaluation import parts
from ctr_codistill.evaluation import predict
from ctr_codistill.evaluation.plans import Task
from ctr_codistill.evaluation.predict import Predictor
from ctr_codistill.models import networks
from ctr_codistill.snapshots import Snapshot
from pipelines.benchmarks.work import Work

UNIT = "rows/s"
_TURNS = 3
_KERAS_ROWS = 65_536
_FORWARD = "forward, in memory"
_KERAS = "keras predict"


def lines(work: Work) -> list[dict[str, object]]:
  """Returns a line a part: its rate, and that over the forward pass's."""
  found = rates(work)
  return [
    {"part": name, UNIT: rate, "of_forward": rate / found[_FORWARD]}
    for name, rate in found.items()
  ]


def rates(work: Work) -> dict[str, float]:
  """Returns the median of rows/s of each part, which take turns."""
  taken: dict[str, list[float]] = {}
  with tempfile.TemporaryDirectory() as name:
    made = _Made(pathlib.Path(name), work)
    for _ in range(_TURNS):
      for part, run in made.parts().items():
        start = time.perf_counter()
        rows = run()
        rate = rows / (time.perf_counter() - start)
        taken.setdefault(part, []).append(rate)
  return {part: float(np.median(found)) for part, found in taken.items()}


def results(rates: Mapping[str, float]) -> list[dict[str, object]]:
  """Returns the lines of the benchmark: shares of the forward pass, gains."""
  compared = [(part, _FORWARD) for part in rates if part.startswith("job")]
  keras = [part for part in rates if part.startswith(_KERAS)]
  compared += [(part, against) for part, _ in compared for against in keras]
  return [
    {
      "name": "predict_" + part.replace(", ", "_").replace(" ", "_"),
      "value": rates[part],
      "unit": UNIT,
      "against": against,
      "ratio": rates[part] / rates[against],
    }
    for part, against in compared
  ]


class _Made:
  """Rows, and a model that is a snapshot and one of Keras."""

  def __init__(self, folder: pathlib.Path, work: Work) -> None:
    self._folder, rows = folder, work.rows
    self._text = folder / "clicks.tsv"
    click_file.write(Spec(rows_per_day=rows), self._text, start=0, stop=rows)
    data = folder / "data"
    preparation.prepare(
      str(self._text),
      data,
      Options(validation_fraction=0.01),
      clock=time.monotonic,
    )
    self._data = data / prepared.TRAIN
    self._schema = schemas.read(data)
    shape = config.Model(hidden=work.hidden, precision=work.precision)
    self._model = networks.build(shape, self._schema, seed=0)
    lookup = Lookup(self._schema, data)
    servable = serving.Servable(self._model, self._schema, lookup)
    self._raw_model = _with_lookup(self._model, self._schema, lookup)
    writer = snapshots.Writer(
      servable,
      servable.signatures(),
      {schemas.FILE: data / schemas.FILE},
      folder / "template",
    )
    writer.write(folder, 1, servable.weights, {})
    self._predictor = Predictor(Snapshot(folder / "1"))
    shards = records.open_shards(self._data, self._schema)
    self._prepared = np.concatenate(list(records.read_rows(shards)))
    self._columns = _columns(self._text, self._schema, _KERAS_ROWS)

  def parts(self) -> dict[str, Callable[[], int]]:
    """Returns what predicts rows, and how many it did, by its name."""
    return {
      _FORWARD: self._forward,
      "job, records": lambda: self._job(str(self._data)),
      "job, raw text": lambda: self._job(str(self._text)),
      "job, raw text, directory": self._directory,
      f"{_KERAS}, batches of 32": lambda: self._keras(32),
      f"{_KERAS}, large batches": lambda: self._keras(predict.CHUNK_ROWS),
      f"{_KERAS}, raw columns": self._keras_raw,
    }

  def _forward(self) -> int:
    return len(self._predictor(self._prepared))

  def _job(self, source: str) -> int:
    output = self._folder / "one.parquet"
    return predict.run(self._predictor, source, output).rows

  def _directory(self) -> int:
    task = Task((str(self._folder / "1"),), str(self._text))
    return parts.run(task, self._folder / "out", overwrite=True).rows

  def _keras(self, batch: int) -> int:
    rows, first = self._prepared[:_KERAS_ROWS], 1 + len(self._schema.numeric)
    features = {"numeric": rows[:, 1:first], "categorical": rows[:, first:]}
    return len(self._model.predict(features, batch_size=batch, verbose=0))

  def _keras_raw(self) -> int:
    return len(
      self._raw_model.predict(
        self._columns, batch_size=predict.CHUNK_ROWS, verbose=0
      )
    )


def _with_lookup(
  model: tf_keras.Model, schema: schemas.Schema, lookup: Lookup
) -> tf_keras.Model:
  """Returns the model of raw columns that a user of Keras would write."""
  inputs = {
    **{
      n.name: tf_keras.Input([], dtype=tf.int64, name=n.name)
      for n in schema.numeric
    },
    **{
      c.name: tf_keras.Input([], dtype=tf.string, name=c.name)
      for c in schema.categorical
    },
  }
  count = len(schema.numeric)

  def split(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    rows = lookup(raw, raw)
    return {"numeric": rows[:, :count], "categorical": rows[:, count:]}

  features = tf_keras.layers.Lambda(split)(inputs)
  return tf_keras.Model(inputs, model(features))


def _columns(
  text: pathlib.Path, schema: schemas.Schema, rows: int
) -> dict[str, np.ndarray]:
  """Returns the first rows of a text as a request's columns."""
  with text.open("rb") as file:
    first = itertools.islice(file, rows)
    split = [line.rstrip(b"\n").split(b"\t") for line in first]
  _, *columns = zip(*split)
  names = [feature.name for feature in (*schema.numeric, *schema.categorical)]
  found = {}
  for name, values in zip(names, columns, strict=True):
    if name.startswith("I"):
      whole = [int(v) if v else schemas.MISSING_INT64 for v in values]
      found[name] = np.array(whole, np.int64)
    else:
      found[name] = np.array(values, object)
  return found
