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
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ctr_codistill import bundles
from ctr_codistill import loading
from ctr_codistill import stamped
from ctr_codistill import sums
from ctr_codistill.errors import InputError
from ctr_codistill.keys import Key
from ctr_codistill.manifests import Manifest
from ctr_codistill.manifests import TornError
from ctr_codistill.trust import demands as trust
from ctr_codistill.trust.demands import Demands

_IDS = "predict_ids"
ASSETS = loading.ASSETS
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
    *,
    key: Key | None = None,
  ):
    """Writes the graph once, to the directory `template`, replacing it.

    Args:
      module: owns all variables, as the list `weights`, and all assets of the
        signatures; it is not held.
      signatures: concrete functions by name; `predict_ids` must be among them.
      extra: files to lie in `assets.extra/`, by the name they get there.
      template: a directory of this process alone, on the disk of the snapshots.
      key: signs the snapshots.
    """
    self.key, self._template = key, pathlib.Path(template)
    shutil.rmtree(self._template, ignore_errors=True)
    self._objects = _save(module, signatures, self._template)
    bare = tf.Module()
    bare.weights = list(module.weights)
    _save(bare, {_IDS: signatures[_IDS]}, self._template / TEACHER)
    for name, source in extra.items():
      shutil.copyfile(source, self._template / EXTRA / name)
    self._sums = sums.of(self._template)

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
    values = list(map(tf.convert_to_tensor, weights))

    def fill(path: pathlib.Path) -> None:
      shutil.copytree(
        self._template, path, copy_function=_link, dirs_exist_ok=True
      )
      bundles.write(path, values, self._objects)

    facts = {**facts, "step": step}
    path = pathlib.Path(root) / str(step)
    return stamped.write(path, fill, facts, self._sums, key=self.key)


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


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
  """A graph that was not read: `predict_ids` over `variables`, made here."""

  predict_ids: Callable[..., dict[str, tf.Tensor]]
  variables: Sequence[tf.Variable]


def read(
  path: str | os.PathLike,
  demands: Demands = trust.NONE,
  *,
  graph: Graph | None = None,
) -> Weights:
  """Verifies the snapshot at `path` and reads its weights.

  Args:
    path: its directory.
    demands: what it must show.
    graph: what its weights must fit; None: anything.

  Raises:
    TornError: it is not complete, a file is not as stamped, or it was deleted
      meanwhile.
    InputError: it is complete but no snapshot of ours, or not as demanded.
  """
  return _read(pathlib.Path(path), demands, graph)[0]


def _read(
  path: pathlib.Path, demands: Demands, graph: Graph | None
) -> tuple[Weights, Manifest]:
  manifest = stamped.verified(
    path, demands.key, lambda found: demands.check(path, found)
  )
  wanted = bundles.kinds(graph.variables) if graph else None
  try:
    tensors = bundles.read(path, manifest.files, wanted)
  except InputError as error:
    raise InputError(f"{path}: {error}") from None
  except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
    raise _unreadable(path, "weights", error) from None
  return Weights(path, manifest.facts, tensors), manifest


class Snapshot:
  """A loaded snapshot whose weights can be swapped for a newer one's.

  `step` and `facts` are those of the weights in use.
  """

  def __init__(
    self,
    path: str | os.PathLike,
    demands: Demands = trust.NONE,
    *,
    ids_only: bool = False,
  ):
    """Verifies and loads the snapshot at `path`, and the graph that is in it.

    Args:
      path: its directory.
      demands: what it must show.
      ids_only: load `predict_ids` alone, without vocabularies.

    Raises:
      TornError: it is not complete, a file is not as stamped, or it was deleted
        meanwhile.
      InputError: it is complete but no snapshot of ours, or not as demanded.
    """
    weights, manifest = _read(pathlib.Path(path), demands, None)
    where = TEACHER if ids_only else ""
    try:
      loaded = loading.load(weights.path, where, manifest, demands)
      ids, variables = loaded.signatures[_IDS], list(loaded.weights)
    except (OSError, KeyError, AttributeError, tf.errors.OpError) as error:
      raise _unreadable(weights.path, f"the signature {_IDS}", error) from None
    # The object must stay alive: its variables go with it.
    self._signatures, self._loaded = loaded.signatures, loaded
    self._use(Graph(ids, variables), weights)

  @classmethod
  def over(cls, graph: Graph, weights: Weights) -> "Snapshot":
    """Returns one of weights that were read, for a graph that was not.

    Raises:
      InputError: they are not of this graph.
    """
    found = cls.__new__(cls)
    found._signatures = found._loaded = {}
    found._use(graph, weights)
    return found

  def _use(self, graph: Graph, weights: Weights) -> None:
    self.graph, self.predict_ids = graph, graph.predict_ids
    self.path, self.facts = weights.path, weights.facts
    self.swap(weights)

  @property
  def step(self) -> int:
    """The step of the training that wrote it."""
    return self.facts["step"]

  def fits(self, weights: Weights) -> bool:
    """Tells whether `weights` are of this graph: their shapes and types."""
    return bundles.kinds(self.graph.variables) == bundles.kinds(weights.tensors)

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
    for variable in self.graph.variables:
      # Gathering rows makes a variable copy all that it is given, until told.
      tf.raw_ops.DisableCopyOnRead(resource=variable.handle)
      variable.assign(weights.tensors.pop(), read_value=False)
    self.path, self.facts = weights.path, weights.facts

  def signature(self, name: str) -> Any:
    """Returns the concrete function of a signature.

    Raises:
      InputError: there is none of this name.
    """
    if name not in self._signatures:
      raise InputError(f"{self.path} has no signature {name!r}")
    return self._signatures[name]


def _save(
  module: tf.Module, signatures: Mapping[str, Any], path: pathlib.Path
) -> bytes:
  """Writes a SavedModel without weights; returns what is said of them."""
  tf.saved_model.save(module, str(path), signatures=dict(signatures))
  said = bundles.objects(path)
  shutil.rmtree(path / bundles.FOLDER)
  return said


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
