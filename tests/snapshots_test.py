import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill import merging
from ctr_codistill import snapshots
from ctr_codistill import stamped
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.errors import InputError
from ctr_codistill.manifests import TornError
from ctr_codistill.models import networks
from ctr_codistill.serving import Servable
from ctr_codistill.snapshots import Snapshot
from ctr_codistill.snapshots import Writer


def _probability(snapshot, features):
  return snapshot.predict_ids(**features)["probability"].numpy()


def _own(servable, features):
  return servable.signatures()["predict_ids"](**features)["probability"].numpy()


def test_a_snapshot_predicts_as_what_was_written(
  publish, servable, features, tmp_path
):
  path = publish(tmp_path, 50, seed=1, group=1)
  snapshot = Snapshot(path)
  assert path == snapshot.path == tmp_path / "50"
  assert (snapshot.step, snapshot.facts) == (50, {"group": 1, "step": 50})
  found = _probability(snapshot, features)
  assert (found.shape, found.dtype) == ((16,), np.float32)
  assert np.array_equal(found, _own(servable, features))


def test_a_later_snapshot_has_the_later_weights_and_links_the_graph(
  publish, features, tmp_path
):
  first, second = (publish(tmp_path, step, seed=step) for step in (1, 2))
  one, other = (_probability(Snapshot(p), features) for p in (first, second))
  assert np.abs(one - other).max() > 0.01
  for name in (
    "saved_model.pb",
    "assets/C1.txt",
    f"{snapshots.EXTRA}/{schemas.FILE}",
  ):
    assert os.path.samefile(first / name, second / name)
  data = "variables/variables.data-00000-of-00001"
  assert not os.path.samefile(first / data, second / data)


def test_the_feature_spec_lies_in_it(publish, schema, tmp_path):
  path = publish(tmp_path, 1, seed=1)
  assert schemas.read(path / snapshots.EXTRA) == schema


def test_a_snapshot_is_written_once(publish, tmp_path):
  path = publish(tmp_path, 1, seed=1)
  before = stamped.verify(path)
  with pytest.raises(FileExistsError, match="1 is complete"):
    publish(tmp_path, 1, seed=2)
  assert stamped.verify(path) == before


def test_what_is_written_is_what_is_given(writer, servable, publish, tmp_path):
  publish(tmp_path, 1, seed=1)
  given = [weight.read_value() for weight in servable.weights]
  publish(tmp_path, 2, seed=2)
  found = snapshots.read(writer.write(tmp_path, 3, given, {}))
  assert found.step == 3
  for one, other in zip(found.tensors, given, strict=True):
    assert np.array_equal(one, other)


def test_a_teachers_graph_predicts_alike_and_has_no_vocabulary(
  publish, features, tmp_path
):
  path = publish(tmp_path, 1, seed=1)
  bare, whole = Snapshot(path, ids_only=True), Snapshot(path)
  assert np.array_equal(
    _probability(bare, features), _probability(whole, features)
  )
  assert sorted(os.listdir(path / snapshots.TEACHER / "assets")) == []
  with pytest.raises(InputError, match="/1 has no signature 'predict'"):
    bare.signature("predict")


def test_a_swap_moves_no_numbers(publish, features, tmp_path):
  """The variables are where the numbers were read to, once they are in use."""

  def place(tensor):
    return np.frombuffer(memoryview(tensor), np.uint8).ctypes.data

  paths = [publish(tmp_path, step, seed=step) for step in (1, 2, 3)]
  snapshot = Snapshot(paths[0])
  for path in paths[1:]:
    _probability(snapshot, features)
    weights = snapshots.read(path)
    read_to = [place(tensor) for tensor in weights.tensors]
    snapshot.swap(weights)
    assert weights.tensors == []
    in_use = [place(v.read_value()) for v in snapshot.graph.variables]
    assert in_use == read_to


def test_a_swap_is_the_same_as_loading_and_traces_nothing(
  publish, features, tmp_path
):
  first, second = (publish(tmp_path, step, seed=step) for step in (1, 2))
  snapshot = Snapshot(first)
  traces = []

  @tf.function
  def twice(**given):
    traces.append(1)
    return 2 * snapshot.predict_ids(**given)["probability"]

  before = twice(**features).numpy()
  assert np.array_equal(before, 2 * _probability(snapshot, features))
  snapshot.swap(snapshots.read(second))
  fresh = _probability(Snapshot(second), features)
  assert np.array_equal(_probability(snapshot, features), fresh)
  assert np.array_equal(twice(**features).numpy(), 2 * fresh)
  assert not np.array_equal(2 * fresh, before)
  assert len(traces) == 1
  assert (snapshot.step, snapshot.path) == (2, second)


def test_a_torn_snapshot_is_refused_with_the_file(
  publish, features, tmp_path, flip
):
  good, torn = (publish(tmp_path, step, seed=step) for step in (1, 2))
  flip(torn / "variables" / "variables.data-00000-of-00001")
  said = r"2: variables/variables\.data-00000-of-00001 should be"
  with pytest.raises(TornError, match=said):
    Snapshot(torn)
  snapshot = Snapshot(good)
  before = _probability(snapshot, features)
  with pytest.raises(TornError, match=said):
    snapshots.read(torn)
  assert (snapshot.step, snapshot.path) == (1, good)
  assert np.array_equal(_probability(snapshot, features), before)


def test_a_snapshot_without_a_stamp_is_refused(publish, tmp_path):
  half = publish(tmp_path, 1, seed=1)
  (half / stamped.MANIFEST).unlink()
  for load in (Snapshot, snapshots.read):
    with pytest.raises(TornError, match=r"1 is no complete .*manifest\.json"):
      load(half)


@pytest.mark.parametrize("ids_only", [False, True])
def test_a_snapshot_that_is_deleted_while_it_is_read_is_torn(
  publish, tmp_path, monkeypatch, ids_only
):
  """Made up is the moment: its owner deletes it when its sums were verified."""
  path = publish(tmp_path, 1, seed=1)
  verified = stamped.verified

  def verified_late(path, *given):
    found = verified(path, *given)
    stamped.delete(path)
    return found

  monkeypatch.setattr(stamped, "verified", verified_late)
  with pytest.raises(TornError, match="/1 was deleted while it was read"):
    Snapshot(path, ids_only=ids_only)


def test_a_missing_asset_is_refused(publish, tmp_path):
  path = publish(tmp_path, 1, seed=1)
  (path / "assets" / "C2.txt").unlink()
  with pytest.raises(TornError, match=r"assets/C2\.txt is stamped but missing"):
    Snapshot(path)


def test_what_is_complete_but_no_snapshot_is_refused(tmp_path):
  path = stamped.write(
    tmp_path / "1", lambda d: (d / "file").write_text("x"), {"step": 1}
  )
  with pytest.raises(InputError, match="/1 should be a SavedModel"):
    Snapshot(path)


def test_a_saved_model_without_our_signature_is_refused(tmp_path):
  module = tf.Module()
  module.weights = [tf.Variable(1.0)]
  path = stamped.write(
    tmp_path / "1",
    lambda d: tf.saved_model.save(module, str(d)),
    {"step": 1},
  )
  with pytest.raises(InputError, match=r"/1 should .* signature predict_ids"):
    Snapshot(path)


@pytest.fixture
def foreign(servable, schema, tiny, tmp_path):
  """Snapshot 9 of a model with as many weights, one of another shape."""
  wide = type(tiny)(**{**vars(tiny), "hidden": (5,)})
  module = Servable(
    networks.build(wide, schema, seed=1), schema, servable.lookup
  )
  writer = Writer(module, module.signatures(), {}, tmp_path / "template")
  return writer.write(tmp_path, 9, module.weights, {})


def test_weights_of_another_graph_are_refused_and_change_nothing(
  publish, foreign, features, tmp_path
):
  snapshot = Snapshot(publish(tmp_path, 1, seed=1))
  before = _probability(snapshot, features)
  with pytest.raises(InputError, match=r"/9 do not fit .*/1"):
    snapshot.swap(snapshots.read(foreign))
  assert snapshot.step == 1
  assert np.array_equal(_probability(snapshot, features), before)


def test_an_unknown_signature_is_named(publish, tmp_path):
  snapshot = Snapshot(publish(tmp_path, 1, seed=1))
  with pytest.raises(InputError, match="/1 has no signature 'score'"):
    snapshot.signature("score")
  assert snapshot.signature("predict_ids") is snapshot.predict_ids


def test_a_writer_that_is_made_again_replaces_its_template(
  servable, prepared, tmp_path
):
  template = tmp_path / "template"
  template.mkdir()
  (template / "old").touch()
  extra = {"spec.json": prepared / schemas.FILE}
  writer = Writer(servable, servable.signatures(), extra, template)
  path = writer.write(tmp_path, 3, servable.weights, {})
  assert not (path / "old").exists()
  assert (path / snapshots.EXTRA / "spec.json").exists()


def test_on_another_disk_files_are_copied(
  servable, tmp_path, features, monkeypatch
):
  """The one thing that is made up: a system that refuses to link."""

  def refuse(*unused):
    raise OSError("Invalid cross-device link")

  template = tmp_path / "template"
  writer = Writer(servable, servable.signatures(), {}, template)
  monkeypatch.setattr(os, "link", refuse)
  path = writer.write(tmp_path, 3, servable.weights, {})
  shutil.rmtree(template)
  found = _probability(Snapshot(path), features)
  assert np.array_equal(found, _own(servable, features))


def test_a_merged_snapshot_has_the_mean_of_the_weights(publish, tmp_path):
  one, other = (publish(tmp_path, step, seed=step) for step in (1, 2))
  merged = merging.merge([one, other], tmp_path / "merged")
  found = snapshots.read(merged)
  pairs = zip(snapshots.read(one).tensors, snapshots.read(other).tensors)
  for tensor, (a, b) in zip(found.tensors, pairs, strict=True):
    np.testing.assert_allclose(tensor, (a.numpy() + b.numpy()) / 2, rtol=1e-6)
  assert (found.step, found.facts["merged"]) == (1, 2)


def test_a_merged_snapshot_is_a_whole_one(publish, features, tmp_path):
  path = publish(tmp_path, 1, seed=1)
  merged = Snapshot(merging.merge([path], tmp_path / "merged"))
  found = _probability(merged, features)
  assert np.array_equal(found, _probability(Snapshot(path), features))
  merged.signature("serving_default")
  assert schemas.read(merged.path / snapshots.EXTRA)


def test_weights_of_two_graphs_are_not_merged(publish, foreign, tmp_path):
  path = publish(tmp_path, 1, seed=1)
  with pytest.raises(InputError, match=f"{foreign} do not fit {path}"):
    merging.merge([path, foreign], tmp_path / "merged")
  assert not (tmp_path / "merged").exists()
