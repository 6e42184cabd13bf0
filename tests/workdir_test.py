import dataclasses
import json

import pytest

from ctr_codistill import config
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo.preparing.shard_writer import ShardWriter
from ctr_codistill.criteo.share import Share
from ctr_codistill.errors import InputError
from ctr_codistill.training import workdir
from ctr_codistill.training.strategy import Cluster
from ctr_codistill.training.workdir import Place

EXPERIMENT = config.from_dict({"training": {"batch_size": 10}})


@pytest.fixture
def place(prepared, tmp_path):
  return Place(prepared, tmp_path / "run", group=0, cluster=Cluster())


def test_a_new_work_directory_becomes_the_experiment_s(place, schema):
  claim = workdir.claim(place, EXPERIMENT)
  assert claim.schema == schema
  assert claim.shards.rows == 230
  written = json.loads((place.workdir / "experiment.json").read_text())
  assert config.from_dict(written["experiment"]) == EXPERIMENT
  data = written["data"]
  assert (data["schema"], data["rows"]) == (schema.fingerprint, 230)
  assert len(data["digest"]) == 32


def test_the_same_experiment_may_go_on_and_other_groups_join(place):
  workdir.claim(place, EXPERIMENT)
  before = (place.workdir / "experiment.json").stat().st_mtime_ns
  workdir.claim(place, EXPERIMENT)
  workdir.claim(dataclasses.replace(place, group=1), EXPERIMENT)
  assert (place.workdir / "experiment.json").stat().st_mtime_ns == before


def test_the_exchange_may_lie_elsewhere_before_the_run_begins(place, tmp_path):
  (tmp_path / "store" / "group-1").mkdir(parents=True)
  place.workdir.mkdir()
  (place.workdir / "exchange").symlink_to(tmp_path / "store")
  assert workdir.claim(place, EXPERIMENT).shards.rows == 230


def test_snapshots_without_a_run_are_refused(place):
  (place.workdir / "exchange" / "group-1").mkdir(parents=True)
  with pytest.raises(InputError, match="one of a run, holds 'exchange'"):
    workdir.claim(place, EXPERIMENT)


def test_each_group_has_a_folder(place):
  assert place.folder == place.workdir / "group-0"
  assert workdir.group_folder(place.workdir, 3) == place.workdir / "group-3"


def test_another_experiment_s_directory_names_what_differs(place):
  workdir.claim(place, EXPERIMENT)
  other = config.from_dict(
    {"training": {"seed": 5, "batch_size": 10}, "model": {"hidden": [8]}}
  )
  said = (
    r"run is of another experiment \(model.hidden: \(256, 128\) against "
    r"\(8,\); training.seed: 0 against 5\); take another directory"
  )
  with pytest.raises(InputError, match=said):
    workdir.claim(place, other)


@pytest.mark.parametrize("group", [-1, 2])
def test_a_group_beyond_the_experiment_s_is_refused(place, group):
  said = rf"group should be in \[0, 2\), is {group}"
  with pytest.raises(InputError, match=said):
    workdir.claim(dataclasses.replace(place, group=group), EXPERIMENT)
  assert not place.workdir.exists()


def test_a_cluster_of_another_size_is_refused(place):
  cluster = Cluster(("a:1", "b:2"), 1)
  said = "workers should be the 2 of TF_CONFIG, is 1"
  with pytest.raises(InputError, match=said):
    workdir.claim(dataclasses.replace(place, cluster=cluster), EXPERIMENT)


def test_other_data_are_named(place, schema, rows, tmp_path):
  workdir.claim(place, EXPERIMENT)
  other = tmp_path / "other"
  with ShardWriter(other / "train", schema) as writer:
    writer.write(rows[:100])
  schemas.write(schema, other)
  with pytest.raises(InputError, match=r"data\.rows: 230 against 100"):
    workdir.claim(dataclasses.replace(place, data=other), EXPERIMENT)


def test_another_schema_is_named(place, schema, rows, tmp_path):
  workdir.claim(place, EXPERIMENT)
  other = tmp_path / "other"
  changed = dataclasses.replace(
    schema, numeric=(dataclasses.replace(schema.numeric[0], mean=0.5),)
  )
  with ShardWriter(other / "train", changed) as writer:
    writer.write(rows[:, [0, 1, 3, 4, 5]])
  schemas.write(changed, other)
  said = f"data.schema: '{schema.fingerprint}' against '{changed.fingerprint}'"
  with pytest.raises(InputError, match=said):
    workdir.claim(dataclasses.replace(place, data=other), EXPERIMENT)


def test_data_that_were_not_prepared_are_named(place, tmp_path):
  with pytest.raises(InputError, match=r"none should be .*schema\.json there"):
    workdir.claim(
      dataclasses.replace(place, data=tmp_path / "none"), EXPERIMENT
    )


@pytest.mark.parametrize(
  ("text", "said"),
  [
    ("{", "Expecting"),
    ("{}", "experiment"),
    ("[]", "list"),
    ('{"experiment": {"grups": 1}, "data": {}}', "no field 'grups'"),
    ('{"experiment": {}}', "data"),
    ('{"experiment": {}, "data": 3}', "'int' object"),
  ],
)
def test_a_file_of_another_kind_is_named(place, text, said):
  place.workdir.mkdir()
  (place.workdir / "experiment.json").write_text(text)
  with pytest.raises(
    InputError, match=rf"experiment\.json should describe .*{said}"
  ):
    workdir.claim(place, EXPERIMENT)


@pytest.mark.parametrize(
  ("training", "steps"),
  [
    ({}, 23),
    ({"epochs": 2.5}, 57),  # 575 rows make 57 batches of 10
    ({"epochs": 0.1}, 2),
    ({"max_steps": 5}, 5),
    ({"max_steps": 500}, 23),
    ({"batch_size": 230}, 1),
  ],
)
def test_steps_are_those_of_the_epochs_cut_at_the_most(place, training, steps):
  experiment = config.from_dict({"training": {"batch_size": 10, **training}})
  assert workdir.claim(place, experiment).steps == steps


def test_a_group_with_a_batch_of_its_own_has_its_own_steps(place):
  experiment = config.from_dict(
    {
      "training": {"batch_size": 10},
      "per_group": ["1:training.batch_size=46", "1:training.epochs=2"],
    }
  )
  steps = [
    workdir.claim(dataclasses.replace(place, group=g), experiment).steps
    for g in (0, 1)
  ]
  assert steps == [23, 10]  # 230 / 10, and 2 x 230 / 46
  written = json.loads((place.workdir / "experiment.json").read_text())
  assert config.from_dict(written["experiment"]) == experiment


def test_a_disjoint_group_has_the_steps_of_its_own_rows(place):
  # 230 rows are blocks of 8, of each shard of 80 the last 8 too: 10 + 10 + 9
  # blocks, the last of 6. Group 1 has the odd 14 of them.
  experiment = config.from_dict(
    {"data": {"sharing": "disjoint"}, "training": {"batch_size": 16}}
  )
  claim = workdir.claim(dataclasses.replace(place, group=1), experiment)
  assert claim.steps == 14 * 8 // 16
  assert claim.span.epoch_steps == 7
  assert claim.share == Share(group=1, groups=2, overlap=0.0)


@pytest.mark.parametrize("training", [{"batch_size": 231}, {"epochs": 0.001}])
def test_rows_that_make_no_step_are_refused(place, training):
  experiment = config.from_dict({"training": {"batch_size": 10, **training}})
  batch, epochs = experiment.training.batch_size, experiment.training.epochs
  said = f"the 230 rows of .*, times {epochs:g} epochs, .* batch_size={batch}"
  with pytest.raises(InputError, match=said):
    workdir.claim(place, experiment)
  assert not place.workdir.exists()


def test_a_directory_of_something_else_is_refused(place):
  place.workdir.mkdir()
  (place.workdir / "thesis.tex").touch()
  with pytest.raises(InputError, match=r"should be new, .* 'thesis\.tex'"):
    workdir.claim(place, EXPERIMENT)


def test_what_a_dead_writer_left_aside_is_no_hindrance(place):
  place.workdir.mkdir()
  (place.workdir / ".tmp-experiment.json-1234").touch()
  assert workdir.claim(place, EXPERIMENT).steps == 23


def test_a_file_in_the_place_of_the_directory_is_named(place):
  place.workdir.write_text("")
  with pytest.raises(InputError, match=r"work directory .*/run: File exists"):
    workdir.claim(place, EXPERIMENT)


@pytest.mark.parametrize(
  ("data", "wanted"),
  [
    ({}, Share(groups=2)),
    ({"overlap": 0.4}, Share(groups=2, overlap=0.4)),
    ({"sharing": "coordinated"}, Share(groups=2, coordinated=True)),
  ],
)
def test_the_flags_of_the_data_say_what_a_group_shares(place, data, wanted):
  experiment = config.from_dict({"data": data, "training": {"batch_size": 10}})
  assert workdir.claim(place, experiment).share == wanted
