"""The work directory of a run: who writes where, and whose it is."""

import dataclasses
import json
import pathlib

from ctr_codistill import config
from ctr_codistill import stamped
from ctr_codistill.criteo import records
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo.records import Shards
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.errors import InputError
from ctr_codistill.training.strategy import Cluster

PROGRESS = "progress.json"
"""What a group's chief says of its training, in the folder of the group."""


@dataclasses.dataclass(frozen=True)
class Place:
  """Where a worker stands: its data, its run, its group and its cluster."""

  data: pathlib.Path
  workdir: pathlib.Path
  group: int
  cluster: Cluster

  @property
  def folder(self) -> pathlib.Path:
    """Where its group writes."""
    return group_folder(self.workdir, self.group)


def group_folder(workdir: pathlib.Path, group: int) -> pathlib.Path:
  """Returns where `group` keeps checkpoints, events, logs and progress."""
  return workdir / f"group-{group}"


def claim(place: Place, experiment: config.Experiment) -> tuple[Schema, Shards]:
  """Checks that data, work directory and experiment belong together.

  Returns:
    The feature spec and the training shards.

  Raises:
    InputError: the group or the workers are not the experiment's, or the work
      directory holds another experiment or other data.
  """
  if not 0 <= place.group < experiment.groups:
    raise InputError(
      f"group should be in [0, {experiment.groups}), is {place.group}"
    )
  if len(place.cluster.workers) != experiment.workers:
    raise InputError(
      f"workers should be the {len(place.cluster.workers)} of TF_CONFIG, is "
      f"{experiment.workers}"
    )
  schema = schemas.read(place.data)
  shards = records.open_shards(place.data / "train", schema)
  _claim_workdir(
    place.workdir,
    experiment,
    {"schema": schema.fingerprint, "rows": shards.rows},
  )
  return schema, shards


def _claim_workdir(
  workdir: pathlib.Path, experiment: config.Experiment, data: dict
) -> None:
  path = workdir / "experiment.json"
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
      own = json.loads(config.to_json(experiment))
      stamped.write_json(path, {"experiment": own, "data": data})
    text = path.read_bytes()
  except OSError as error:
    raise InputError(
      f"the work directory {workdir}: {error.strerror}"
    ) from None
  try:
    found = json.loads(text)
    other, its_data = config.from_dict(found["experiment"]), dict(found["data"])
  except (ValueError, KeyError, TypeError) as error:
    raise InputError(f"{path} should describe an experiment: {error}") from None
  different = config.differences(other, experiment)
  different += [
    f"data.{name}: {its_data.get(name)!r} against {value!r}"
    for name, value in data.items()
    if its_data.get(name) != value
  ]
  if different:
    raise InputError(
      f"the work directory {workdir} is of another experiment "
      f"({'; '.join(different)}); take another --workdir"
    )
