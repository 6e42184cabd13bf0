"""What a run was made with: all that the bits of its weights depend on.

`manifest.json` is written once a run, by whichever worker comes first. In a
reproducible run every worker must be as it says, or a resumed run would have
other bits than one that was left alone.
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from ctr_codistill import config
from ctr_codistill import stamped
from ctr_codistill.criteo import records
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.errors import InputError

FILE = "manifest.json"


def describe(
  experiment: config.Experiment,
  data: pathlib.Path,
  surroundings: Mapping[str, Any],
) -> dict[str, Any]:
  """Returns what a run of `experiment` is made with.

  Args:
    experiment: the whole run.
    data: directory that prepare wrote; the sums of its blocks are read.
    surroundings: software and machine; JSON values.
  """
  training = experiment.training
  schema = schemas.read(data)
  return {
    **_fixed(experiment, surroundings),
    "seeds": {"order": training.seed, "weights": training.weights_seed},
    "data": {
      "schema": schema.fingerprint,
      **{
        part: records.digest(records.open_shards(data / part, schema))
        for part in ("train", "validation")
      },
    },
  }


def claim(
  workdir: pathlib.Path,
  experiment: config.Experiment,
  data: pathlib.Path,
  surroundings: Mapping[str, Any],
) -> None:
  """Writes the manifest of a run, or checks against the one that is there.

  Args:
    workdir: directory of the run.
    experiment: as `describe`.
    data: as `describe`.
    surroundings: as `describe`.

  Raises:
    InputError: the run is reproducible and was begun with something else.
  """
  path = workdir / FILE
  if not path.exists():
    stamped.write_json(path, describe(experiment, data, surroundings))
  if not experiment.reproducible:
    return
  own, begun = _fixed(experiment, surroundings), read(workdir)
  found = differences({name: begun.get(name) for name in own}, own)
  if found:
    raise InputError(
      f"a reproducible run should go on with what it was begun with ({path}), "
      f"has {'; '.join(found)}"
    )


def read(workdir: pathlib.Path) -> dict[str, Any]:
  """Returns the manifest of the run in `workdir`.

  Raises:
    InputError: there is none.
  """
  path = workdir / FILE
  try:
    found = json.loads(path.read_text(encoding="utf-8"))
  except OSError as error:
    raise InputError(
      f"{workdir} should be the directory of a run; {FILE} there: "
      f"{error.strerror}"
    ) from None
  except ValueError as error:
    raise InputError(f"{path} is no manifest: {error}") from None
  if not isinstance(found, dict):
    raise InputError(f"{path} is no manifest: should be an object")
  return found


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
  """Returns a line for each value in which two manifests differ.

  Not of the flags that decide no result, `config.PATIENCE`.
  """
  ours, theirs = _flat(one), _flat(other)
  free = {f"flags.{name}" for name in config.PATIENCE}
  return [
    f"{name}: {ours.get(name)!r} against {theirs.get(name)!r}"
    for name in sorted({*ours, *theirs} - free)
    if ours.get(name) != theirs.get(name)
  ]


def _fixed(
  experiment: config.Experiment, surroundings: Mapping[str, Any]
) -> dict[str, Any]:
  """Returns what can be told without a look at the data."""
  return {
    **surroundings,
    "collective": "RING",
    "world": {"groups": experiment.groups, "workers": experiment.workers},
    "flags": json.loads(config.to_json(experiment)),
  }


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
  found: dict[str, Any] = {}
  for name, item in value.items():
    if isinstance(item, dict):
      found.update(_flat(item, f"{prefix}{name}."))
    else:
      found[prefix + name] = item
  return found
