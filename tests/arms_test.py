import pathlib

import pytest

import pipelines
from ctr_codistill import config
from ctr_codistill.errors import InputError
from pipelines import presets
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
  assert mean == Arm("mean of two", 2, mean_of="single", members=2)
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


def test_a_topology_may_be_a_file_beside_the_arms(tmp_path):
  (tmp_path / "who.toml").write_text("[learns_from]\n1 = [0]\n")
  first, second = _read(
    tmp_path,
    """
    [experiment]
    exchange.topology = "who.toml"
    [[arm]]
    name = "a"
    [[arm]]
    name = "b"
    experiment = {groups = 3, exchange = {topology = "ring"}}
    """,
  )
  assert first.experiments[0].exchange.topology == "1<0"
  assert second.experiments[0].exchange.topology == "ring"


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
    (ARM + OTHER + 'teachers_of = "c"', "teachers_of should .*, is 'c'"),
    (ARM + 'teachers_of = "a"', "goes around: a <- a"),
    (
      ARM + 'teachers_of = "b"\n' + OTHER + 'teachers_of = "a"',
      "arm 'a': teachers_of should end at .*: a <- b <- a",
    ),
    (
      ARM + OTHER + 'teachers_of = "a"\nmembers = 2',
      "'b' should have 2 x 2 different repeats of 'a', which has 2",
    ),
    (ARM + OTHER + 'teachers_of = "a"\nmembers = 0', "members .* >= 1, is 0"),
    (
      ARM + OTHER + 'mean_of = "a"\nteachers_of = "a"',
      "arm 'b' has no key 'teachers_of'",
    ),
    (ARM + "refresh = 1.0", r"refresh should be in \(0, 1\), is 1.0"),
    (ARM + "refresh = 0", r"refresh should be in \(0, 1\), is 0"),
    (ARM + 'preset = "no"', "preset should be .*, is 'no'"),
    (ARM + "preset = 3", "preset should be a name, is 3"),
    (
      'experiment.preset = "no"\n' + ARM,
      "preset should be .*, is 'no'",
    ),
    ("target = 3\n" + ARM, "target should be {log_loss = X} .*, is 3"),
    (ARM + "experiment.groups = 0", "arm 'a': experiment.groups should be at"),
    (
      ARM
      + OTHER
      + 'teachers_of = "a"\nexperiment.exchange.what = "predictions"',
      "arm 'b': exchange.what should be snapshots with .*, is predictions",
    ),
    (
      ARM + 'experiment.exchange.topology = "no.toml"',
      "exchange.topology no.toml: No such file",
    ),
    ("target = {log_loss = inf}\n" + ARM, "target should be .* inf}"),
    ("target = {log_loss = 0.0}\n" + ARM, "target should be .* {'log_loss'"),
    ('target = {arm = "b"}\n' + ARM, "target should be .* is {'arm': 'b'}"),
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


def test_teachers_are_trained_before_those_they_teach(tmp_path):
  text = """
    [[arm]]
    name = "third"
    teachers_of = "second"
    [[arm]]
    name = "second"
    teachers_of = "first"
    [[arm]]
    name = "first"
    [[arm]]
    name = "other"
    """
  found = arms.stages(_read(tmp_path, text))
  stages = [[arm.name for arm in stage] for stage in found]
  assert stages == [["first", "other"], ["second"], ["third"]]


def test_each_repeat_has_members_of_its_own():
  single, pair = Arm("s", 6), Arm("p", 3, mean_of="s", members=2)
  assert [arms.members(pair, r, single) for r in range(3)] == [
    ["s-0", "s-1"],
    ["s-2", "s-3"],
    ["s-4", "s-5"],
  ]


def test_members_of_refreshed_repeats_have_the_same_data():
  single = Arm("s", 8, refresh=0.1)
  pair = Arm("p", 4, mean_of="s", members=2)
  # Even repeats were trained without the last rows, odd ones with them.
  assert [arms.members(pair, r, single) for r in range(4)] == [
    ["s-0", "s-2"],
    ["s-1", "s-3"],
    ["s-4", "s-6"],
    ["s-5", "s-7"],
  ]


def test_a_mean_of_refreshed_repeats_is_refreshed(tmp_path):
  text = ARM + "repeats = 4\nrefresh = 0.25\n" + OTHER + 'mean_of = "a"'
  single, mean = _read(tmp_path, text)
  assert (single.refresh, mean.refresh) == (0.25, 0.25)


def test_a_preset_is_under_the_arm_that_names_it(tmp_path, monkeypatch):
  monkeypatch.setattr(presets, "FOLDER", tmp_path)
  (tmp_path / "calm.toml").write_text(
    "[experiment]\ngroups = 4\ntraining = {epochs = 3, batch_size = 8}\n"
  )
  text = """
    experiment = {preset = "calm", groups = 2}
    arm = [
      {name = "shared"},
      {name = "own", preset = "calm", experiment = {training = {epochs = 1}}},
    ]
    """
  shared, own = _read(tmp_path, text)
  one, other = shared.experiments[0], own.experiments[0]
  # What all share is over its own preset, and under that of an arm.
  assert (one.groups, one.training.epochs) == (2, 3)
  assert (other.groups, other.training.epochs) == (4, 1)
  assert one.training.batch_size == other.training.batch_size == 8


def test_a_target_is_a_loss_or_an_arm(tmp_path):
  for text, wanted in (("{log_loss = 0.5}", 0.5), ('{arm = "a"}', "a")):
    _read(tmp_path, f"target = {text}\n{ARM}")
    assert reading.read(tmp_path / "arms.toml").target == wanted


def test_weights_of_an_arm_are_those_of_its_groups(tmp_path):
  pair = ARM + "experiment.groups = 2\n" + OTHER + 'weights_of = "a"'
  _, merged = _read(tmp_path, pair)
  assert merged == Arm("b", 2, mean_of="a", of_weights=True, members=1)
  with pytest.raises(InputError, match="weights_of should be an arm of 2 gr"):
    _read(
      tmp_path, ARM + "experiment.groups = 1\n" + OTHER + 'weights_of = "a"'
    )
