"""Snapshots: numbered, complete SavedModels; nobody else writes or loads any.

One artefact is teacher, evaluation subject and servable at once. The graph of a
group never changes, so it is written once; a publication links it and writes
only the weights, which makes exchanging every few steps affordable. Weights are
written from tensors and read into tensors, so both can be done in a thread
beside a training; what is left between two steps is a swap of pointers.
"""

import dataclasses
import os
import pathlib
import shutil
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ctr_codistill import stamped
from ctr_codistill.errors import InputError
from ctr_codistill.stamped import TornError

_VARIABLES = "variables/variables"
_OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"
"""What a checkpoint of TensorFlow keeps beside its variables."""
_IDS = "predict_ids"
ASSETS = "assets"
EXTRA = "assets.extra"
"""Where files lie that TF Serving carries along but does not read."""
TEACHER = f"{EXTRA}/teacher"
"""A graph over the same weights that has `predict_ids` alone.

Loading all of a snapshot fills the tables of its vocabularies, which a teacher
does not need: seconds, and as much memory as the weights may take.
"""


class Writer:
  """Writes the changing weights of one unchanging module as snapshots."""

  def __init__(
    self,
    module: tf.Module,
    signatures: Mapping[str, Any],
    extra: Mapping[str, str | os.PathLike],
    template: str | os.PathLike,
  ):
    """Writes the graph once, to the directory `template`, replacing it.

    Args:
      module: owns all variables, as the list `weights`, and all assets of the
        signatures; it is not held.
      signatures: concrete functions by name; `predict_ids` must be among them.
      extra: files to lie in `assets.extra/`, by the name they get there.
      template: a directory of this process alone, on the disk of the snapshots.
    """
    self._template = pathlib.Path(template)
    shutil.rmtree(self._template, ignore_errors=True)
    self._objects = _save(module, signatures, self._template)
    bare = tf.Module()
    bare.weights = list(module.weights)
    _save(bare, {_IDS: signatures[_IDS]}, self._template / TEACHER)
    for name, source in extra.items():
      shutil.copyfile(source, self._template / EXTRA / name)
    self._sums = stamped.sums(self._template)
    self._names = _names(len(bare.weights))

  def write(
    self,
    root: str | os.PathLike,
    step: int,
    weights: Sequence[tf.Tensor],
    facts: Mapping[str, Any],
  ) -> pathlib.Path:
    """Writes snapshot `step` under `root`, complete or absent; returns it.

    Args:
      root: directory of the snapshots.
      step: number of the snapshot.
      weights: what the module's `weights` are at that step, in their order.
      facts: what its manifest says beside the step.
    """
    values = [*map(tf.convert_to_tensor, weights), tf.constant(self._objects)]

    def fill(path: pathlib.Path) -> None:
      shutil.copytree(
        self._template, path, copy_function=_link, dirs_exist_ok=True
      )
      _write(path, [*self._names, _OBJECTS], values)

    path = pathlib.Path(root) / str(step)
    return stamped.write(path, fill, {**facts, "step": step}, self._sums)


@dataclasses.dataclass
class Weights:
  """The weights of a snapshot, in memory and in use nowhere yet.

  `tensors` are in the order of the module's `weights`; a swap takes them out,
  since a variable that shares its memory copies all of it when it is read.
  """

  path: pathlib.Path
  facts: dict[str, Any]
  tensors: list[tf.Tensor]

  @property
  def step(self) -> int:
    """The step of the training that wrote them."""
    return self.facts["step"]


def read(path: str | os.PathLike) -> Weights:
  """Verifies the snapshot at `path` and reads its weights.

  Raises:
    TornError: it is not complete, a file is not as stamped, or it was deleted
      meanwhile.
    InputError: it is complete but no snapshot of ours.
  """
  path = pathlib.Path(path)
  facts = stamped.verify(path)
  try:
    return Weights(path, facts, _tensors(str(path / _VARIABLES)))
  except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
    raise _unreadable(path, "weights", error) from None


def merge(
  paths: Sequence[str | os.PathLike], target: str | os.PathLike
) -> pathlib.Path:
  """Writes the snapshot whose weights are the mean of those of `paths`.

      w = 1 / n  sum_i w_i

  Of groups that began at the same weights and taught one another; others have
  equal units at different places.

  Args:
    paths: of one graph and feature spec; it has the first one's facts.
    target: where it will be, complete or absent.

  Raises:
    TornError: one of them is not complete, or not as stamped.
    InputError: they are not of one graph or feature spec.
  """
  first, *others = (read(path) for path in paths)
  kinds = [(t.shape, t.dtype) for t in first.tensors]
  total = first.tensors
  for one in others:
    same = kinds == [(t.shape, t.dtype) for t in one.tensors]
    if not same or one.facts.get("schema") != first.facts.get("schema"):
      raise InputError(f"the weights of {one.path} do not fit {first.path}")
    total = [a + b for a, b in zip(total, one.tensors)]
  count = len(others) + 1
  prefix = str(first.path / _VARIABLES)
  objects = tf.train.load_checkpoint(prefix).get_tensor(_OBJECTS)
  values = [*(t / tf.cast(count, t.dtype) for t in total), tf.constant(objects)]

  def fill(path: pathlib.Path) -> None:
    ignored = shutil.ignore_patterns(stamped.MANIFEST, "variables")
    shutil.copytree(first.path, path, ignore=ignored, dirs_exist_ok=True)
    (path / _VARIABLES).parent.mkdir()
    _write(path, [*_names(len(total)), _OBJECTS], values)

  return stamped.write(target, fill, {**first.facts, "merged": count})


class Snapshot:
  """A loaded snapshot whose weights can be swapped for a newer one's.

  `step` and `facts` are those of the weights in use.
  """

  def __init__(self, path: str | os.PathLike, *, ids_only: bool = False):
    """Verifies and loads the snapshot at `path`.

    Args:
      path: its directory.
      ids_only: load `predict_ids` alone, without vocabularies.

    Raises:
      TornError: it is not complete, a file is not as stamped, or it was deleted
        meanwhile.
      InputError: it is complete but no snapshot of ours.
    """
    weights = read(path)
    graph = weights.path / TEACHER if ids_only else weights.path
    # The weights are there already; the loader would read them once more.
    options = tf.saved_model.LoadOptions(experimental_skip_checkpoint=True)
    try:
      # The object must stay alive: its variables go with it.
      self._loaded = tf.saved_model.load(str(graph), options=options)
      self.predict_ids = self._loaded.signatures[_IDS]
      self._variables = list(self._loaded.weights)
    except (OSError, KeyError, AttributeError, tf.errors.OpError) as error:
      raise _unreadable(weights.path, f"the signature {_IDS}", error) from None
    self.path, self.facts = weights.path, weights.facts
    self.swap(weights)

  @property
  def step(self) -> int:
    """The step of the training that wrote it."""
    return self.facts["step"]

  def fits(self, weights: Weights) -> bool:
    """Tells whether `weights` are of this graph: their shapes and types."""
    return [(v.shape, v.dtype) for v in self._variables] == [
      (t.shape, t.dtype) for t in weights.tensors
    ]

  def swap(self, weights: Weights) -> None:
    """Takes over weights of the same graph, and empties `weights`.

    It moves pointers, no numbers. Not while a step runs: it could see half of
    each.

    Raises:
      InputError: they are not of this graph.
    """
    if not self.fits(weights):
      raise InputError(f"the weights of {weights.path} do not fit {self.path}")
    weights.tensors.reverse()
    for variable in self._variables:
      # Gathering rows makes a variable copy all that it is given, until told.
      tf.raw_ops.DisableCopyOnRead(resource=variable.handle)
      variable.assign(weights.tensors.pop(), read_value=False)
    self.path, self.facts = weights.path, weights.facts

  def signature(self, name: str) -> Any:
    """Returns the concrete function of a signature.

    Raises:
      InputError: there is none of this name.
    """
    if name not in self._loaded.signatures:
      raise InputError(f"{self.path} has no signature {name!r}")
    return self._loaded.signatures[name]


def _save(
  module: tf.Module, signatures: Mapping[str, Any], path: pathlib.Path
) -> bytes:
  """Writes a SavedModel without weights; returns what `_OBJECTS` holds."""
  tf.saved_model.save(module, str(path), signatures=dict(signatures))
  reader = tf.train.load_checkpoint(str(path / _VARIABLES))
  objects = reader.get_tensor(_OBJECTS)
  shutil.rmtree(path / "variables")
  return objects


def _write(
  path: pathlib.Path, names: Sequence[str], tensors: Sequence[tf.Tensor]
) -> None:
  """Writes the variables of the snapshot that is being made at `path`."""
  with tf.device("CPU:0"):
    tf.raw_ops.SaveV2(
      prefix=str(path / _VARIABLES),
      tensor_names=list(names),
      shape_and_slices=[""] * len(names),
      tensors=list(tensors),
    )


def _names(count: int) -> list[str]:
  """Returns the names that `weights` of a module have in a checkpoint."""
  return [f"weights/{i}/.ATTRIBUTES/VARIABLE_VALUE" for i in range(count)]


def _tensors(prefix: str) -> list[tf.Tensor]:
  """Reads the weights of a checkpoint, in the order of the module's list."""
  types = tf.train.load_checkpoint(prefix).get_variable_to_dtype_map()
  names = _names(len(types) - 1)
  if not names:
    return []  # a model without weights; to restore nothing is an error
  with tf.device("CPU:0"):
    return tf.raw_ops.RestoreV2(
      prefix=prefix,
      tensor_names=names,
      shape_and_slices=[""] * len(names),
      dtypes=[types[name] for name in names],
    )


def _unreadable(
  path: pathlib.Path, what: str, error: Exception
) -> TornError | InputError:
  """Returns what to say of a snapshot that was complete when it was begun."""
  if not stamped.is_stamped(path):
    return TornError(f"{path} was deleted while it was read")
  return InputError(f"{path} should be a SavedModel with {what}: {error}")


def _link(source: str, target: str) -> None:
  """Links a file of the template, or copies it where links cannot be."""
  try:
    os.link(source, target)
  except OSError:
    shutil.copyfile(source, target)
