"""The two files that tell TF Serving which models it serves and how it batches.

  tensorflow_model_server --model_config_file=models.config \\
    --enable_batching --batching_parameters_file=batching.config
"""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from ctr_codistill import locks
from ctr_codistill import stamped
from ctr_codistill.errors import InputError

MODELS = "models.config"
BATCHING = "batching.config"


@dataclasses.dataclass(frozen=True)
class Served:
  """A model in the list of a server.

  Attributes:
    name: that clients ask for.
    base_path: the directory of its versions, absolute, as the server sees it.
    versions: which are served: "latest:N", "all" or "specific:1,2".
  """

  name: str
  base_path: str
  versions: str = "latest:1"

  def __post_init__(self) -> None:
    if not self.name:
      raise InputError("the name of a served model should not be empty")
    if not (os.path.isabs(self.base_path) or "://" in self.base_path):
      raise InputError(
        f"base_path should be absolute, is {self.base_path!r}: a server takes "
        "it from its own directory"
      )
    self.numbers  # noqa: B018 - it checks

  @property
  def numbers(self) -> tuple[int, ...]:
    """The number behind latest, those behind specific, none behind all."""
    kind, _, rest = self.versions.partition(":")
    numbers = tuple(int(n) for n in rest.split(",") if n.isdecimal())
    right = {
      "latest": len(numbers) == 1 and numbers[0] > 0,
      "specific": len(numbers) == len(rest.split(",")),
      "all": not rest,
    }
    if not right.get(kind, False):
      raise InputError(
        "versions should be latest:N, all or specific:1,2, is "
        f"{self.versions!r}"
      )
    return numbers

  def check(self, there: Sequence[int], kept: int | None = None) -> None:
    """Raises InputError where a server would look for versions in vain.

    Args:
      there: the versions that it will find, ascending.
      kept: the most that it will ever find; None for any number.
    """
    kind = self.versions.partition(":")[0]
    if kind == "latest" and kept is not None and self.numbers[0] > kept:
      raise InputError(
        f"{self.versions} should be at most latest:{kept}, for {kept} are kept"
      )
    gone = set(self.numbers) - set(there) if kind == "specific" else ()
    if gone:
      raise InputError(
        f"{self.versions} should name versions that will be there, "
        f"{list(there)}, names {min(gone)}"
      )


@dataclasses.dataclass(frozen=True)
class Batching:
  """How a server joins requests that come at once.

  Attributes:
    most: rows of a joined batch.
    wait_us: microseconds that a request waits for others.
    queue: joined batches that may wait; what comes on top is refused.
    threads: that run batches, as many as cores.
    sizes: rows that a batch is filled up to, ascending, the last `most`; none
      for any: this model takes any number, and filling up costs work.
  """

  most: int = 1024
  wait_us: int = 1000
  queue: int = 100
  threads: int = 2
  sizes: tuple[int, ...] = ()

  def __post_init__(self) -> None:
    for name in ("most", "queue", "threads"):
      if getattr(self, name) < 1:
        raise InputError(f"{name} should be >= 1, is {getattr(self, name)}")
    if self.wait_us < 0:
      raise InputError(f"wait_us should be >= 0, is {self.wait_us}")
    if self.sizes and (
      list(self.sizes) != sorted(set(self.sizes)) or self.sizes[-1] != self.most
    ):
      raise InputError(
        f"sizes should ascend to {self.most}, are {list(self.sizes)}"
      )


def write_models(folder: str | os.PathLike, served: Served) -> pathlib.Path:
  """Writes `served` into `models.config`; all else there stays.

  Of a model that is there already its path and policy alone are changed.

  Raises:
    InputError: as `check_models`.
  """
  path = pathlib.Path(folder) / MODELS
  with locks.alone(path.parent / locks.FILE):
    config = read_models(path)
    _update(_entry(path, config, served.name), served)
    stamped.write_text(path, text_format.MessageToString(config))
  return path


def check_models(folder: str | os.PathLike, served: Served) -> None:
  """Tells early what `write_models` would refuse.

  Raises:
    InputError: what is there is no list of models, or has one model twice.
  """
  path = pathlib.Path(folder) / MODELS
  _entry(path, read_models(path), served.name)


def read_models(
  path: str | os.PathLike,
) -> model_server_config_pb2.ModelServerConfig:
  """Parses a `models.config`; without a file an empty one.

  Raises:
    InputError: it is none.
  """
  config = model_server_config_pb2.ModelServerConfig()
  path = pathlib.Path(path)
  if path.exists():
    try:
      text_format.Parse(path.read_text(encoding="utf-8"), config)
    except (text_format.ParseError, UnicodeDecodeError) as error:
      raise InputError(f"{path} should list models: {error}") from None
  if config.HasField("custom_model_config"):
    raise InputError(
      f"{path} should have a model_config_list, has a custom_model_config, "
      "beside which there can be none"
    )
  return config


def write_batching(
  folder: str | os.PathLike, batching: Batching
) -> pathlib.Path:
  """Writes `batching.config`: TF Serving's BatchingParameters as text."""
  path = pathlib.Path(folder) / BATCHING
  path.parent.mkdir(parents=True, exist_ok=True)
  values = {
    "max_batch_size": batching.most,
    "batch_timeout_micros": batching.wait_us,
    "max_enqueued_batches": batching.queue,
    "num_batch_threads": batching.threads,
  }
  lines = [f"{name} {{ value: {value} }}" for name, value in values.items()]
  lines += [f"allowed_batch_sizes: {size}" for size in batching.sizes]
  stamped.write_text(path, "\n".join(lines) + "\n")
  return path


def _entry(
  path: pathlib.Path,
  config: model_server_config_pb2.ModelServerConfig,
  name: str,
) -> model_server_config_pb2.ModelConfig:
  """Returns the entry of a model, a new one where there is none."""
  listed = config.model_config_list.config
  found = [one for one in listed if one.name == name]
  if len(found) > 1:
    raise InputError(
      f"{path} should list {name} once, lists it {len(found)} times"
    )
  return (
    found[0] if found else listed.add(name=name, model_platform="tensorflow")
  )


def _update(entry: model_server_config_pb2.ModelConfig, served: Served) -> None:
  entry.base_path = served.base_path
  policy = entry.model_version_policy
  policy.Clear()
  kind = served.versions.partition(":")[0]
  if kind == "latest":
    policy.latest.num_versions = served.numbers[0]
  elif kind == "specific":
    policy.specific.versions.extend(served.numbers)
  else:
    policy.all.SetInParent()
