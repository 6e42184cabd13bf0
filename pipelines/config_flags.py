"""One flag for each field of the configuration, and back.

`--training.batch_size=512` sets `Experiment.training.batch_size`; help and
rules come from the field itself, so there is nothing to keep in step. What no
flag says is what `--preset` says, or the default.
"""

import dataclasses
from typing import Any

from absl import flags

from ctr_codistill import config
from ctr_codistill import fields
from ctr_codistill.course import Course
from pipelines import presets
from pipelines import topology_file

_DEFINE = {
  int: flags.DEFINE_integer,
  float: flags.DEFINE_float,
  bool: flags.DEFINE_bool,
  Course: flags.DEFINE_string,
}


def define() -> None:
  """Defines `--preset` and a flag for every field of an experiment."""
  flags.DEFINE_string(
    "preset",
    "",
    "name of an experiment to begin with, which all flags given beside it "
    f"change; there are: {presets.described()}",
  )
  define_section(config.Experiment)


def begin_with(name: str) -> None:
  """Makes a preset the default, so that the help shows what it says.

  What is shown decides nothing: `experiment` takes what was given alone.
  """
  flags.FLAGS.set_default("preset", name)
  values = fields.flat(config.from_dict(presets.read(name)))
  for flag, value in values.items():
    if fields.types(config.Experiment)[flag] != tuple[str, ...]:
      flags.FLAGS.set_default(flag, _text(value))


def define_section(cls: type, prefix: str = "") -> None:
  """Defines a flag for each field of `cls`, its name with `prefix` before."""
  for field in dataclasses.fields(cls):
    name = prefix + field.name
    if dataclasses.is_dataclass(field.type):
      define_section(field.type, name + ".")
    elif field.type == tuple[int, ...]:
      default = [str(item) for item in field.default_factory()]
      flags.DEFINE_list(name, default, field.metadata["help"])
    elif field.type == tuple[str, ...]:
      # Said once an item, for an item may have commas.
      flags.DEFINE_multi_string(name, [], field.metadata["help"])
    else:
      kind = _DEFINE.get(field.type, flags.DEFINE_string)
      kind(name, field.default, field.metadata["help"])


def experiment() -> config.Experiment:
  """Returns the experiment that the flags describe.

  Raises:
    InputError: a value that breaks its field's rule; no such preset.
  """
  name = flags.FLAGS["preset"].value
  under = presets.read(name) if name else {}
  values = presets.merged(under, section(config.Experiment))
  return config.from_dict(topology_file.inlined(values))


def as_arguments(experiment: config.Experiment) -> list[str]:
  """Returns the flags that describe `experiment`, for another process."""
  kinds = fields.types(type(experiment))
  return [
    f"--{name}={text}"
    for name, value in fields.flat(experiment).items()
    for text in (value if kinds[name] == tuple[str, ...] else [_text(value)])
  ]


def section(cls: type, prefix: str = "") -> dict[str, Any]:
  """Returns the values of the flags that were given, no defaults.

  Args:
    cls: as in `define_section`.
    prefix: as there.
  """
  found: dict[str, Any] = {}
  for field in dataclasses.fields(cls):
    name = prefix + field.name
    if dataclasses.is_dataclass(field.type):
      found[field.name] = section(field.type, name + ".")
    elif not flags.FLAGS[name].present:
      continue
    elif field.type == tuple[int, ...]:
      texts = flags.FLAGS[name].value
      found[field.name] = [fields.from_text(int, text) for text in texts]
    else:
      found[field.name] = flags.FLAGS[name].value
  return found


def _text(value: Any) -> str:
  return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
