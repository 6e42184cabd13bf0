import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import pytest

import pipelines
from ctr_codistill import config
from pipelines import config_flags

ROOT = pathlib.Path(pipelines.__file__).parents[1]

# Flags are one set a process, which other tests of this process may fill.
SCRIPT = """
import json, sys
from absl import flags
from absl.testing import flagsaver
from ctr_codistill import config
from pipelines import config_flags

before = set(flags.FLAGS)
config_flags.define()
defined = {n: flags.FLAGS[n].help for n in set(flags.FLAGS) - before}
said = []
for arguments in json.load(sys.stdin):
  with flagsaver.flagsaver():
    try:
      flags.FLAGS(["program", *arguments])
      said.append(config.to_json(config_flags.experiment()))
    except (ValueError, flags.Error) as error:
      said.append(f"{type(error).__name__}: {error}")
print(json.dumps([defined, said]))
"""


def _ask(*argument_lists):
  """Returns the flags' helps, and an experiment or error a list."""
  done = subprocess.run(
    [sys.executable, "-c", SCRIPT],
    input=json.dumps(argument_lists),
    capture_output=True,
    text=True,
    env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
    timeout=60,
    check=True,
  )
  return json.loads(done.stdout)


def _fields(cls, prefix=""):
  for field in dataclasses.fields(cls):
    if dataclasses.is_dataclass(field.type):
      yield from _fields(field.type, f"{field.name}.")
    else:
      yield prefix + field.name, field


OTHER = config.from_dict(
  {
    "groups": 3,
    "workers": 2,
    "data": {"sharing": "disjoint"},
    "model": {"hidden": [5, 6]},
    "optimizer": {"learning_rate": 1 / 3, "initial_accumulator": 1e-10},
    "training": {"batch_size": 10, "seed": 2**31 - 1},
    "codistill": {"weight": 1e-17, "teachers": ["a b/1", "c,d/2"]},
    "exchange": {"keep": 2, "topology": "0<1,2 2<1"},
    "regularization": {"dropout": "0.1, 33%-50%:0.2, 90:0"},
    "per_group": ["1:model.hidden=7,8", "0:model.name=my.models:make"],
  }
)
NARROW = config.from_dict({"model": {"hidden": []}})


def test_every_field_has_a_flag_with_its_help():
  defined, _ = _ask()
  wanted = {n: f.metadata["help"] for n, f in _fields(config.Experiment)}
  own = ";\n    repeat this option to specify a list of values"  # absl's
  assert {n: h.removesuffix(own) for n, h in defined.items()} == wanted


@pytest.mark.parametrize("experiment", [config.Experiment(), OTHER, NARROW])
def test_flags_and_back_give_an_equal_experiment(experiment):
  _, (said,) = _ask(config_flags.as_arguments(experiment))
  assert config.from_json(said) == experiment


def test_no_flags_are_the_defaults():
  _, (said,) = _ask([])
  assert config.from_json(said) == config.Experiment()


def test_a_wrong_value_is_refused_by_its_name():
  _, said = _ask(
    ["--training.batch_size=0"],
    ["--training.batch_size=many"],
    ["--model.hidden=8,x"],
    ["--model.numeric=raw"],
    ["--codistill.weight=nan"],
    ["--workers=3"],
    ["--per_group=1:model.hidden=8,y"],
  )
  assert said[0].endswith("training.batch_size should be at least 1, is 0")
  assert "--training.batch_size=many" in said[1]
  assert said[2].endswith("is [8, 'x']")
  assert said[3].endswith("is 'raw'")
  assert "codistill.weight: a course should be a number" in said[4]
  assert said[5].endswith("multiple of the 3 workers of a group, is 256")
  assert said[6].endswith(
    "group 1: model.hidden should be of type tuple, is [8, 'y']"
  )


def test_a_topology_may_be_a_file(tmp_path):
  path = tmp_path / "who.toml"
  path.write_text("[learns_from]\n1 = [0]\n")
  _, (said,) = _ask([f"--exchange.topology={path}"])
  assert config.from_json(said).exchange.topology == "1<0"
