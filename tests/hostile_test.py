"""A snapshot is a program: what one may not do, tried with real SavedModels."""

import pathlib
import resource

import hostile
import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill import bundles
from ctr_codistill import graph_ops
from ctr_codistill import manifests
from ctr_codistill import snapshots
from ctr_codistill import stamped
from ctr_codistill import sums
from ctr_codistill.errors import InputError
from ctr_codistill.exporting.exports import export
from ctr_codistill.manifests import Manifest
from ctr_codistill.snapshots import Snapshot
from ctr_codistill.trust.demands import Demands

VICTIM = "/tmp/ctr_codistill-was-here"


def _read(module):
  return tf.strings.length(tf.io.read_file("/etc/passwd"))


def _write(module):
  write = tf.raw_ops.WriteFile(filename=VICTIM, contents="mine")
  with tf.control_dependencies([write]):
    return tf.constant(0)


def _python(module):
  return tf.py_function(
    lambda: pathlib.Path(VICTIM).touch() or 1.0, [], tf.float32
  )


def _numpy(module):
  return tf.numpy_function(lambda: np.float32(1), [], tf.float32)


def _match(module):
  return tf.size(tf.io.matching_files("/etc/*"))


def _records(module):
  data = tf.data.TFRecordDataset(["/etc/passwd"])
  return data.reduce(0, lambda total, record: total + 1)


def _print(module):
  tf.print("mine", output_stream=f"file://{VICTIM}")


def _restore(module):
  (found,) = tf.raw_ops.RestoreV2(
    prefix="/tmp/x", tensor_names=["a"], shape_and_slices=[""], dtypes=["float"]
  )
  return tf.size(found)


def _save(module):
  tf.raw_ops.SaveV2(
    prefix=VICTIM,
    tensor_names=["a"],
    shape_and_slices=[""],
    tensors=[module.weights[0].read_value()],
  )


def _nested(module):
  # In the branch of a branch, which is a function of a function.
  return tf.cond(
    module.weights[0] > 0,
    lambda: tf.cond(module.weights[0] > 1, lambda: 0, lambda: _read(module)),
    lambda: 0,
  )


def _table_of_any_file(module):
  table = tf.raw_ops.HashTableV2(key_dtype="string", value_dtype="int64")
  tf.raw_ops.InitializeTableFromTextFileV2(
    table_handle=table,
    filename="/etc/passwd",
    key_index=-2,
    value_index=-1,
  )
  return tf.raw_ops.LookupTableSizeV2(table_handle=table)


def _others_variable(module):
  handle = tf.raw_ops.VarHandleOp(
    dtype=tf.float32, shape=[], shared_name="students"
  )
  tf.raw_ops.AssignVariableOp(resource=handle, value=0.0)


SPOILED = {
  "ReadFile": _read,
  "WriteFile": _write,
  "EagerPyFunc": _python,
  "PyFunc": _numpy,
  "MatchingFiles": _match,
  "TFRecordDatasetV2": _records,
  "PrintV2": _print,
  "RestoreV2": _restore,
  "SaveV2": _save,
  "InitializeTableFromTextFileV2": _table_of_any_file,
  "VarHandleOp": _others_variable,
}


def _stamp_again(path):
  """Makes the manifest tell of what is in `path` now."""
  files = sums.of(path)
  files.pop(stamped.MANIFEST)
  manifest = Manifest(stamped.facts(path), files)
  (path / stamped.MANIFEST).write_text(manifests.text(manifest, None))


@pytest.fixture(autouse=True)
def untouched():
  """Nothing that a snapshot tried to leave may be there after a test."""
  yield
  assert not list(pathlib.Path("/tmp").glob(VICTIM.rpartition("/")[2] + "*"))


def test_an_honest_model_of_this_form_is_loaded(tmp_path, features):
  path = hostile.publish(tmp_path, 1)
  for ids_only in (False, True):
    found = Snapshot(path, ids_only=ids_only).predict_ids(**features)
    np.testing.assert_allclose(
      found["logit"], features["numeric"][:, 0], rtol=1e-6
    )


@pytest.mark.parametrize("ids_only", [False, True])
@pytest.mark.parametrize("op", SPOILED)
def test_what_reaches_beyond_the_graph_is_refused_by_name(
  tmp_path, op, ids_only
):
  path = hostile.publish(tmp_path, 1, SPOILED[op])
  with pytest.raises(
    InputError, match=rf"{path}.* has the op \w+ .*no snapshot may have"
  ) as caught:
    # Not even a user may allow it.
    Snapshot(path, Demands(allowed_ops=(op,)), ids_only=ids_only)
  # Of a data set it is the function or another of its ops that is met first.
  assert f"op {op} " in str(caught.value) or "Dataset" in op
  with pytest.raises(InputError, match="no snapshot may have"):
    export(path, tmp_path / "served")
  assert not list((tmp_path / "served").glob("*"))


def test_a_forbidden_op_deep_in_branches_is_found(tmp_path):
  path = hostile.publish(tmp_path, 1, _nested)
  with pytest.raises(InputError, match=r"function .* has the op ReadFile"):
    Snapshot(path)


def test_an_op_that_no_tensorflow_has_is_refused(tmp_path):
  for op in ("MyKernel", "IO>Open"):
    path = hostile.publish(tmp_path / op, 1, edit=hostile.node(op))
    with pytest.raises(InputError, match=f"has the op {op} "):
      Snapshot(path)


def test_an_op_that_only_computes_is_allowed_by_name(tmp_path, features):
  path = hostile.publish(
    tmp_path, 1, lambda module: tf.math.betainc(1.0, 1.0, 0.25)
  )
  with pytest.raises(InputError, match=r"allowed_ops=Betainc allows it"):
    Snapshot(path)
  found = Snapshot(path, Demands(allowed_ops=("Betainc",)))
  logit = found.predict_ids(**features)["logit"]
  wanted = features["numeric"][:, 0].numpy() + 0.25
  np.testing.assert_allclose(logit, wanted)


def test_nothing_denied_is_allowed_or_can_be_added():
  assert not list(filter(graph_ops.is_denied, graph_ops.ALLOWED))
  assert not graph_ops.may_be_added("Betainc,ReadFile")
  for op in ("ReadFile", "WriteFile", "PyFunc", "EagerPyFunc", "SaveV2"):
    assert not graph_ops.may_be_added(op)


def test_the_savers_functions_may_not_be_called(tmp_path):
  """They write files wherever they are told to."""

  def edit(message, path):
    graph = message.meta_graphs[0].graph_def
    saver = next(
      f.signature.name
      for f in graph.library.function
      if any(n.op == "SaveV2" for n in f.node_def)
    )
    hostile.node("StatefulPartitionedCall")(message, path)
    for function in graph.library.function:
      for one in function.node_def:
        if one.name == "planted":
          one.attr["f"].func.name = saver

  path = hostile.publish(tmp_path, 1, edit=edit)
  with pytest.raises(InputError, match=r"calls '__inf.*', which writes files"):
    Snapshot(path)


def test_a_function_that_is_not_in_the_snapshot_may_not_be_called(tmp_path):
  def edit(message, path):
    hostile.node("PartitionedCall")(message, path)
    for function in message.meta_graphs[0].graph_def.library.function:
      for one in function.node_def:
        if one.name == "planted":
          one.attr["f"].func.name = "__inference_step_17"

  path = hostile.publish(tmp_path, 1, edit=edit)
  with pytest.raises(InputError, match="step_17', which is not in it"):
    Snapshot(path)


@pytest.mark.parametrize(
  "name", ["../../../../../etc/passwd", "/etc/passwd", "none.txt"]
)
def test_an_asset_that_climbs_is_refused(tmp_path, name):
  def edit(message, path):
    message.meta_graphs[0].asset_file_def.add(filename=name)

  path = hostile.publish(tmp_path, 1, edit=edit)
  with pytest.raises(InputError, match=f"the asset '{name}' should be one"):
    Snapshot(path)


def test_a_constant_that_is_small_on_disk_and_large_in_memory_is_refused(
  tmp_path,
):
  """One value stands for 4 TB."""

  def edit(message, path):
    hostile.node("Const")(message, path)
    for function in message.meta_graphs[0].graph_def.library.function:
      for one in function.node_def:
        if one.name == "planted":
          one.attr["dtype"].type = 1
          tensor = one.attr["value"].tensor
          tensor.dtype = 1
          tensor.tensor_shape.dim.add(size=1 << 40)
          tensor.float_val.append(1.0)

  path = hostile.publish(tmp_path, 1, edit=edit)
  with pytest.raises(InputError, match=r"planted should .*, take 43980465"):
    Snapshot(path)


@pytest.mark.parametrize(
  "spoil",
  [
    lambda m: tf.reduce_sum(tf.fill([1 << 30, 1 << 10], 1.0)),
    lambda m: tf.reduce_sum(tf.tile(m.weights[0][None], [1 << 40])),
    lambda m: tf.reduce_sum(tf.broadcast_to(m.weights[0], [1 << 40])),
    lambda m: tf.reduce_sum(tf.random.uniform([1 << 40])),
  ],
)
def test_a_shape_that_fills_the_memory_is_refused(tmp_path, spoil):
  path = hostile.publish(tmp_path, 1, spoil)
  with pytest.raises(InputError, match=r"should make at most .* 1099511627776"):
    Snapshot(path)


def test_a_table_that_its_file_does_not_hold_takes_no_memory(tmp_path):
  """The index says 4 TB, in the data file there are 4 bytes."""
  path = hostile.publish(tmp_path, 1)
  bomb = tf.Variable(tf.zeros([1]), shape=tf.TensorShape(None))
  tf.raw_ops.SaveV2(
    prefix=str(tmp_path / "bomb"),
    tensor_names=["weights/0/.ATTRIBUTES/VARIABLE_VALUE", "rest"],
    # One row of a table of 2^40, as a writer of a part would say it.
    shape_and_slices=["1099511627776 0,1", ""],
    tensors=[bomb, tf.constant("")],
  )
  for name in ("index", "data-00000-of-00001"):
    file = path / bundles.FOLDER / f"{bundles.FOLDER}.{name}"
    file.write_bytes((tmp_path / f"bomb.{name}").read_bytes())
  _stamp_again(path)
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  for load in (snapshots.read, Snapshot):
    with pytest.raises(
      InputError, match=r"variables should take at most .*\[1099511627776\]"
    ):
      load(path)
  assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 16
