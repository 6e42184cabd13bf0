"""Hashes of what was published, kept when the snapshots are long deleted.

Files of equal weights are equal too, but the graph beside them is not
(tensorflow #54067), and a file does not say which variable it is that differs.
"""

import hashlib
import json
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ctr_codistill import stamped
from ctr_codistill.errors import InputError

Contents = tuple[tuple[str, str], ...]
"""Name and hash of each variable, in the order of the model."""
FOLDER = "contents"
"""Where they lie in the folder of a group."""


def of(names: Sequence[str], weights: Sequence[tf.Tensor]) -> Contents:
  """Returns the contents of `weights`, which have these `names`."""
  return tuple(
    (name, hashlib.sha256(_bytes(weight)).hexdigest())
    for name, weight in zip(names, weights, strict=True)
  )


def whole(contents: Contents) -> str:
  """Returns one hash of all names and hashes."""
  return hashlib.sha256(json.dumps(contents).encode()).hexdigest()


def leave(folder: pathlib.Path, step: int, contents: Contents) -> None:
  """Keeps the contents of snapshot `step` in the `folder` of its group."""
  path = folder / FOLDER / f"{step}.json"
  path.parent.mkdir(parents=True, exist_ok=True)
  stamped.write_json(path, contents)


def steps(folder: pathlib.Path) -> list[int]:
  """Returns the steps whose contents a group has left, ascending."""
  found = (folder / FOLDER).glob("*.json")
  return sorted(int(path.stem) for path in found if path.stem.isdecimal())


def read(folder: pathlib.Path, step: int) -> Contents:
  """Returns what a group has left of `step`.

  Raises:
    InputError: it cannot be read.
  """
  path = folder / FOLDER / f"{step}.json"
  try:
    found = json.loads(path.read_text(encoding="utf-8"))
    return tuple((name, content) for name, content in found)
  except (OSError, ValueError, TypeError) as error:
    raise InputError(f"{path} should hold hashes: {error}") from None


def _bytes(weight: tf.Tensor) -> np.ndarray:
  """Returns the bytes of a tensor without a copy: it may be a table."""
  with tf.device("CPU:0"):
    held = tf.identity(weight)
  return np.asarray(memoryview(held)).reshape(-1).view(np.uint8)
