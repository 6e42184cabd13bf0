"""The work directory of a run: who writes where, and whose it is."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from ctr_codistill import config
from ctr_codistill import keys
from ctr_codistill import stamped
from ctr_codistill.codistill import exchange
from ctr_codistill.codistill.schedule import Span
from ctr_codistill.criteo import order
from ctr_codistill.criteo import records
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo.records import Shards
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.criteo.share import Share
from ctr_codistill.errors import InputError
from ctr_codistill.keys import Key
from ctr_codistill.training.strategy import Cluster

EXPERIMENT = "experiment.json"
"""Whose directory it is: the flags and the data of the run."""
PROGRESS = "progress.json"
"""What a group's chief says of its training, in the folder of the group."""
_PARTS_A_GROUP = 4


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


def checkpoints_folder(workdir: pathlib.Path, group: int) -> pathlib.Path:
  """Returns where the checkpoints of `group` lie, one a step."""
  return group_folder(workdir, group) / "checkpoints"


def group_folder(workdir: pathlib.Path, group: int) -> pathlib.Path:
  """Returns where `group` keeps checkpoints, events, logs and progress."""
  return workdir / f"group-{group}"


@dataclasses.dataclass(frozen=True)
class Claim:
  """What a worker trains on: feature spec, rows, its share of them, steps.

  `experiment` is as its group has it, `all_steps` what each group trains,
  `models` the network of each.
  """

  experiment: config.Experiment
  schema: Schema
  shards: Shards
  share: Share
  span: Span
  all_steps: tuple[int, ...]
  models: tuple[config.Model, ...] = ()
  key: Key | None = None

  @property
  def steps(self) -> int:
    """How many it trains."""
    return self.span.steps


def claim(place: Place, experiment: config.Experiment) -> Claim:
  """Checks that data, work directory and experiment belong together.

  Raises:
    InputError: the group or the workers are not the experiment's, the work
      directory holds another experiment, other data or something else, the
      rows do not make one step, a fixed teacher is none for them, or the key
      cannot be used.
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
  share = _share(experiment, place)
  each = [config.for_group(experiment, g) for g in range(experiment.groups)]
  own = each[place.group]
  key = keys.read(own.exchange.key_file)
  spans = [
    _span(one.training, shards, dataclasses.replace(share, group=group))
    for group, one in enumerate(each)
  ]
  for path in own.codistill.teachers:
    check_teacher(stamped.facts(path), path, schema)
  _claim_workdir(
    place.workdir,
    experiment,
    {
      "schema": schema.fingerprint,
      "rows": shards.rows,
      "digest": records.digest(shards),  # other labels are other data
    },
  )
  return Claim(
    own,
    schema,
    shards,
    share,
    spans[place.group],
    tuple(span.steps for span in spans),
    tuple(one.model for one in each),
    key,
  )


def check_teacher(facts: Mapping[str, Any], path: str, schema: Schema) -> None:
  """Raises InputError unless a snapshot was made for these features.

  Args:
    facts: stamped on it.
    path: of it.
    schema: the feature spec that it is asked with.
  """
  found = facts.get("schema")
  if found != schema.fingerprint:
    raise InputError(
      f"codistill.teachers: {path} should be a snapshot for features "
      f"{schema.fingerprint}, is one for {found}"
    )


def _share(experiment: config.Experiment, place: Place) -> Share:
  data = experiment.data
  return Share(
    group=place.group,
    groups=experiment.groups,
    worker=place.cluster.index,
    workers=experiment.workers,
    overlap=0.0 if data.sharing == "disjoint" else data.overlap,
    coordinated=data.sharing == "coordinated",
    seed=experiment.training.seed,
    window_rows=data.window_rows,
    parts=_parts(experiment),
  )


def _parts(experiment: config.Experiment) -> int:
  """Returns into how many parts groups cut a window.

  A group that fell behind by a part still finds what the others left.
  """
  if experiment.exchange.what != "predictions" or experiment.groups < 2:
    return 1
  return _PARTS_A_GROUP * experiment.groups


def _span(training: config.Training, shards: Shards, share: Share) -> Span:
  """Returns how long a training is: by epochs, cut at `max_steps`."""
  rows = order.epoch_rows(shards, share) * share.workers
  steps = int(rows * training.epochs) // training.batch_size
  if steps < 1 or rows < training.batch_size:
    raise InputError(
      f"the {rows} rows of {shards.directory} that a group has, times "
      f"{training.epochs:g} epochs, should make a step of batch_size="
      f"{training.batch_size}"
    )
  return Span(
    min(steps, training.max_steps or steps), rows / training.batch_size
  )


def _refuse_foreign(workdir: pathlib.Path) -> None:
  """Refuses a directory of something else: runs are not mixed with it.

  An exchange that lies elsewhere must be there before the run is.
  """
  found = sorted(
    entry.name
    for entry in workdir.iterdir()
    if not entry.name.startswith(stamped.ASIDE) and not _is_elsewhere(entry)
  )
  if found and not (workdir / EXPERIMENT).exists():
    raise InputError(
      f"the work directory {workdir} should be new, empty or one of a run, "
      f"holds {found[0]!r}"
    )


def _is_elsewhere(entry: pathlib.Path) -> bool:
  """Tells whether this is the exchange, mounted or linked from elsewhere."""
  named = entry.name == exchange.FOLDER
  return named and (entry.is_symlink() or entry.is_mount())


def _claim_workdir(
  workdir: pathlib.Path, experiment: config.Experiment, data: dict
) -> None:
  path = workdir / EXPERIMENT
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
      _refuse_foreign(workdir)
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
    if its_data.get(name, value) != value
  ]
  if different:
    raise InputError(
      f"the work directory {workdir} is of another experiment "
      f"({'; '.join(different)}); take another directory"
    )
