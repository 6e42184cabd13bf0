"""Snapshots: numbered, complete SavedModels; nobody else writes or loads any.

One artefact is teacher, evaluation subject and servable at once. The graph of a
group never changes, so it is written once; a publication links it and writes
only the variables, which makes exchanging every few steps affordable.
"""

import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from ctr_codistill import stamped
from ctr_codistill.errors import InputError

_VARIABLES = "variables/variables"
_IDS = "predict_ids"
ASSETS = "assets"
EXTRA = "assets.extra"
"""Where files lie that TF Serving carries along but does not read."""


class Writer:
  """Writes the changing variables of one unchanging module as snapshots."""

  def __init__(
    self,
    module: tf.Module,
    signatures: Mapping[str, Any],
    extra: Mapping[str, str | os.PathLike],
    template: str | os.PathLike,
  ):
    """Writes the graph once, to the directory `template`, replacing it.

    Args:
      module: owns all variables and assets of the signatures.
      signatures: concrete functions by name; `predict_ids` must be among them.
      extra: files to lie in `assets.extra/`, by the name they get there.
      template: a directory of this process alone, on the disk of the snapshots.
    """
    self._template = pathlib.Path(template)
    shutil.rmtree(self._template, ignore_errors=True)
    tf.saved_model.save(module, str(template), signatures=dict(signatures))
    shutil.rmtree(self._template / "variables")
    folder = self._template / EXTRA
    folder.mkdir()
    for name, source in extra.items():
      shutil.copyfile(source, folder / name)
    self._checkpoint = tf.train.Checkpoint(root=module)

  def write(
    self, root: str | os.PathLike, step: int, facts: Mapping[str, Any]
  ) -> pathlib.Path:
    """Writes snapshot `step` under `root`, complete or absent; returns it."""

    def fill(path: pathlib.Path) -> None:
      shutil.copytree(
        self._template, path, copy_function=_link, dirs_exist_ok=True
      )
      self._checkpoint.write(str(path / _VARIABLES))

    path = pathlib.Path(root) / str(step)
    return stamped.write(path, fill, {**facts, "step": step})


class Snapshot:
  """A loaded snapshot whose variables can be swapped for a newer one's.

  `step` and `facts` are those of the variables in use.
  """

  def __init__(self, path: str | os.PathLike):
    """Verifies and loads the snapshot at `path`.

    Raises:
      TornError: it is not complete, or a file is not as stamped.
      InputError: it is complete but no snapshot of ours.
    """
    self.path = pathlib.Path(path)
    self.facts = stamped.verify(self.path)
    try:
      # The object must stay alive: its variables go with it.
      self._loaded = tf.saved_model.load(str(self.path))
      self.predict_ids = self._loaded.signatures[_IDS]
      self._variables = _variables(self.path)
    except (OSError, KeyError, tf.errors.OpError) as error:
      raise InputError(
        f"{path} should be a SavedModel with the signature {_IDS}: {error}"
      ) from None
    self._checkpoint = tf.train.Checkpoint(root=self._loaded)

  @property
  def step(self) -> int:
    """The step of the training that wrote it."""
    return self.facts["step"]

  def swap(self, path: str | os.PathLike) -> None:
    """Takes over the variables of the snapshot at `path`, of the same graph.

    Not while a step runs: it could see half of each.

    Raises:
      TornError: it is not complete, or a file is not as stamped.
      InputError: its variables are not those of this graph.
    """
    facts = stamped.verify(path)
    try:
      # First, since reading stops half way at a variable of another shape.
      if _variables(path) != self._variables:
        raise ValueError("its variables have other names, shapes or types")
      status = self._checkpoint.read(str(pathlib.Path(path) / _VARIABLES))
      status.assert_existing_objects_matched()
    except (AssertionError, ValueError, tf.errors.OpError) as error:
      raise InputError(f"{path} does not fit {self.path}: {error}") from None
    self.path, self.facts = pathlib.Path(path), facts

  def signature(self, name: str) -> Any:
    """Returns the concrete function of a signature.

    Raises:
      InputError: there is none of this name.
    """
    if name not in self._loaded.signatures:
      raise InputError(f"{self.path} has no signature {name!r}")
    return self._loaded.signatures[name]


def _variables(path: str | os.PathLike) -> dict[str, tuple]:
  """Returns by name the shape and type of each variable of a snapshot."""
  reader = tf.train.load_checkpoint(str(pathlib.Path(path) / _VARIABLES))
  types = reader.get_variable_to_dtype_map()
  shapes = reader.get_variable_to_shape_map()
  return {name: (types[name], shape) for name, shape in shapes.items()}


def _link(source: str, target: str) -> None:
  """Links a file of the template, or copies it where links cannot be."""
  try:
    os.link(source, target)
  except OSError:
    shutil.copyfile(source, target)
