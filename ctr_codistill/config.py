"""What a run is: frozen dataclasses that cannot hold a wrong value.

Each field carries its help and its rule, so that one definition serves the
flags, the JSON in the work directory and the check at birth.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from ctr_codistill.errors import InputError


def _field(default: Any, text: str, rule: str, holds: Any) -> Any:
  metadata = {"help": f"{text} ({rule})", "rule": rule, "holds": holds}
  if isinstance(default, list):
    frozen = tuple(default)
    return dataclasses.field(default_factory=lambda: frozen, metadata=metadata)
  return dataclasses.field(default=default, metadata=metadata)


def _number(
  default: float, text: str, *, low: float, high: float = math.inf
) -> Any:
  rule = f"at least {low:g}" + (
    f", at most {high:.10g}" if high < math.inf else ""
  )
  return _field(
    default, text, rule, lambda x: low <= x <= high and x < math.inf
  )


def _positive(default: float, text: str) -> Any:
  return _field(default, text, "above 0", lambda x: 0 < x < math.inf)


def _choice(default: str, text: str, *choices: str) -> Any:
  return _field(
    default, text, "one of " + ", ".join(choices), lambda x: x in choices
  )


class _Checked:
  """Checks every field against its type and rule when the object is made."""

  def __post_init__(self) -> None:
    for field in dataclasses.fields(self):
      value = _convert(self, field, getattr(self, field.name))
      object.__setattr__(self, field.name, value)
      holds = field.metadata.get("holds")
      if holds and not holds(value):
        raise InputError(
          f"{_name(self)}.{field.name} should be {field.metadata['rule']}, "
          f"is {value!r}"
        )


def _name(owner: Any) -> str:
  cls = owner if isinstance(owner, type) else type(owner)
  return cls.__name__.lower()


def _convert(owner: Any, field: dataclasses.Field, value: Any) -> Any:
  """Returns `value` as the field's type, where that loses nothing."""
  kind = field.type
  if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
    return _from_dict(kind, value)
  if kind is float and type(value) is int:
    return float(value)
  if kind == tuple[int, ...] and isinstance(value, (list, tuple)):
    if all(type(item) is int for item in value):
      return tuple(value)
  elif type(value) is kind:
    return value
  wanted = getattr(kind, "__name__", kind)
  raise InputError(
    f"{_name(owner)}.{field.name} should be of type {wanted}, is {value!r}"
  )


@dataclasses.dataclass(frozen=True)
class Data(_Checked):
  """Which examples a group sees, and in what order."""

  sharing: str = _choice(
    "same",
    "groups train on the same examples, each in its own order; on disjoint"
    " shares of them; or on the same in the same order (coordinated)",
    "same",
    "disjoint",
    "coordinated",
  )
  overlap: float = _number(
    1.0,
    "share of the examples that every group sees, the rest is split among them;"
    " only with sharing same, 0 is disjoint",
    low=0,
    high=1,
  )
  window_rows: int = _number(
    131_072, "rows shuffled together, per worker; 3 x as many in memory", low=1
  )

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.overlap != 1 and self.sharing != "same":
      raise InputError(
        f"data.overlap should be 1 unless sharing is same, is {self.overlap}"
      )


@dataclasses.dataclass(frozen=True)
class Model(_Checked):
  """The network of each group."""

  name: str = _choice("dnn", "the network", "dnn", "dcn")
  hidden: tuple[int, ...] = _field(
    [256, 128],
    "widths of the hidden layers; 2560,1024,256 is the one of Anil et al. 2018",
    "each at least 1",
    lambda widths: all(width >= 1 for width in widths),
  )
  embedding_dim: int = _number(16, "width of the embeddings", low=1)
  embedding_scale: float = _positive(
    0.01, "embeddings start uniform in [-scale, scale]"
  )
  numeric: str = _choice(
    "both",
    "how integers enter: log(1 + x), ln(x)^2 bins with embeddings, or both",
    "log",
    "bins",
    "both",
  )
  dropout: float = _number(
    0.0, "share of hidden units dropped in training", low=0, high=0.99
  )


@dataclasses.dataclass(frozen=True)
class Optimizer(_Checked):
  """How gradients move the weights."""

  name: str = _choice("adagrad", "the rule", "adagrad", "sgd")
  learning_rate: float = _positive(
    0.005, "step size of the layers at the start"
  )
  embedding_learning_rate: float = _positive(
    0.1, "step size of the embeddings at the start"
  )
  decay: str = _choice(
    "constant",
    "course of the learning rate: to 0 at the last step, or not",
    "constant",
    "linear",
  )
  initial_accumulator: float = _positive(
    1e-6,
    "Adagrad: first value of the sum of squares; large ones (0.1) hardly move"
    " embeddings, whose gradients are small",
  )


@dataclasses.dataclass(frozen=True)
class Training(_Checked):
  """How long, on what, and how often things are done beside the step."""

  batch_size: int = _number(
    256, "examples a step, over all workers of a group", low=1
  )
  epochs: float = _positive(1.0, "times that a group's examples are seen")
  max_steps: int = _number(0, "end after so many steps; 0: by epochs", low=0)
  seed: int = _number(0, "seed of weights and order", low=0, high=2**31 - 1)
  checkpoint_every: int = _number(
    1000, "steps between checkpoints; 0: only at the end", low=0
  )
  evaluate_every: int = _number(
    1000, "steps between validations; 0: only at the end", low=0
  )
  average_decay: float = _number(
    0.0,
    "what is served: 0 the weights themselves, else their moving average with"
    " at most this weight on the past",
    low=0,
    high=0.9999,
  )
  average_every: int = _number(16, "steps between updates of it", low=1)
  summarize_every: int = _number(
    10, "steps between writes of what was logged", low=1
  )
  collective_timeout: float = _positive(
    120.0, "seconds until a worker that does not answer ends its group"
  )
  start_timeout: float = _positive(
    300.0, "seconds until a worker that never came ends its group"
  )
  threads: int = _number(0, "threads of one worker; 0: all cores", low=0)


@dataclasses.dataclass(frozen=True)
class Codistill(_Checked):
  """How much the peers' predictions count (Anil et al. 2018, Algorithm 1)."""

  weight: float = _number(
    1.0, "weight of the teacher term after the burn-in", low=0
  )
  burn_in_steps: int = _number(200, "steps before the teacher counts", low=0)


@dataclasses.dataclass(frozen=True)
class Exchange(_Checked):
  """How often snapshots go around, and how many stay."""

  every_steps: int = _number(
    50,
    "steps between publications, and between looks for newer teachers",
    low=1,
  )
  keep: int = _number(3, "newest snapshots of a group that stay", low=2)


@dataclasses.dataclass(frozen=True)
class Experiment(_Checked):
  """One run: all that decides its result, apart from the data themselves."""

  groups: int = _number(2, "groups that train side by side", low=1)
  workers: int = _number(1, "workers of each group", low=1)
  data: Data = dataclasses.field(default_factory=Data)
  model: Model = dataclasses.field(default_factory=Model)
  optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
  training: Training = dataclasses.field(default_factory=Training)
  codistill: Codistill = dataclasses.field(default_factory=Codistill)
  exchange: Exchange = dataclasses.field(default_factory=Exchange)

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.training.batch_size % self.workers:
      raise InputError(
        f"training.batch_size should be a multiple of the {self.workers} "
        f"workers of a group, is {self.training.batch_size}"
      )


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
  return _from_dict(Experiment, value)


def _from_dict(cls: type, value: Any) -> Any:
  if not isinstance(value, Mapping):
    raise InputError(f"{_name(cls)} should be an object, is {value!r}")
  known = {field.name for field in dataclasses.fields(cls)}
  for name in value:
    if name not in known:
      raise InputError(
        f"{_name(cls)} has no field {name!r}; it has {', '.join(sorted(known))}"
      )
  return cls(**value)


def differences(one: Experiment, other: Experiment) -> list[str]:
  """Returns a line for each field in which two experiments differ."""
  ours, theirs = _flat(one), _flat(other)
  return [
    f"{name}: {ours[name]!r} against {theirs[name]!r}"
    for name in ours
    if ours[name] != theirs[name]
  ]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
  found: dict[str, Any] = {}
  for field in dataclasses.fields(value):
    item = getattr(value, field.name)
    name = prefix + field.name
    if dataclasses.is_dataclass(item):
      found.update(_flat(item, name + "."))
    else:
      found[name] = item
  return found
