import pathlib

import pytest

import pipelines
from ctr_codistill import config
from ctr_codistill.errors import InputError
from pipelines.comparison import arms
from pipelines.comparison import reading
from pipelines.comparison.arms import Arm

QUICKSTART = pathlib.Path(pipelines.__file__).with_name("quickstart.toml")


def _read(folder, text):
  path = folder / "arms.toml"
  path.write_text(text)
  return reading.read(path).arms


def test_the_quickstart_compares_a_single_a_mean_and_a_pair():
  single, mean, pair = reading.read(QUICKSTART).arms
  assert (single.name, single.repeats, len(single.experiments)) == (
    ("single", 4, 4)
  )
  assert {e.groups for e in single.experiments} == {1}
  assert mean == Arm(
    "mean of two", 2, mean_of="single", members=2
  )
  assert [(e.groups, e.workers) for e in pair.experiments] == [(2, 1), (2, 2)]


def test_repeats_differ_in_their_seed_alone():
  single, _, _ = reading.read(QUICKSTART).arms
  first, *others = single.experiments
  for repeat, other in enumerate(others, start=1):
    assert config.differences(first, other) == [
      f"training.seed: 0 against {repeat}"
    ]


def test_an_arm_says_what_differs_from_the_shared(tmp_path):
  (arm,) = _read(
    tmp_path,
    """
    [experiment]
    groups = 1
    model.hidden = [8]
    training = {seed = 10, epochs = 2}
    [[arm]]
    name = "a"
    repeats = 3
    experiment = {groups = 2, training = {epochs = 0.5}}
    """,
  )
  for repeat, experiment in enumerate(arm.experiments):
    assert (experiment.groups, experiment.workers) == (2, 1)
    assert experiment.model.hidden == (8,)
    assert experiment.training.epochs == 0.5
    assert experiment.training.seed == 10 + repeat


def test_names_of_runs_are_fit_for_files():
  assert arms.run_name("mean of two", 1) == "mean-of-two-1"


ARM = '[[arm]]\nname = "a"\n'
OTHER = '[[arm]]\nname = "b"\n'


@pytest.mark.parametrize(
  ("text", "said"),
  [
    ("x = ", "should be TOML: Invalid value"),
    ("", r"should have arms \(\[\[arm\]\]\), has None"),
    ("runs = 3", "has no key 'runs'; it has experiment, search, target, arm"),
    ("experiment = 3\n" + ARM, "experiment should be a table, is 3"),
    ('[arm]\nname = "a"', r"should have arms \(\[\[arm\]\]\), has {'name'"),
    ("arm = 3", r"should have arms \(\[\[arm\]\]\), has 3"),
    ("arm = [3]", "an arm should be a table, is 3"),
    ("[[arm]]\nrepeats = 2", "an arm should have a name.*, has None"),
    ("[[arm]]\nname = 3", "an arm should have a name.*, has 3"),
    ('[[arm]]\nname = ""', "an arm should have a name.*, has ''"),
    ('[[arm]]\nname = "a/b"', "an arm should have a name.*, has 'a/b'"),
    (ARM + ARM, "names of arms should be unique, 'a' is not"),
    (
      '[[arm]]\nname = "a b"\n[[arm]]\nname = "a-b"',
      "names of arms should be unique, 'a b' is not",
    ),
    (ARM + "seed = 3", "arm 'a' has no key 'seed'; it has name, repeats"),
    (ARM + "repeats = 1", "arm 'a': repeats should be >= 2, is 1"),
    (ARM + 'repeats = "3"', "arm 'a': repeats should be >= 2, is '3'"),
    (ARM + "experiment = 3", "arm 'a': experiment should be a table, is 3"),
    (ARM + "workers = [1]", r"a list of 2 numbers, one a repeat, is \[1\]"),
    (ARM + "workers = 2", "a list of 2 numbers, one a repeat, is 2"),
    (ARM + "workers = [1, 0]", "experiment.workers .* at least 1, is 0"),
    (ARM + "experiment.grups = 1", "experiment has no field 'grups'"),
    (ARM + "experiment.groups = 0", "groups should be at least 1, is 0"),
    (ARM + "experiment.training = 3", "training should .*, is 3"),
    (ARM + 'experiment.training.seed = "x"', "seed should be .*, is 'x'"),
    (ARM + OTHER + 'mean_of = ""', "arm 'b': mean_of should .*, is ''"),
    (ARM + OTHER + "mean_of = []", r"arm 'b': mean_of should .*, is \[\]"),
    (
      ARM + OTHER + 'mean_of = "c"',
      "arm 'b': mean_of should be an arm .*, is 'c'",
    ),
    (ARM + OTHER + 'mean_of = "a"', "2 x 2 different repeats of 'a', .* 2"),
    (
      ARM + OTHER + 'mean_of = "a"\nmembers = 0',
      "arm 'b': members should be >= 2, is 0",
    ),
    (
      ARM + OTHER + 'mean_of = "a"\nmembers = "2"',
      "arm 'b': members should be >= 2, is '2'",
    ),
    (ARM + "members = 2", "arm 'a' has no key 'members'; it has name, repeats"),
    (
      ARM + OTHER + 'mean_of = "a"\nworkers = [1, 1]',
      "arm 'b' has no key 'workers'; it has name, repeats, mean_of, members",
    ),
  ],
)
def test_a_mistake_is_named_with_its_file_and_value(tmp_path, text, said):
  with pytest.raises(InputError, match=rf"arms\.toml.*{said}"):
    _read(tmp_path, text)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
  with pytest.raises(InputError, match=r"none\.toml: No such file"):
    reading.read(tmp_path / "none.toml")
  with pytest.raises(InputError, match=f"{tmp_path}: Is a directory"):
    reading.read(tmp_path)
  (tmp_path / "bytes.toml").write_bytes(b"\xff")
  with pytest.raises(InputError, match=r"bytes\.toml should be TOML: .*0xff"):
    reading.read(tmp_path / "bytes.toml")
