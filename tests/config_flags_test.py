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
import json, pathlib, sys
from absl import flags
from absl.testing import flagsaver
from ctr_codistill import config
from pipelines import config_flags, presets

if len(sys.argv) > 1:
  presets.FOLDER = pathlib.Path(sys.argv[1])
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


def _ask(*argument_lists, presets=()):
  """Returns the flags' helps, and an experiment or error a list."""
  done = subprocess.run(
    [sys.executable, "-c", SCRIPT, *map(str, presets)],
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
  assert "preset" in defined
  del defined["preset"]
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


@pytest.fixture
def presets(tmp_path):
  (tmp_path / "calm.toml").write_text(
    "# Four groups. And more.\n#\n# Why.\n[experiment]\ngroups = 4\n"
    "model.hidden = [5]\ntraining = {epochs = 3, batch_size = 8}\n"
    'per_group = ["1:model.hidden=7,8"]\n'
  )
  (tmp_path / "wrong.toml").write_text("experiment.grups = 4\n")
  (tmp_path / "arms.toml").write_text("arm = 4\n")
  return [tmp_path]


def test_a_preset_is_above_the_defaults_and_below_the_flags(presets):
  _, (said, other) = _ask(
    ["--preset=calm"],
    ["--preset=calm", "--groups=2", "--training.epochs=1", "--model.hidden="],
    presets=presets,
  )
  calm = {
    "groups": 4,
    "model": {"hidden": [5]},
    "training": {"epochs": 3, "batch_size": 8},
    "per_group": ["1:model.hidden=7,8"],
  }
  assert config.from_json(said) == config.from_dict(calm)
  # A flag counts though it says the default: two groups, one epoch.
  own = calm | {"groups": 2, "model": {"hidden": []}}
  own["training"] = {"epochs": 1, "batch_size": 8}
  assert config.from_json(other) == config.from_dict(own)


def test_the_help_lists_the_presets_with_their_first_line(presets):
  defined, _ = _ask(presets=presets)
  assert "arms (no comment); calm (Four groups. And more.)" in defined["preset"]


def test_a_preset_that_is_none_is_refused(presets, tmp_path_factory):
  _, said = _ask(
    ["--preset=fats"],
    ["--preset=../x"],
    ["--preset=wrong"],
    ["--preset=arms"],
    presets=presets,
  )
  wanted = "preset should be one of arms, calm, wrong, is "
  assert said[0].endswith(wanted + "'fats'")
  assert said[1].endswith(wanted + "'../x'")
  assert "wrong.toml: experiment has no field 'grups'" in said[2]
  assert said[3].endswith("should be one table, experiment; has ['arm']")
  _, (said,) = _ask(["--preset=a"], presets=[tmp_path_factory.mktemp("none")])
  assert said.endswith("left out: there is none, is 'a'")


def test_a_topology_may_be_a_file(tmp_path):
  path = tmp_path / "who.toml"
  path.write_text("[learns_from]\n1 = [0]\n")
  _, (said,) = _ask([f"--exchange.topology={path}"])
  assert config.from_json(said).exchange.topology == "1<0"
