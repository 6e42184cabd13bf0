"""A snapshot with its weights in bfloat16: half the bytes, on disk and served.

Only what is kept is narrow. Where the graph reads a weight, or gathers rows of
a table, what it read is widened, and all arithmetic stays float32. So a table
costs nothing to read, but the layers are widened anew for every request.

It is done on the graph and not on the model, for the code of a user's own model
need not be there.
"""

import os
import pathlib
import shutil
from collections.abc import Iterable

import tensorflow as tf
from tensorflow.core.framework import node_def_pb2
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2

from ctr_codistill import bundles
from ctr_codistill import snapshots
from ctr_codistill import stamped
from ctr_codistill.errors import InputError
from ctr_codistill.exporting import versions
from ctr_codistill.keys import Key

MODEL = "saved_model.pb"
_WIDE, _NARROW = types_pb2.DT_FLOAT, types_pb2.DT_BFLOAT16
_READS = {"ReadVariableOp": "value", "ResourceGather": "output"}
"""What reads a variable, and how a function names what it read."""
_END = "/float32"


def write(
  snapshot: str | os.PathLike,
  target: str | os.PathLike,
  *,
  key: Key | None = None,
) -> pathlib.Path:
  """Writes the snapshot in bfloat16 at `target`, complete or absent.

  Args:
    snapshot: its directory.
    target: where it will be.
    key: what must have signed the snapshot; signs the new one.

  Raises:
    TornError: the snapshot is not complete or not as stamped.
    InputError: it is bfloat16 already, or uses its variables in a way that is
      not known.
  """
  snapshot = pathlib.Path(snapshot)
  manifest = stamped.verified(snapshot, key)
  if is_narrow(snapshot):
    raise InputError(f"{snapshot} is bfloat16 already")

  def fill(path: pathlib.Path) -> None:
    versions.copy(snapshot, path, manifest.files)
    for graph in (path, path / snapshots.TEACHER):
      if (graph / MODEL).is_file():
        _narrow_model(graph / MODEL)
        # A sum of the graph, which TensorFlow makes without it.
        (graph / "fingerprint.pb").unlink(missing_ok=True)
    weights = map(_narrowed, bundles.read(snapshot, manifest.files))
    shutil.rmtree(path / bundles.FOLDER)
    bundles.write(path, list(weights), bundles.objects(snapshot))

  return stamped.write(target, fill, manifest.facts, key=key)


def is_narrow(path: str | os.PathLike) -> bool:
  """Tells whether a snapshot or version keeps its weights in bfloat16."""
  kinds = bundles.declared(pathlib.Path(path))
  return any(dtype == tf.bfloat16 for _, dtype in kinds)


def _narrowed(weight: tf.Tensor) -> tf.Tensor:
  return tf.cast(weight, tf.bfloat16) if weight.dtype == tf.float32 else weight


def _narrow_model(path: pathlib.Path) -> None:
  model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
  for meta in model.meta_graphs:
    graph = meta.graph_def
    _narrow_graph(graph.node, {})
    for function in graph.library.function:
      renamed = _narrow_graph(function.node_def, _READS)
      for name, output in function.ret.items():
        function.ret[name] = renamed.get(output, output)
    for node in meta.object_graph_def.nodes:
      if node.HasField("variable") and node.variable.dtype == _WIDE:
        node.variable.dtype = _NARROW
  path.write_bytes(model.SerializeToString(deterministic=True))


def _narrow_graph(nodes: Iterable, outputs: dict[str, str]) -> dict[str, str]:
  """Alters the nodes of a graph or function; returns what is named anew."""
  renamed = {}
  restored = {node.name for node in nodes if node.op == "RestoreV2"}
  for node in list(nodes):
    if node.op in _READS and node.attr["dtype"].type == _WIDE:
      node.attr["dtype"].type = _NARROW
      nodes.append(_widened(node, outputs))
      renamed |= _names(node, outputs)
    elif node.op in ("VarHandleOp", "AssignVariableOp"):
      _replace(node, "dtype")
    elif node.op == "RestoreV2":
      types = node.attr["dtypes"].list.type
      types[:] = [_NARROW if t == _WIDE else t for t in types]
    elif node.op == "Identity" and node.input[0].split(":")[0] in restored:
      _replace(node, "T")
    elif "Resource" in node.op and "dtype" in node.attr:
      raise InputError(f"weights that {node.op} reads cannot be bfloat16")
  for node in nodes:
    if not node.name.endswith(_END):
      node.input[:] = [renamed.get(name, name) for name in node.input]
  return renamed


def _names(node: node_def_pb2.NodeDef, outputs: dict[str, str]) -> dict:
  """Returns how others name what a node read, and how they shall."""
  if outputs:
    return {f"{node.name}:{outputs[node.op]}:0": f"{node.name}{_END}:y:0"}
  return dict.fromkeys([node.name, f"{node.name}:0"], f"{node.name}{_END}")


def _widened(
  node: node_def_pb2.NodeDef, outputs: dict[str, str]
) -> node_def_pb2.NodeDef:
  """Returns a node that makes float32 of what `node` read."""
  suffix = f":{outputs[node.op]}:0" if outputs else ""
  found = node_def_pb2.NodeDef(name=node.name + _END, op="Cast")
  found.input.append(node.name + suffix)
  found.device = node.device
  found.attr["SrcT"].type, found.attr["DstT"].type = _NARROW, _WIDE
  found.attr["Truncate"].b = False
  return found


def _replace(node: node_def_pb2.NodeDef, name: str) -> None:
  if node.attr[name].type == _WIDE:
    node.attr[name].type = _NARROW
