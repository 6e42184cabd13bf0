"""The check of a SavedModel's graph, before TensorFlow sees it.

What it reads are bytes, and what it says of them holds for the same bytes only:
who loads a graph hands on those that were checked.

What a SavedModel has itself reaches files too: its saver, and the tables of its
vocabularies. The saver's functions may stand there, but nothing may call them;
a table is filled from a file of the snapshot's own assets or not at all.
"""

import itertools
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.framework import graph_pb2
from tensorflow.core.framework import node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.core.protobuf import saved_model_pb2

from ctr_codistill import graph_ops
from ctr_codistill.errors import InputError
from ctr_codistill.trust import sizes

FILE = "saved_model.pb"
ASSETS = "assets"
LARGEST = 1 << 26
"""Bytes of a graph: more is no graph but data."""
_SAVING = {"SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename"}
_TABLE = "InitializeTableFromTextFileV2"
_HANDLE = "VarHandleOp"

Node = node_def_pb2.NodeDef


class ForbiddenError(InputError):
  """A graph that may do more than compute, or wants more memory than it may."""


def check(
  content: bytes,
  *,
  name: str,
  added: Collection[str] = (),
  assets: Collection[str] = (),
) -> None:
  """Refuses a SavedModel that may do more than compute.

  Args:
    content: of its `saved_model.pb`.
    name: what errors call it.
    added: ops that it may have beside `graph_ops.ALLOWED`.
    assets: names of the files that it may fill tables from.

  Raises:
    ForbiddenError: naming the op, the asset or the size.
  """
  if len(content) > LARGEST:
    raise ForbiddenError(
      f"{name}: the graph should have at most {LARGEST} bytes, has "
      f"{len(content)}"
    )
  try:
    model = saved_model_pb2.SavedModel.FromString(content)
    for meta in model.meta_graphs:
      _Graph(meta, added).check(assets)
    sizes.check_constants(
      itertools.chain.from_iterable(
        _all_nodes(meta.graph_def) for meta in model.meta_graphs
      ),
      len(content),
    )
  except DecodeError as error:
    raise ForbiddenError(f"{name} should be a SavedModel: {error}") from None
  except InputError as error:
    raise ForbiddenError(f"{name}: {error}") from None
  except (TypeError, ValueError) as error:
    raise ForbiddenError(f"{name} should be a SavedModel: {error}") from None


class _Graph:
  """One graph of a SavedModel, its functions and its objects."""

  def __init__(self, meta: meta_graph_pb2.MetaGraphDef, added: Collection[str]):
    self._main = list(meta.graph_def.node)
    self._library = meta.graph_def.library
    self._objects = meta.object_graph_def
    self._assets = [file.filename for file in meta.asset_file_def]
    self._allowed = graph_ops.ALLOWED | set(
      filter(graph_ops.may_be_added, added)
    )
    self._names = {f.signature.name for f in self._library.function}
    ends = meta.saver_def.save_tensor_name, meta.saver_def.restore_op_name
    self._saving = {name.partition(":")[0] for name in ends if name}
    self._savers = {
      called
      for node in self._main
      if node.name in self._saving
      for called in _called(node)
    }

  def check(self, assets: Collection[str]) -> None:
    """Refuses what is not allowed; see the module's `check`."""
    for name in self._assets:
      if name not in assets:
        raise ForbiddenError(
          f"the asset {name!r} should be one of the snapshot's own files"
        )
    for node in self._main:
      self._check_node(node, "the graph", is_main=True)
    for function in self._library.function:
      where = f"function {function.signature.name}"
      for node in function.node_def:
        self._check_node(
          node, where, is_saver=function.signature.name in self._savers
        )
        if node.op == _TABLE:
          self._check_table(function, node)
    for gradient in self._library.gradient:
      self._check_calls(
        [gradient.function_name, gradient.gradient_func], "a gradient"
      )
    self._check_calls(self._objects.concrete_functions, "the objects")

  def _check_node(
    self,
    node: Node,
    where: str,
    *,
    is_main: bool = False,
    is_saver: bool = False,
  ) -> None:
    special = (
      (is_main and node.op == _HANDLE)
      or (is_saver and node.op in _SAVING)
      or (not is_main and node.op == _TABLE)
    )
    if not special and not self._may(node.op):
      raise ForbiddenError(_forbidden(node, where))
    if is_main and node.name in self._saving:
      return
    calls = _called(node)
    self._check_calls(
      [*calls, node.op] if node.op in self._names else calls,
      f"node {node.name} of {where}",
    )

  def _may(self, op: str) -> bool:
    if op in self._names:  # a call, and never by the name of what is denied
      return not graph_ops.is_denied(op)
    return op in self._allowed

  def _check_calls(self, names: Collection[str], where: str) -> None:
    for name in names:
      if name not in self._names:
        raise ForbiddenError(f"{where} calls {name!r}, which is not in it")
      if name in self._savers:
        raise ForbiddenError(f"{where} calls {name!r}, which writes files")

  def _check_table(self, function: Any, node: Node) -> None:
    """Refuses a table whose file is not given by an asset of the objects."""
    name = function.signature.name
    arguments = [one.name for one in function.signature.input_arg]
    captured = (
      self._objects.concrete_functions[name].bound_inputs
      if (name in self._objects.concrete_functions)
      else ()
    )
    bound = dict(zip(arguments[len(arguments) - len(captured) :], captured))
    source = bound.get(node.input[1] if len(node.input) > 1 else "")
    known = source is not None and 0 <= source < len(self._objects.nodes)
    if (
      not known
      or self._objects.nodes[source].WhichOneof("kind") != "asset"
      or self._is_called(name)
    ):
      raise ForbiddenError(
        f"{_forbidden(node, 'function ' + name)}, unless its file is an asset"
      )

  def _is_called(self, name: str) -> bool:
    """Tells whether a function calls that one, with arguments of its own."""
    return any(
      name == node.op or name in _called(node)
      for function in self._library.function
      for node in function.node_def
    )


def _forbidden(node: Node, where: str) -> str:
  text = f"{where} has the op {node.op} (node {node.name})"
  if graph_ops.may_be_added(node.op):
    return (
      f"{text}, which is not among those that are known to compute only; "
      f"--exchange.allowed_ops={node.op} allows it"
    )
  return f"{text}, which no snapshot may have"


def _called(node: Node) -> list[str]:
  """Returns the names of the functions that a node's attributes name."""
  found = []
  for value in node.attr.values():
    if value.WhichOneof("value") == "func":
      found.append(value.func.name)
    found += [function.name for function in value.list.func]
  return found


def _all_nodes(graph: graph_pb2.GraphDef) -> Iterator[Mapping[str, Node]]:
  """Yields the nodes by name of the graph and of each of its functions."""
  yield {node.name: node for node in graph.node}
  for function in graph.library.function:
    yield {node.name: node for node in function.node_def}
