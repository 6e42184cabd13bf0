"""What a run is: frozen dataclasses that cannot hold a wrong value.

Each field carries its help and its rule (`fields`), so that one definition
serves the flags, the JSON in the work directory and the check at birth.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from ctr_codistill import fields
from ctr_codistill import overrides
from ctr_codistill import topology
from ctr_codistill.errors import InputError
from ctr_codistill.fields import Checked
from ctr_codistill.method_config import Codistill
from ctr_codistill.method_config import Exchange
from ctr_codistill.method_config import Regularization
from ctr_codistill.model_config import Model
from ctr_codistill.model_config import Optimizer

_LARGEST = 38  # powers of ten in a float32


@dataclasses.dataclass(frozen=True)
class Data(Checked):
  """Which examples a group sees, and in what order."""

  sharing: str = fields.choice(
    "same",
    "groups train on the same examples, each in its own order; on disjoint"
    " shares of them; or on the same in the same order (coordinated)",
    "same",
    "disjoint",
    "coordinated",
  )
  overlap: float = fields.number(
    1.0,
    "share of the examples that every group sees, the rest is split among them;"
    " only with sharing same, 0 is disjoint",
    low=0,
    high=1,
  )
  window_rows: int = fields.number(
    131_072, "rows shuffled together, per worker; 3 x as many in memory", low=1
  )

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.overlap != 1 and self.sharing != "same":
      raise InputError(
        f"data.overlap should be 1 unless sharing is same, is {self.overlap}"
      )


@dataclasses.dataclass(frozen=True)
class Training(Checked):
  """How long, on what, and how often things are done beside the step."""

  batch_size: int = fields.number(
    256, "examples a step, over all workers of a group", low=1
  )
  epochs: float = fields.positive(1.0, "times that a group's examples are seen")
  max_steps: int = fields.number(
    0, "end after so many steps; 0: by epochs", low=0
  )
  seed: int = fields.number(
    0, "seed of weights and order", low=0, high=2**31 - 1
  )
  weights_seed: int = fields.number(
    -1,
    "seed of the first weights, the same in all groups; -1: each has its own,"
    " from seed",
    low=-1,
    high=2**31 - 1,
  )
  checkpoint_every: int = fields.number(
    1000, "steps between checkpoints; 0: only at the end", low=0
  )
  evaluate_every: int = fields.number(
    1000, "steps between validations; 0: only at the end", low=0
  )
  average_decay: float = fields.number(
    0.0,
    "what is served: 0 the weights themselves, else their moving average with"
    " at most this weight on the past",
    low=0,
    high=0.9999,
  )
  average_every: int = fields.number(
    16, "steps between updates of the moving average", low=1
  )
  summarize_every: int = fields.number(
    10, "steps between writes of what was logged", low=1
  )
  checksum_every: int = fields.number(
    1000,
    "steps between comparisons of the weights of a group's workers, which stop"
    " when they differ; 0: never",
    low=0,
  )
  collective_timeout: float = fields.positive(
    120.0,
    "seconds that a worker of several waits for the others, in a step or"
    " between steps, until it ends",
  )
  storage_timeout: float = fields.positive(
    1800.0,
    "seconds that a worker waits for what is written before the next step: a"
    " checkpoint, the last snapshot, in a reproducible run any; in that step"
    " for what a peer writes, too",
  )
  start_timeout: float = fields.positive(
    300.0, "seconds until a worker that never came ends its group"
  )
  threads: int = fields.number(0, "threads of one worker; 0: all cores", low=0)


@dataclasses.dataclass(frozen=True)
class Experiment(Checked):
  """One run: all that decides its result, apart from the data themselves."""

  groups: int = fields.number(2, "groups that train side by side", low=1)
  workers: int = fields.number(1, "workers of each group", low=1)
  reproducible: bool = fields.ruled(
    False,
    "the same bits in every run of the same flags, data, software and kind of"
    " machine; groups wait for one another",
    "true or false",
    lambda value: True,
  )
  data: Data = dataclasses.field(default_factory=Data)
  model: Model = dataclasses.field(default_factory=Model)
  optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
  training: Training = dataclasses.field(default_factory=Training)
  codistill: Codistill = dataclasses.field(default_factory=Codistill)
  exchange: Exchange = dataclasses.field(default_factory=Exchange)
  regularization: Regularization = dataclasses.field(
    default_factory=Regularization
  )
  per_group: tuple[str, ...] = fields.ruled(
    [],
    "what one group has otherwise, such as 1:model.name=dcn",
    "each GROUP:FIELD=VALUE",
    lambda texts: all(map(overrides.is_one, texts)),
  )

  def __post_init__(self) -> None:
    super().__post_init__()
    for group in overrides.groups(self.per_group, self.groups):
      for_group(self, group)
    if self.training.batch_size % self.workers:
      raise InputError(
        f"training.batch_size should be a multiple of the {self.workers} "
        f"workers of a group, is {self.training.batch_size}"
      )
    topology.peers(self.exchange.topology, self.groups)
    self._check_decay()
    self._check_growth()
    if self.exchange.what == "predictions":
      self._check_predictions()
    if self.reproducible:
      self._check_reproducible()

  def _check_reproducible(self) -> None:
    for name, value, rule, holds in (
      ("training.threads", self.training.threads, "at least 1", bool),
      ("exchange.every_seconds", self.exchange.every_seconds, "0", _is_zero),
      (
        "exchange.what",
        self.exchange.what,
        "snapshots",
        lambda what: what == "snapshots",
      ),
    ):
      if not holds(value):
        raise InputError(
          f"{name} should be {rule} with reproducible, is {value!r}"
        )
    for group in overrides.groups(self.per_group, self.groups):
      if for_group(self, group).exchange != self.exchange:
        raise InputError(
          "per_group: exchange should be the same in all groups with "
          f"reproducible, is another in group {group}"
        )

  def _check_decay(self) -> None:
    decay = self.regularization.weight_decay
    if self.optimizer.name == "ftrl" and not decay.is_zero:
      raise InputError(
        "regularization.weight_decay should be 0 with optimizer.name=ftrl, "
        f"which has optimizer.l2, is {decay!r}"
      )

  def _check_growth(self) -> None:
    """Refuses a weight that grows beyond what a float32 holds."""
    growth, epochs = self.codistill.growth, self.training.epochs
    most = max(self.codistill.weight.values)
    grown = math.log10(most) + epochs * math.log10(growth) if most else 0.0
    if grown > _LARGEST:
      raise InputError(
        f"codistill.growth should leave the weight below 1e{_LARGEST} after "
        f"{epochs:g} epochs, is {growth:g}: it would be about 1e{grown:.0f}"
      )

  def _check_predictions(self) -> None:
    if self.data.sharing != "same" or self.data.overlap != 1:
      raise InputError(
        "exchange.what=predictions needs data.sharing=same and data.overlap=1, "
        f"has {self.data.sharing} and {self.data.overlap:g}"
      )
    for name, value in (
      ("codistill.teachers", self.codistill.teachers),
      ("exchange.delay_steps", self.exchange.delay_steps),
      ("exchange.every_seconds", self.exchange.every_seconds),
    ):
      if value:
        raise InputError(
          f"{name} is for snapshots, of which exchange.what=predictions asks "
          f"none; is {value!r}"
        )


def _is_zero(value: float) -> bool:
  return value == 0


def for_group(experiment: Experiment, group: int) -> Experiment:
  """Returns `experiment` as `group` has it, with its own of `per_group`.

  Raises:
    InputError: an entry of the group names no such field, or a wrong value.
  """
  if not experiment.per_group:
    return experiment
  value = dataclasses.asdict(experiment) | {"per_group": ()}
  own = overrides.of(experiment.per_group, group)
  overrides.apply(own, value, fields.types(Experiment))
  try:
    return from_dict(value)
  except InputError as error:
    raise InputError(f"per_group, group {group}: {error}") from None


def to_json(experiment: Experiment) -> str:
  """Returns `experiment` as JSON; `from_json` makes an equal one of it."""
  return json.dumps(dataclasses.asdict(experiment), indent=1)


def from_json(text: str) -> Experiment:
  """Returns the experiment that `to_json` wrote.

  Raises:
    InputError: no JSON, an unknown field, a wrong type or a broken rule.
  """
  try:
    value = json.loads(text)
  except ValueError as error:
    raise InputError(f"an experiment should be JSON: {error}") from None
  return from_dict(value)


def from_dict(value: Mapping[str, Any]) -> Experiment:
  """Returns the experiment with the given fields, defaults elsewhere."""
  return fields.from_dict(Experiment, value)


PATIENCE = (
  "training.collective_timeout",
  "training.storage_timeout",
  "training.start_timeout",
  "exchange.wait_timeout",
)
"""Fields that say when to give up: they decide no result."""


def differences(one: Experiment, other: Experiment) -> list[str]:
  """Returns a line for each field in which two experiments differ.

  Not of those in `PATIENCE`: a run may go on with others.
  """
  ours, theirs = fields.flat(one), fields.flat(other)
  return [
    f"{name}: {ours[name]!r} against {theirs[name]!r}"
    for name in ours
    if name not in PATIENCE and ours[name] != theirs[name]
  ]
