"""Rows as a client sends them: integers and strings, beside the prepared ones.

What is served has to be asked with something. Raw files have it; of prepared
rows the ids are looked up backwards, and one that was hashed becomes a string
with that hash, so that the same row comes out again.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import tensorflow as tf

from ctr_codistill import snapshots
from ctr_codistill.criteo import encoding
from ctr_codistill.criteo import records
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo import vocabularies
from ctr_codistill.criteo.encoding import Encoder
from ctr_codistill.criteo.raw import layouts
from ctr_codistill.criteo.raw import lines
from ctr_codistill.criteo.raw.layouts import Layout
from ctr_codistill.criteo.schema import MISSING
from ctr_codistill.criteo.schema import MISSING_INT64
from ctr_codistill.criteo.schema import Categorical
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.errors import InputError

_CANDIDATES = 1 << 14  # strings that are hashed at once


@dataclasses.dataclass(frozen=True, eq=False)
class RawRows:
  """The same rows raw and prepared.

  Attributes:
    raw: by feature int64 `[rows]`, `MISSING_INT64` for none, or bytes `[rows]`,
      empty for none.
    numeric: int32 `[rows, numerics]`.
    categorical: int32 `[rows, categoricals]`.
  """

  raw: Mapping[str, np.ndarray]
  numeric: np.ndarray
  categorical: np.ndarray

  def __len__(self) -> int:
    return len(self.numeric)

  def __getitem__(self, rows: slice | np.ndarray) -> "RawRows":
    raw = {name: values[rows] for name, values in self.raw.items()}
    return RawRows(raw, self.numeric[rows], self.categorical[rows])

  def inputs(self, signature: str) -> dict[str, np.ndarray]:
    """Returns what the signature of a servable takes, by name."""
    if signature == "predict_ids":
      return {"numeric": self.numeric, "categorical": self.categorical}
    if signature == "predict":
      return dict(self.raw)
    return {"examples": self._examples()}

  def _examples(self) -> np.ndarray:
    """Returns tf.Examples `[rows]`, in which what is missing is left out."""
    found = np.empty(len(self), object)
    for row in range(len(self)):
      example = tf.train.Example()
      features = example.features.feature
      for name, values in self.raw.items():
        value = values[row]
        if values.dtype != object:
          if value != MISSING_INT64:
            features[name].int64_list.value.append(value)
        elif value:
          features[name].bytes_list.value.append(value)
      found[row] = example.SerializeToString()
    return found


def read(
  source: str,
  snapshot: str | os.PathLike,
  most: int,
  layout: Layout | None = None,
) -> RawRows:
  """Returns the first `most` rows of raw files or shards; no bad lines.

  Args:
    source: a path or pattern of raw files, or a directory of shards.
    snapshot: directory of one whose features these are.
    most: rows, at least 1.
    layout: of raw files; Criteo's form with the model's features if not given.

  Raises:
    InputError: as `encoding.read`, shards of another schema, or no row.
  """
  schema = schemas.read(pathlib.Path(snapshot) / snapshots.EXTRA)
  found = vocabularies.Vocabularies(snapshot, schema, folder=snapshots.ASSETS)
  if (pathlib.Path(source) / records.MANIFEST).is_file():
    shards = records.open_shards(source, schema)
    parts = list(records.read_rows(shards, 0, min(most, shards.rows)))
    rows = np.concatenate([np.zeros([0, schema.columns], np.int32), *parts])
    return of_prepared(rows, schema, found)
  return _of_files(source, Encoder(schema, found), most, layout)


def of_prepared(
  rows: np.ndarray,
  schema: Schema,
  values: Mapping[str, pa.BinaryArray],
) -> RawRows:
  """Returns raw rows that are prepared as `rows`, int32 `[rows, columns]`.

  `values` are the vocabularies by feature, binary `[size]`.

  Raises:
    InputError: there is no row.
  """
  if not len(rows):
    raise InputError("there should be a row to send, there is none")
  first = 1 + len(schema.numeric)
  raw = {
    feature.name: _int64(rows[:, 1 + i])
    for i, feature in enumerate(schema.numeric)
  }
  for i, feature in enumerate(schema.categorical):
    ids = rows[:, first + i]
    raw[feature.name] = _strings(ids, feature, values[feature.name])
  return _rows(raw, rows, schema)


def drawn(schema: Schema, count: int) -> np.ndarray:
  """Returns made rows, int32 `[count, columns]`: evenly spread ids.

  Each feature is missing in one row of eight, and unknown in another; what the
  integers are, the statistics of the feature spec say.
  """
  place = np.arange(count)
  found = [np.full(count, -1)]
  for feature in schema.numeric:
    z = feature.mean + feature.std * ((place * 0.618) % 2 - 1)
    value = np.sign(z) * np.expm1(np.abs(z))
    found.append(np.where(place % 8 == 3, MISSING, value.astype(np.int64)))
  for i, feature in enumerate(schema.categorical):
    spread = (place * 7919 + i) % max(feature.size, 1)
    ids = 1 + feature.oov + spread if feature.size else 1 + 0 * place
    ids = np.where(place % 8 == 5, 1 + place % feature.oov, ids)
    found.append(np.where(place % 8 == 7, 0, ids))
  return np.stack(found, 1).astype(np.int32)


def _of_files(
  source: str, encoder: Encoder, most: int, layout: Layout | None
) -> RawRows:
  paths = lines.find(source)
  wanted = layouts.fitting(encoder.schema, layout)
  parts, count = [], 0
  for parsed, prepared in encoding.read(paths, encoder, layout=layout):
    strings = [
      v.cast(pa.binary()).to_numpy(zero_copy_only=False).astype(object)
      for v in parsed.categorical
    ]
    columns = [*_int64(parsed.numeric.T), *strings]
    raw = dict(zip((*wanted.numeric, *wanted.categorical), columns))
    parts.append(_rows(raw, prepared, encoder.schema))
    count += len(prepared)
    if count >= most:
      break
  if not count:
    raise InputError(f"{source} should have a row, has none")
  return _joined(parts)[:most]


def _rows(
  raw: Mapping[str, np.ndarray], prepared: np.ndarray, schema: Schema
) -> RawRows:
  first = 1 + len(schema.numeric)
  return RawRows(raw, prepared[:, 1:first], prepared[:, first:])


def _joined(parts: list[RawRows]) -> RawRows:
  return RawRows(
    {n: np.concatenate([p.raw[n] for p in parts]) for n in parts[0].raw},
    np.concatenate([p.numeric for p in parts]),
    np.concatenate([p.categorical for p in parts]),
  )


def _int64(values: np.ndarray) -> np.ndarray:
  return np.where(values == MISSING, MISSING_INT64, values.astype(np.int64))


def _strings(
  ids: np.ndarray, feature: Categorical, vocabulary: pa.BinaryArray
) -> np.ndarray:
  """Returns strings, bytes `[rows]`, that have these ids."""
  hashed = {int(i) - 1 for i in np.unique(ids) if 0 < i <= feature.oov}
  known = {0: b""} | {
    1 + bucket: value
    for bucket, value in _hashing(hashed, feature.oov, vocabulary).items()
  }
  found = np.empty(len(ids), object)
  for row, value in enumerate(ids.tolist()):
    if value > feature.oov:
      found[row] = vocabulary[value - 1 - feature.oov].as_py()
    else:
      found[row] = known[value]
  return found


def _hashing(
  buckets: set[int], oov: int, vocabulary: pa.BinaryArray
) -> dict[int, bytes]:
  """Returns for each bucket a string of no vocabulary that hashes to it."""
  found: dict[int, bytes] = {}
  start = 0
  while buckets - set(found):
    names = [b"other-%d" % i for i in range(start, start + _CANDIDATES)]
    start += _CANDIDATES
    places = tf.strings.to_hash_bucket_fast(names, oov).numpy().tolist()
    known = pa.compute.is_in(pa.array(names, pa.binary()), vocabulary)
    for name, place, taken in zip(names, places, known.to_pylist()):
      if place in buckets and not taken:
        found.setdefault(place, name)
  return found
