"""A model as others call it: three signatures over one set of weights.

    serving_default  serialized tf.Example [batch]
    predict          each raw feature by its name, [batch]; integers and strings
    predict_ids      prepared {"numeric", "categorical"}, [batch, features]

All give {"probability", "logit"}, float32 `[batch]`. Only plain variables, no
optimizer, no Python: the module can be written while training goes on
elsewhere.
"""

import os
import pathlib
import shutil
from collections.abc import Callable
from collections.abc import Mapping

import tensorflow as tf
import tf_keras

from ctr_codistill import loading
from ctr_codistill import stamped
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo.lookup import Lookup
from ctr_codistill.errors import InputError
from ctr_codistill.manifests import TornError
from ctr_codistill.trust import demands as trust
from ctr_codistill.trust.demands import Demands


class Servable(tf.Module):
  """A copy of a model's weights with the signatures that serve them."""

  def __init__(
    self,
    model: tf_keras.Model,
    schema: schemas.Schema,
    lookup: Lookup | None = None,
  ):
    """Wraps `model`, which must have been built outside any strategy.

    Without a lookup there is `ids` alone.
    """
    super().__init__(name="servable")
    self._schema = schema
    self.lookup = lookup
    self.weights = list(model.weights)
    # A wrapped function keeps Keras' own objects out of the SavedModel, whose
    # saving would trace every layer again.
    self._logit = _untracked(model)

  def signatures(self) -> dict[str, Callable]:
    """Returns the concrete functions by their names."""
    return {
      "serving_default": self._examples(),
      "predict": self._raw(),
      "predict_ids": self.ids(),
    }

  def _outputs(self, features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    logit = self._logit(features)
    return {"probability": tf.sigmoid(logit), "logit": logit}

  def _from_raw(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    rows = self.lookup(raw, raw)
    numerics = len(self._schema.numeric)
    return self._outputs(
      {"numeric": rows[:, :numerics], "categorical": rows[:, numerics:]}
    )

  def ids(self) -> Callable:
    """Returns the concrete function of `predict_ids`."""
    specs = {
      "numeric": tf.TensorSpec([None, len(self._schema.numeric)], tf.int32),
      "categorical": tf.TensorSpec(
        [None, len(self._schema.categorical)], tf.int32
      ),
    }
    return _concrete(lambda **features: self._outputs(features), specs)

  def _raw(self) -> Callable:
    specs = {
      **{n.name: tf.TensorSpec([None], tf.int64) for n in self._schema.numeric},
      **{
        c.name: tf.TensorSpec([None], tf.string)
        for c in self._schema.categorical
      },
    }
    return _concrete(lambda **raw: self._from_raw(raw), specs)

  def _examples(self) -> Callable:
    parsing = {
      **{
        n.name: tf.io.FixedLenFeature([], tf.int64, schemas.MISSING_INT64)
        for n in self._schema.numeric
      },
      **{
        c.name: tf.io.FixedLenFeature([], tf.string, "")
        for c in self._schema.categorical
      },
    }
    return _concrete(
      lambda examples: self._from_raw(tf.io.parse_example(examples, parsing)),
      {"examples": tf.TensorSpec([None], tf.string)},
    )


def export(
  snapshot: str | os.PathLike,
  root: str | os.PathLike,
  *,
  version: int | None = None,
  demands: Demands = trust.NONE,
) -> pathlib.Path:
  """Copies a snapshot to `root/VERSION/`, complete or absent; returns that.

  Args:
    snapshot: directory of the snapshot.
    root: the directory a server polls.
    version: above 0; None means one above the highest in `root`.
    demands: what the snapshot must show; its key signs the version.

  Raises:
    TornError: the snapshot is not complete or not as stamped.
    InputError: the version is not above 0, or there already, or the graph may
      do more than compute.
  """
  snapshot = pathlib.Path(snapshot)
  manifest = stamped.verified(snapshot, demands.key)
  loading.checked(snapshot, "", manifest, demands)
  root = pathlib.Path(root)
  if version is None:
    version = max(_versions(root), default=0) + 1
  if version < 1:
    raise InputError(f"version should be above 0, is {version}")
  if (root / str(version)).exists():
    raise InputError(f"version {version} should be new, {root} has it already")

  def fill(path: pathlib.Path) -> None:
    ignored = shutil.ignore_patterns(stamped.MANIFEST)
    shutil.copytree(snapshot, path, ignore=ignored, dirs_exist_ok=True)
    if stamped.sums(path) != manifest.files:
      raise TornError(f"{snapshot} was altered while it was read")

  return stamped.write(
    root / str(version), fill, manifest.facts, key=demands.key
  )


def _versions(root: pathlib.Path) -> list[int]:
  if not root.is_dir():
    return []
  return [int(p.name) for p in root.iterdir() if p.name.isdecimal()]


def _untracked(model: tf_keras.Model) -> Callable:
  return lambda features: model(features, training=False)


def _concrete(
  function: Callable, specs: Mapping[str, tf.TensorSpec]
) -> Callable:
  named = {
    name: tf.TensorSpec(spec.shape, spec.dtype, name)
    for name, spec in specs.items()
  }
  return tf.function(function, autograph=False).get_concrete_function(**named)
