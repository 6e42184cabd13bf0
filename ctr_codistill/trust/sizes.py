"""How much memory a graph or a checkpoint asks for, told before it gets it.

A few bytes may stand for a tensor of terabytes: a constant that repeats one
value, a shape that is to be filled, a variable that the file does not hold.
"""

import math
from collections.abc import Iterator
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import node_def_pb2
from tensorflow.core.framework import tensor_pb2

from ctr_codistill.errors import InputError

_SLACK = 1 << 24
"""Bytes that a graph's constants may take beyond the bytes of its file."""
_LARGEST = 1 << 27
"""Elements of a tensor whose shape is written in the graph."""
_FILLED = {
  "BroadcastTo": 1,
  "Empty": 0,
  "Fill": 0,
  "LinSpace": 2,
  "OneHot": 1,
  "ParameterizedTruncatedNormal": 0,
  "RandomStandardNormal": 0,
  "RandomUniform": 0,
  "RandomUniformInt": 0,
  "Range": 1,
  "ScatterNd": 2,
  "SparseToDense": 1,
  "StatelessRandomNormal": 0,
  "StatelessRandomNormalV2": 0,
  "StatelessRandomUniform": 0,
  "StatelessRandomUniformV2": 0,
  "StatelessTruncatedNormal": 0,
  "StatelessTruncatedNormalV2": 0,
  "TensorListReserve": 1,
  "TensorListResize": 1,
  "Tile": 1,
  "TruncatedNormal": 0,
}
"""Which input of an op says how large its result is."""

Node = node_def_pb2.NodeDef


def check_constants(
  graphs: Iterator[Mapping[str, Node]], file_bytes: int
) -> None:
  """Refuses constants, and shapes given by constants, that ask for too much.

  Shapes that a graph computes are not seen.

  Args:
    graphs: nodes by name, of a graph or a function each.
    file_bytes: of the file that holds them.

  Raises:
    InputError: naming the node and its size.
  """
  total = 0
  for nodes in graphs:
    for node in nodes.values():
      total += _constants(node)
      if total > file_bytes + _SLACK:
        raise InputError(
          f"constants up to node {node.name} should take at most "
          f"{file_bytes + _SLACK} bytes, for a file of {file_bytes}, take "
          f"{total}"
        )
    for node in nodes.values():
      _check_filled(node, nodes)


def check_variables(
  shapes: Mapping[str, list[int]],
  types: Mapping[str, tf.DType],
  file_bytes: int,
) -> None:
  """Refuses variables that are larger than the file that holds them.

  Args:
    shapes: by name of the variable.
    types: by name of the variable.
    file_bytes: of all files that hold them.

  Raises:
    InputError: naming the largest variable.
  """
  found = {n: _bytes(shape, types[n]) for n, shape in shapes.items()}
  if sum(found.values()) > file_bytes:
    largest = max(found, key=found.__getitem__)
    raise InputError(
      f"variables should take at most the {file_bytes} bytes of their files, "
      f"{largest} {list(shapes[largest])} alone takes {found[largest]}"
    )


def _constants(node: Node) -> int:
  return sum(
    _tensor_bytes(tensor)
    for value in node.attr.values()
    for tensor in (
      *([value.tensor] if value.WhichOneof("value") == "tensor" else []),
      *value.list.tensor,
    )
  )


def _tensor_bytes(tensor: tensor_pb2.TensorProto) -> int:
  shape = [dim.size for dim in tensor.tensor_shape.dim]
  if tensor.tensor_shape.unknown_rank or min(shape, default=0) < 0:
    raise InputError(f"a constant should have a shape, has {shape}")
  return _bytes(shape, tf.as_dtype(tensor.dtype))


def _bytes(shape: list[int], dtype: tf.DType) -> int:
  """Returns the bytes of a tensor; a string counts as one."""
  return math.prod(shape) * (dtype.size or 1)


def _check_filled(node: Node, nodes: Mapping[str, Node]) -> None:
  place = _FILLED.get(node.op)
  if place is None or len(node.input) <= place:
    return
  source = nodes.get(node.input[place].partition(":")[0])
  if source is None or source.op != "Const":
    return
  tensor = source.attr["value"].tensor
  values = np.asarray(tf.make_ndarray(tensor)).ravel()
  if values.dtype.kind not in "iu":
    return
  elements = math.prod(max(int(value), 1) for value in values)
  if elements > _LARGEST:
    raise InputError(
      f"node {node.name} should make at most {_LARGEST} elements, {node.op} "
      f"makes {elements}"
    )
