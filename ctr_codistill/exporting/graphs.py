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
  it may be left out.
  """
  content = pathlib.Path(path, _FILE).read_bytes()
  (meta,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
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
