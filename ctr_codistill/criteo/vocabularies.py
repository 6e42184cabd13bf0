"""Vocabularies as files: one value a line, the most frequent first.

A plain text file is what TensorFlow's lookup tables read when a snapshot is
served; the same bytes, verified by their sum, serve the preparation.
"""

import hashlib
import os
import pathlib
from collections.abc import Iterator
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from pyarrow import compute

from ctr_codistill.criteo.schema import Schema
from ctr_codistill.errors import InputError

FOLDER = "vocabularies"
_NEWLINE = 10


def path(directory: str | os.PathLike, name: str) -> pathlib.Path:
  """Returns where the vocabulary of feature `name` lies in `directory`."""
  return pathlib.Path(directory) / FOLDER / f"{name}.txt"


def write(
  values: pa.BinaryArray, directory: str | os.PathLike, name: str
) -> str:
  """Writes the vocabulary of feature `name`; returns the file's sha256.

  Args:
    values: binary `[size]`, most frequent first; not empty, and without line
      ends and NUL bytes, which no parsed value has.
  """
  target = path(directory, name)
  target.parent.mkdir(parents=True, exist_ok=True)
  text = _text(values)
  aside = target.with_name(f".tmp-{target.name}")
  try:
    aside.write_bytes(text)
    os.replace(aside, target)
  except BaseException:
    aside.unlink(missing_ok=True)
    raise
  return hashlib.sha256(text).hexdigest()


class Vocabularies(Mapping[str, pa.BinaryArray]):
  """The values of each categorical by its name, read when they are asked for.

  All of them at once may be more than the memory should hold.

  Args:
    directory: a prepared one, or a snapshot.
    schema: says size and sum of each file.
    folder: of the files in `directory`; "assets" in a snapshot.
  """

  def __init__(
    self, directory: str | os.PathLike, schema: Schema, *, folder: str = FOLDER
  ) -> None:
    self._folder = pathlib.Path(directory, folder)
    self._features = {feature.name: feature for feature in schema.categorical}

  def __getitem__(self, name: str) -> pa.BinaryArray:
    """Returns binary `[size]`.

    Raises:
      InputError: naming a file that is missing or not as the schema says.
    """
    feature = self._features[name]
    file = self._folder / f"{name}.txt"
    return _read(file, feature.size, feature.sha256)

  def __iter__(self) -> Iterator[str]:
    return iter(self._features)

  def __len__(self) -> int:
    return len(self._features)


def read(
  directory: str | os.PathLike, schema: Schema, *, folder: str = FOLDER
) -> dict[str, pa.BinaryArray]:
  """Returns the values of each categorical, binary `[size]`, by its name.

  Args:
    directory: a prepared one, or a snapshot.
    schema: says size and sum of each file.
    folder: of the files in `directory`; "assets" in a snapshot.

  Raises:
    InputError: naming a file that is missing or not as the schema says.
  """
  return dict(Vocabularies(directory, schema, folder=folder))


def _read(file: pathlib.Path, size: int, sha256: str) -> pa.BinaryArray:
  try:
    # A snapshot holds the files that its graph reads: no empty one.
    text = file.read_bytes() if size or file.exists() else b""
  except OSError as error:
    raise InputError(f"{file}: {error.strerror}") from None
  found = hashlib.sha256(text).hexdigest()
  if found != sha256:
    raise InputError(f"{file}: sha256 should be {sha256}, is {found}")
  values = _lines(text)
  if len(values) != size:
    raise InputError(f"{file} should hold {size} values, holds {len(values)}")
  return values


def _lines(text: bytes) -> pa.BinaryArray:
  """Returns the lines of `text`, each of which ends with a newline."""
  data = np.frombuffer(text, np.uint8)
  ends = np.flatnonzero(data == _NEWLINE)
  offsets = np.zeros(len(ends) + 1, np.int32)
  offsets[1:] = ends - np.arange(len(ends))
  values = data[data != _NEWLINE]
  return pa.BinaryArray.from_buffers(
    pa.binary(),
    len(ends),
    [None, pa.py_buffer(offsets), pa.py_buffer(values)],
  )


def _text(values: pa.BinaryArray) -> bytes:
  """Returns the values, a newline behind each."""
  lines = pa.ListArray.from_arrays([0, len(values)], values)
  text = compute.binary_join(lines, pa.scalar(b"\n", pa.binary()))[0]
  return text.as_py() + b"\n" * bool(len(values))
