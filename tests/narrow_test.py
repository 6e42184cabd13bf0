import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill import stamped
from ctr_codistill.criteo.lookup import Lookup
from ctr_codistill.errors import InputError
from ctr_codistill.exporting import narrow
from ctr_codistill.models import networks
from ctr_codistill.serving import Servable
from ctr_codistill.snapshots import Snapshot
from ctr_codistill.snapshots import Writer


def _published(prepared, schema, folder, **given):
  model = networks.build(config.Model(**given), schema, seed=1)
  for weight in model.weights:  # those that begin at 0 too
    weight.assign(np.random.RandomState(1).uniform(-1, 1, weight.shape))
  servable = Servable(model, schema, Lookup(schema, prepared))
  spec = {"schema.json": prepared / "schema.json"}
  template = folder / "template"
  writer = Writer(servable, servable.signatures(), spec, template)
  return writer.write(folder, 1, servable.weights, {"schema": "it"})


@pytest.mark.parametrize("name", ["dnn", "dcn", "dlrm", "deepfm", "wide_deep"])
def test_arithmetic_is_float32_of_rounded_weights(
  prepared, schema, features, tmp_path, name
):
  given = {"name": name, "hidden": (4,), "bottom": (3,), "embedding_dim": 2}
  wide = _published(prepared, schema, tmp_path / "wide", **given)
  path = narrow.write(wide, tmp_path / "narrow")
  found = Snapshot(path)
  snapshot = Snapshot(wide)
  weights = [
    tf.cast(tf.cast(v, tf.bfloat16), tf.float32)
    for v in snapshot.graph.variables
  ]
  for variable, weight in zip(snapshot.graph.variables, weights):
    variable.assign(weight)
  for output in ("logit", "probability"):
    assert np.array_equal(
      found.predict_ids(**features)[output],
      snapshot.predict_ids(**features)[output],
    )
  for ids_only in (False, True):
    one = Snapshot(path, ids_only=ids_only)
    assert {v.dtype for v in one.graph.variables} == {tf.bfloat16}


def test_weights_take_half_the_bytes(prepared, schema, tmp_path):
  given = {"hidden": (64,), "embedding_dim": 16}
  wide = _published(prepared, schema, tmp_path / "wide", **given)
  path = narrow.write(wide, tmp_path / "narrow")
  data = "variables/variables.data-00000-of-00001"
  sizes = [(p / data).stat().st_size for p in (wide, path)]
  # Beside the weights lies the object graph.
  kept = tf.train.list_variables(str(wide / "variables" / "variables"))
  weights = sum(
    4 * int(np.prod(shape))
    for name, shape in kept
    if name.startswith("weights/")
  )
  assert sizes[0] - sizes[1] == weights // 2
  assert stamped.verify(path) == {"schema": "it", "step": 1}


def test_bfloat16_is_not_made_of_bfloat16(prepared, schema, tmp_path):
  wide = _published(prepared, schema, tmp_path / "wide", hidden=(4,))
  path = narrow.write(wide, tmp_path / "narrow")
  with pytest.raises(InputError, match=f"{path} is bfloat16 already"):
    narrow.write(path, tmp_path / "again")
