"""The batch job: what snapshots predict for raw lines or for shards.

A snapshot carries its feature spec, so it needs nothing beside itself and the
input; strings are looked up by the same code that prepared the training data.
Rows are parsed and encoded once, however many snapshots predict them, by
threads beside the models.
"""

import contextlib
import dataclasses
import itertools
import os
import pathlib
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence

import numpy as np

from ctr_codistill import locks
from ctr_codistill import places
from ctr_codistill import snapshots
from ctr_codistill import tensors
from ctr_codistill.criteo import encoding
from ctr_codistill.criteo import parallel
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo import vocabularies
from ctr_codistill.criteo.parsing import BadLine
from ctr_codistill.criteo.quarantine import Quarantine
from ctr_codistill.criteo.raw import apart
from ctr_codistill.criteo.raw import lines
from ctr_codistill.criteo.raw.layouts import Layout
from ctr_codistill.criteo.raw.pieces import Piece
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import input_rows
from ctr_codistill.evaluation import inputs
from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation.input_rows import Encoders
from ctr_codistill.evaluation.input_rows import Rows
from ctr_codistill.evaluation.inputs import Input
from ctr_codistill.evaluation.metrics import Quality
from ctr_codistill.evaluation.prediction_writer import Writer
from ctr_codistill.evaluation.predictions import Batch
from ctr_codistill.snapshots import Snapshot

CHUNK_ROWS = 4096
"""Rows of each call of a model: bounds its memory, and fills the cores."""

MAX_BAD_FRACTION = 0.001
"""Of raw lines that may be bad, if nothing else is said."""


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


@dataclasses.dataclass(frozen=True, eq=False)
class Scored:
  """What each model predicts for consecutive rows of a piece.

  Attributes:
    piece: its number.
    batches: one a model, in the models' order.
    bad: lines between the rows that are none.
  """

  piece: int
  batches: tuple[Batch, ...]
  bad: tuple[BadLine, ...]

  @property
  def first(self) -> int:
    """The number of the first row; -1 where there is none."""
    example = self.batches[0].example
    return int(example[0]) if len(example) else -1


class Predictor:
  """A snapshot as a function of prepared rows.

  The model is always asked about `CHUNK_ROWS` rows, some of them without
  meaning: the order in which it sums depends on how many there are, and so
  what it says of a row does not depend on the rows around it.
  """

  def __init__(self, snapshot: Snapshot):
    """Reads the feature spec that `snapshot` carries."""
    self._snapshot = snapshot
    self.path = snapshot.path
    self.schema = schema_of(snapshot.path)

  def __call__(self, rows: np.ndarray) -> np.ndarray:
    """Returns float32 probabilities `[rows]` of int32 `[rows, columns]`."""
    chunks = (
      rows[at : at + CHUNK_ROWS] for at in range(0, len(rows), CHUNK_ROWS)
    )
    found = [self._chunk(chunk) for chunk in chunks]
    return np.concatenate([np.zeros(0, np.float32), *found])

  def _chunk(self, rows: np.ndarray) -> np.ndarray:
    first, count = 1 + len(self.schema.numeric), len(rows)
    if count < CHUNK_ROWS:
      none = np.zeros((CHUNK_ROWS - count, rows.shape[1]), rows.dtype)
      rows = np.concatenate([rows, none])
    found = self._snapshot.predict_ids(
      numeric=tensors.of(rows[:, 1:first]),
      categorical=tensors.of(rows[:, first:]),
    )
    return found["probability"].numpy()[:count]

  def encoder(self) -> encoding.Encoder:
    """Returns what makes prepared rows of raw ones, as its training did."""
    return encoder_of(self.path)


def schema_of(path: str | os.PathLike) -> schemas.Schema:
  """Returns the feature spec that the snapshot at `path` carries."""
  return schemas.read(pathlib.Path(path) / snapshots.EXTRA)


def encoder_of(path: str | os.PathLike) -> encoding.Encoder:
  """Returns the encoder of raw rows for the snapshot at `path`."""
  schema = schema_of(path)
  found = vocabularies.read(path, schema, folder=snapshots.ASSETS)
  return encoding.Encoder(schema, found)


def encoders(paths: Sequence[str | os.PathLike]) -> Encoders:
  """Returns those of some snapshots, one for each feature spec."""
  by_spec = {schema_of(path).fingerprint: path for path in reversed(paths)}
  return {spec: encoder_of(path) for spec, path in by_spec.items()}


def run(
  predictor: Predictor,
  source: str | Input,
  output: str | os.PathLike,
  *,
  max_bad_fraction: float = MAX_BAD_FRACTION,
  progress: Callable[[int], None] = lambda rows: None,
  layout: Layout | None = None,
  kept: Sequence[str] = (),
  threads: int = 2,
) -> Summary:
  """Predicts all rows of `source` and writes them to the parquet file `output`.

  Args:
    predictor: the model.
    source: a directory of shards, or a pattern of raw files with or without
      the label column; or what `inputs.find` found of it.
    output: whole or absent; `example` is the row's number in the input.
    max_bad_fraction: of the lines that may be bad, in [0, 1].
    progress: called with the number of rows newly done.
    layout: of raw files; None is Criteo's form with the model's features.
    kept: names of columns of the input that the file has as well.
    threads: that parse and encode.

  Raises:
    InputError: no input, one that does not fit the model's feature spec, too
      many bad lines; `output` is a directory, of the input, or another job's.
  """
  if pathlib.Path(output).is_dir():
    raise InputError(f"output should be a file, {output} is a directory")
  apart.check(inputs.patterns(source), [output])
  found = source
  if isinstance(source, str):
    found = inputs.find(source, [predictor.schema], layout=layout, kept=kept)
  bad = Bad(found.rows, max_bad_fraction)
  quality = Quality.empty()
  with _writing(output) as file:
    parts = scored([predictor], found, found.pieces, bad=bad, threads=threads)
    for (batch,) in (part.batches for part in parts):
      if batch.label is not None:
        quality = quality.merge(Quality.of(batch.probability, batch.label))
      file.add(batch)
      progress(len(batch))
  known = quality if quality.examples else None
  return Summary(file.rows, tuple(bad.lines), known)


@contextlib.contextmanager
def _writing(output: str | os.PathLike) -> Iterator[Writer]:
  """Opens a file that no other job writes; deletes what a killed one left."""
  folder, name = os.path.split(os.fspath(output))
  with locks.claimed(output, os.path.join(folder, f".{name}{locks.FILE}")):
    places.sweep(output)
    with predictions.writing(output) as file:
      yield file


def count(
  predictor: Predictor, source: str, layout: Layout | None = None
) -> int:
  """Returns the rows (of raw files: the lines) of `source`, see `run`."""
  if inputs.is_shards(source):
    return inputs.find(source, [predictor.schema]).rows
  header = layout is not None and layout.header
  return lines.count(lines.find(source), header=header)


class Bad:
  """The bad lines so far, of which there must not be too many.

  Attributes:
    lines: of this job, in order.
    allowed: how many there may be.
  """

  def __init__(self, rows: int, max_fraction: float, *, before: int = 0):
    """Begins with none, or with `before` that another job had of `rows`."""
    self._quarantine = Quarantine(rows, max_fraction, None, bad=before)
    self.allowed = self._quarantine.allowed
    self.lines: list[BadLine] = []

  def add(self, bad: Sequence[BadLine]) -> None:
    """Adds lines; raises InputError if there are too many."""
    self._quarantine.add(bad)
    self.lines.extend(bad)


def scored(
  predictors: Sequence[Predictor],
  source: Input,
  pieces: Iterable[Piece],
  *,
  bad: Bad,
  threads: int = 2,
) -> Iterator[Scored]:
  """Yields what the models predict for some pieces, in order; fills `bad`."""
  paths = [one.path for one in predictors]
  own = encoders(paths) if isinstance(source, inputs.RawInput) else {}
  rows = source.read(pieces, own, threads=threads, most_bad=bad.allowed)
  even = input_rows.even(rows, CHUNK_ROWS)
  # In a thread of its own, since whoever takes what is yielded works as well.
  for part in parallel.in_order(lambda r: asked(predictors, r), even, 1):
    bad.add(part.bad)
    yield part


def asked(predictors: Sequence[Predictor], rows: Rows) -> Scored:
  """Returns what each model predicts for some rows."""
  batches = (
    Batch(
      rows.example,
      predictor(rows.encoded[predictor.schema.fingerprint]),
      rows.label,
      rows.kept,
    )
    for predictor in predictors
  )
  return Scored(rows.piece, tuple(batches), rows.bad)


def by_piece(
  parts: Iterable[Scored],
) -> Iterator[tuple[int, Iterator[Scored]]]:
  """Yields the number of each piece with what is predicted for it."""
  return itertools.groupby(parts, key=lambda part: part.piece)
