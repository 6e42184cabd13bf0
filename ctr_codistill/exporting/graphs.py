"""What the graph of an export takes and answers, as its report says it."""

import os
import pathlib
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

_FILE = "saved_model.pb"


def signatures(path: str | os.PathLike) -> dict[str, dict[str, Any]]:
  """Returns inputs and outputs of each signature of the SavedModel at `path`.

  A tensor is {"dtype", "shape"}, -1 for any size, and {"optional": True} where
  it may be left out. "arg" is the number by which a server's session calls an
  input whose dtype is wrong: its place among the names of the tensors, where
  C10 comes before C1, for "predict_C10:0" comes before "predict_C1:0".
  """
  content = pathlib.Path(path, _FILE).read_bytes()
  (meta,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
  return {
    name: {
      "inputs": _inputs(one),
      "outputs": {k: _tensor(v) for k, v in sorted(one.outputs.items())},
    }
    for name, one in sorted(meta.signature_def.items())
    if one.outputs and not name.startswith("__")
  }


def assets(content: bytes) -> set[str]:
  """Returns names of the assets of a SavedModel, of its file's content."""
  metas = saved_model_pb2.SavedModel.FromString(content).meta_graphs
  return {file.filename for meta in metas for file in meta.asset_file_def}


def _inputs(signature: Any) -> dict[str, Any]:
  places = sorted(info.name for info in signature.inputs.values())
  return {
    name: {
      **_tensor(info, name in signature.defaults),
      "arg": places.index(info.name),
    }
    for name, info in sorted(signature.inputs.items())
  }


def _tensor(info: Any, optional: bool = False) -> dict[str, Any]:
  found = {
    "dtype": tf.dtypes.as_dtype(info.dtype).name,
    "shape": [dim.size for dim in info.tensor_shape.dim],
  }
  return found | ({"optional": True} if optional else {})
