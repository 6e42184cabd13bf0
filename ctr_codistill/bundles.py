"""Weights in a checkpoint's files, in the order of a module's list.

They are written from tensors and read into tensors, without a graph. Names go
in as arrays: TensorFlow keeps each Python string for ever, a kilobyte a call
(its issue 68196).
"""

import pathlib
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ctr_codistill import tensors
from ctr_codistill.errors import InputError
from ctr_codistill.trust import sizes

FOLDER = "variables"
_OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"
"""What a checkpoint of TensorFlow keeps beside its variables."""
Kinds = list[tuple[tf.TensorShape, tf.DType]]
"""Shape and type of each weight."""


def kinds(weights: Sequence[tf.Tensor | tf.Variable]) -> Kinds:
  """Returns shape and type of each of `weights`."""
  return [(weight.shape, weight.dtype) for weight in weights]


def objects(path: pathlib.Path) -> bytes:
  """Returns what the directory at `path` says of the objects of its weights."""
  return tf.train.load_checkpoint(_prefix(path)).get_tensor(_OBJECTS)


def write(
  path: pathlib.Path, weights: Sequence[tf.Tensor], said: bytes
) -> None:
  """Writes `weights`, and what is said of their objects, below `path`."""
  (path / FOLDER).mkdir(exist_ok=True)
  names = [*_names(len(weights)), _OBJECTS]
  with tf.device("CPU:0"):
    tf.raw_ops.SaveV2(
      prefix=np.array(_prefix(path)),
      tensor_names=np.array(names),
      shape_and_slices=np.array([""] * len(names)),
      tensors=[*weights, tensors.of(said, object)],
    )


def read(
  path: pathlib.Path,
  files: Mapping[str, Any],
  wanted: Kinds | None = None,
) -> list[tf.Tensor]:
  """Reads the weights below `path`, once it is known that they can be had.

  Args:
    path: of the directory.
    files: its manifest's.
    wanted: what they should be; None: anything that their files can hold.

  Raises:
    InputError: they are larger than their files, or not as wanted.
  """
  shapes, types = _declared(path)
  held = sum(f["bytes"] for n, f in files.items() if n.startswith(FOLDER + "/"))
  sizes.check_variables(shapes, types, held)
  names = _names(len(types) - 1)
  found = [(tf.TensorShape(shapes[n]), types[n]) for n in names]
  if wanted is not None and found != wanted:
    raise InputError(
      f"its weights should be {_said(wanted)}, are {_said(found)}"
    )
  if not names:
    return []  # a model without weights; to restore nothing is an error
  with tf.device("CPU:0"):
    return tf.raw_ops.RestoreV2(
      prefix=np.array(_prefix(path)),
      tensor_names=np.array(names),
      shape_and_slices=np.array([""] * len(names)),
      dtypes=[types[name] for name in names],
    )


def declared(path: pathlib.Path) -> Kinds:
  """Returns shape and type of each of the weights below `path`, unread."""
  shapes, types = _declared(path)
  names = _names(len(types) - 1)
  return [(tf.TensorShape(shapes[n]), types[n]) for n in names]


def _declared(path: pathlib.Path) -> tuple[dict[str, list[int]], dict]:
  reader = tf.train.load_checkpoint(_prefix(path))
  return (
    reader.get_variable_to_shape_map(),
    reader.get_variable_to_dtype_map(),
  )


def _said(kinds: Kinds) -> str:
  return ", ".join(f"{dtype.name}{shape.as_list()}" for shape, dtype in kinds)


def _prefix(path: pathlib.Path) -> str:
  return str(path / FOLDER / FOLDER)


def _names(count: int) -> list[str]:
  """Returns the names that `weights` of a module have in a checkpoint."""
  return [f"weights/{i}/.ATTRIBUTES/VARIABLE_VALUE" for i in range(count)]
