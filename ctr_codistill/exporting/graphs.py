"""What the graph of an export takes, answers and must not hold.

TF Serving has no Python and trains nothing: an op that calls Python fails there
at the first request, and an optimizer's slots would be dead weight.
"""

import os
import pathlib
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from ctr_codistill.errors import InputError

_FILE = "saved_model.pb"
_PYTHON = ("PyFunc", "PyFuncStateless", "EagerPyFunc")


def signatures(path: str | os.PathLike) -> dict[str, dict[str, Any]]:
  """Returns inputs and outputs of each signature of the SavedModel at `path`.

  A tensor is {"dtype", "shape"}, -1 for any size, and {"optional": True} where
  it may be left out.

  Raises:
    InputError: its graph calls Python.
  """
  content = pathlib.Path(path, _FILE).read_bytes()
  (meta,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
  graph = meta.graph_def
  bodies = [graph.node, *(f.node_def for f in graph.library.function)]
  for node in (node for body in bodies for node in body):
    if node.op in _PYTHON:
      raise InputError(
        f"{path} should run without Python, its graph has {node.op} "
        f"({node.name})"
      )
  return {
    name: {
      "inputs": {k: _tensor(v, k in one.defaults) for k, v in _sorted(one)},
      "outputs": {k: _tensor(v) for k, v in sorted(one.outputs.items())},
    }
    for name, one in sorted(meta.signature_def.items())
    if one.outputs and not name.startswith("__")
  }


def _sorted(signature: Any) -> list[tuple[str, Any]]:
  return sorted(signature.inputs.items())


def _tensor(info: Any, optional: bool = False) -> dict[str, Any]:
  found = {
    "dtype": tf.dtypes.as_dtype(info.dtype).name,
    "shape": [dim.size for dim in info.tensor_shape.dim],
  }
  return found | ({"optional": True} if optional else {})
