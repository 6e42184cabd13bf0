"""The one place where a graph of somebody else becomes a function of ours.

It is read once, and the bytes that were checked are those that are loaded: who
may write to a snapshot could put another graph in its place after the check.
"""

import os
import pathlib
import tempfile
from typing import Any

import tensorflow as tf

from ctr_codistill import sums
from ctr_codistill.manifests import Manifest
from ctr_codistill.manifests import TornError
from ctr_codistill.trust import graphs
from ctr_codistill.trust.demands import Demands

ASSETS = graphs.ASSETS


def load(
  path: pathlib.Path, where: str, manifest: Manifest, demands: Demands
) -> Any:
  """Returns what TensorFlow makes of the graph below `path` at `where`.

  Args:
    path: of the snapshot.
    where: of the graph in it, "" for the directory itself.
    manifest: of the snapshot, verified.
    demands: which ops it may have.

  Raises:
    TornError: it is not what was verified.
    ForbiddenError: it may do more than compute, or wants too much memory.
  """
  content = checked(path, where, manifest, demands)
  # The weights are there already; the loader would read them once more.
  options = tf.saved_model.LoadOptions(experimental_skip_checkpoint=True)
  with tempfile.TemporaryDirectory() as own:
    (pathlib.Path(own) / graphs.FILE).write_bytes(content)
    assets = (path / where / ASSETS).resolve()
    os.symlink(assets, pathlib.Path(own) / ASSETS)
    return tf.saved_model.load(own, options=options)


def checked(
  path: pathlib.Path, where: str, manifest: Manifest, demands: Demands
) -> bytes:
  """Returns the bytes of a graph that may be loaded; see `load`."""
  name = f"{where}/{graphs.FILE}" if where else graphs.FILE
  content = (path / name).read_bytes()
  if sums.of_bytes(content) != manifest.files.get(name):
    raise TornError(f"{path}: {name} was altered while it was read")
  start = f"{where}/{ASSETS}/" if where else f"{ASSETS}/"
  graphs.check(
    content,
    name=f"{path}/{name}",
    added=demands.allowed_ops,
    assets={
      n.removeprefix(start) for n in manifest.files if n.startswith(start)
    },
  )
  return content
