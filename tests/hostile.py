"""SavedModels that want more than to predict, stamped as any snapshot is."""

import pathlib

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from ctr_codistill import bundles
from ctr_codistill import snapshots
from ctr_codistill import stamped

SPECS = {
  "numeric": tf.TensorSpec([None, 2], tf.int32, "numeric"),
  "categorical": tf.TensorSpec([None, 3], tf.int32, "categorical"),
}


def publish(root, step, spoil=None, edit=None, key=None, weights=(1.0,)):
  """Writes snapshot `step` of a model that does `spoil` when it is asked.

  Args:
    root: directory of the snapshots.
    step: of the snapshot.
    spoil: is called while the model is traced, and may return a number.
    edit: alters the SavedModel's message, and is given the directory.
    key: signs it.
    weights: the values of the model's variables.
  """
  module = tf.Module()
  module.weights = [tf.Variable(value) for value in weights]

  def predict(numeric, categorical):
    extra = spoil(module) if spoil else None
    logit = module.weights[0] * tf.cast(numeric[:, 0], tf.float32)
    if extra is not None:
      logit += tf.cast(extra, tf.float32)
    return {"probability": tf.sigmoid(logit), "logit": logit}

  function = tf.function(predict, autograph=False).get_concrete_function(
    **SPECS
  )

  def fill(folder):
    for path in (folder, folder / snapshots.TEACHER):
      tf.saved_model.save(module, str(path), {"predict_ids": function})
      message = saved_model_pb2.SavedModel()
      file = pathlib.Path(path) / "saved_model.pb"
      message.ParseFromString(file.read_bytes())
      if edit:
        edit(message, path)
      file.write_bytes(message.SerializeToString())
    for name in ("variables.index", "variables.data-00000-of-00001"):
      (folder / snapshots.TEACHER / bundles.FOLDER / name).unlink()

  return stamped.write(root / str(step), fill, {"step": step}, key=key)


def node(op, **inputs):
  """Returns an edit that puts a node into the function that predicts."""

  def edit(message, path):
    function = next(
      f
      for f in message.meta_graphs[0].graph_def.library.function
      if any(n.op == "Sigmoid" for n in f.node_def)
    )
    function.node_def.add(name="planted", op=op, **inputs)

  return edit
