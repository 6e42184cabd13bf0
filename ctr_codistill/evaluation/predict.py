"""The batch job: what a snapshot predicts for raw lines or for shards.

A snapshot carries its feature spec, so it needs nothing beside itself and the
input; strings are looked up by the same code that prepared the training data.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ctr_codistill import snapshots
from ctr_codistill.criteo import encoding
from ctr_codistill.criteo import records
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo import vocabularies
from ctr_codistill.criteo.parsing import BadLine
from ctr_codistill.criteo.quarantine import Quarantine
from ctr_codistill.criteo.raw import lines
from ctr_codistill.criteo.raw.layouts import Layout
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation.metrics import Quality
from ctr_codistill.evaluation.predictions import Batch
from ctr_codistill.snapshots import Snapshot

_CHUNK_ROWS = 16_384  # rows of one call of the model: bounds its memory


@dataclasses.dataclass(frozen=True)
class Summary:
  """What a job did.

  Attributes:
    rows: predicted rows.
    bad: lines that were none, in order; they are not predicted.
    quality: of the predictions; None where a label is not known.
  """

  rows: int
  bad: tuple[BadLine, ...]
  quality: Quality | None


class Predictor:
  """A snapshot as a function of prepared rows."""

  def __init__(self, snapshot: Snapshot):
    """Reads the feature spec that `snapshot` carries."""
    self._snapshot = snapshot
    self.schema = schemas.read(snapshot.path / snapshots.EXTRA)

  def __call__(self, rows: np.ndarray) -> np.ndarray:
    """Returns float32 probabilities `[rows]` of int32 `[rows, columns]`."""
    first = 1 + len(self.schema.numeric)
    chunks = (
      rows[at : at + _CHUNK_ROWS] for at in range(0, len(rows), _CHUNK_ROWS)
    )
    found = [
      self._snapshot.predict_ids(
        numeric=tf.constant(chunk[:, 1:first]),
        categorical=tf.constant(chunk[:, first:]),
      )["probability"].numpy()
      for chunk in chunks
    ]
    return np.concatenate([np.zeros(0, np.float32), *found])

  def encoder(self) -> encoding.Encoder:
    """Returns what makes prepared rows of raw ones, as its training did."""
    found = vocabularies.read(
      self._snapshot.path, self.schema, folder=snapshots.ASSETS
    )
    return encoding.Encoder(self.schema, found)


def run(
  predictor: Predictor,
  source: str,
  output: str | os.PathLike,
  *,
  max_bad_fraction: float = 0.001,
  progress: Callable[[int], None] = lambda rows: None,
  layout: Layout | None = None,
) -> Summary:
  """Predicts all rows of `source` and writes them to the parquet file `output`.

  Args:
    predictor: the model.
    source: a directory of shards, or a pattern of raw files with or without
      the label column.
    output: whole or absent; `example` is the row's number in the input.
    max_bad_fraction: of the lines that may be bad, in [0, 1].
    progress: called with the number of rows newly done.
    layout: of raw files; None is Criteo's form with the model's features.

  Raises:
    InputError: no input, one that does not fit the model's feature spec, too
      many bad lines, or `output` is a directory.
  """
  if pathlib.Path(output).is_dir():
    raise InputError(f"output should be a file, {output} is a directory")
  bad = _Bad(count(predictor, source, layout), max_bad_fraction)
  quality = Quality.empty()

  def batches() -> Iterator[Batch]:
    nonlocal quality
    for example, rows in _rows(predictor, source, bad, layout):
      probability, label = predictor(rows), _known(rows[:, 0])
      if label is not None:
        quality = quality.merge(Quality.of(probability, label))
      yield Batch(example, probability, label)
      progress(len(rows))

  rows = predictions.write(output, batches())
  return Summary(rows, tuple(bad.lines), quality if quality.examples else None)


def count(
  predictor: Predictor, source: str, layout: Layout | None = None
) -> int:
  """Returns the rows (of raw files: the lines) of `source`, see `run`."""
  if _is_shards(source):
    return records.open_shards(source, predictor.schema).rows
  header = layout is not None and layout.header
  return lines.count(lines.find(source), header=header)


class _Bad:
  """The bad lines so far, of which there must not be too many."""

  def __init__(self, rows: int, max_fraction: float):
    self.quarantine = Quarantine(rows, max_fraction, None)
    self.lines: list[BadLine] = []

  def add(self, bad: Sequence[BadLine]) -> None:
    self.quarantine.add(bad)
    self.lines.extend(bad)


def _is_shards(source: str) -> bool:
  return (pathlib.Path(source) / records.MANIFEST).is_file()


def _known(label: np.ndarray) -> np.ndarray | None:
  """Returns the labels `[rows]`; None where the input has none (all -1)."""
  return None if len(label) and label[0] < 0 else label


def _rows(
  predictor: Predictor, source: str, bad: "_Bad", layout: Layout | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Yields row numbers `[rows]` and rows `[rows, columns]`; fills `bad`."""
  if _is_shards(source):
    shards = records.open_shards(source, predictor.schema)
    for start in range(0, shards.rows, _CHUNK_ROWS):
      stop = min(start + _CHUNK_ROWS, shards.rows)
      rows = np.concatenate(list(records.read_rows(shards, start, stop)))
      yield np.arange(start, stop), rows
    return
  found = encoding.read(
    lines.find(source),
    predictor.encoder(),
    most_bad=bad.quarantine.allowed,
    layout=layout,
  )
  for parsed, rows in found:
    bad.add(parsed.bad)
    yield parsed.lines, rows
