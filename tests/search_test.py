import pytest

from ctr_codistill.errors import InputError
from pipelines.comparison import reading
from pipelines.comparison import search
from pipelines.comparison.search import Search
from pipelines.comparison.search import Tried

GRID = {"optimizer.learning_rate": [1, 2, 3], "optimizer.decay": ["a", "b"]}
FILE = """
[experiment]
groups = 1
optimizer = {learning_rate = 0.5, decay = "cosine"}
[search]
arm = "single"
holdout = 0.25
repeats = 3
[search.grid]
"optimizer.learning_rate" = [0.1, 0.2]
"optimizer.decay" = ["constant", "linear"]
[[arm]]
name = "single"
experiment.training.seed = 7
[[arm]]
name = "own"
experiment.optimizer = {learning_rate = 0.9, name = "ftrl"}
"""


def _search(order="grid", grid=GRID):
  return Search("single", 0.2, 2, order, grid)


def _read(folder, text):
  (folder / "arms.toml").write_text(text)
  return reading.read(folder / "arms.toml")


def test_a_grid_is_one_round_of_all_points():
  (points,) = search.rounds(_search())
  assert len(points) == 6
  assert points[1] == {"optimizer.learning_rate": 1, "optimizer.decay": "b"}


def test_coordinates_go_from_the_best_of_the_field_before():
  rounds = search.rounds(_search("coordinates"))
  rate, decay = GRID
  assert rounds.send(None) == [{rate: r, decay: "a"} for r in (1, 2, 3)]
  assert rounds.send({rate: 3, decay: "a"}) == [
    {rate: 3, decay: "a"},
    {rate: 3, decay: "b"},
  ]
  with pytest.raises(StopIteration):
    rounds.send({rate: 3, decay: "b"})


def test_the_least_mean_log_loss_is_chosen_and_a_failed_point_never():
  points = [
    Tried({"a": 1}, (0.5, 0.7)),
    Tried({"a": 2}, (0.55, 0.55)),
    Tried({"a": 3}, ()),
  ]
  assert search.best(points).values == {"a": 2}
  with pytest.raises(InputError, match="no point whose trainings all ended"):
    search.best(points[2:])


def test_a_choice_at_the_end_of_its_list_is_told():
  rate, decay = GRID
  found = [
    search.at_an_end(_search(), {rate: r, decay: "a"}) for r in (1, 2, 3)
  ]
  assert found == [[rate], [], [rate]]


def test_names_of_points_are_fit_for_files():
  values = {"optimizer.learning_rate": 0.1, "model.hidden": [8, 4]}
  assert search.name(values) == "optimizer.learning_rate=0.1,model.hidden=8,4"
  names = {search.name({"w": f"0, 10{unit}:1"}) for unit in ("", "%")}
  assert names == {"w=0,10_3a_1", "w=0,10_25__3a_1"}


def test_a_point_is_the_arm_with_its_values_on_top(tmp_path):
  file = _read(tmp_path, FILE)
  values = {"optimizer.learning_rate": 0.2, "optimizer.decay": "linear"}
  arm = file.point(values)
  assert len(arm.experiments) == 3
  for repeat, experiment in enumerate(arm.experiments):
    assert experiment.optimizer.learning_rate == 0.2
    assert experiment.optimizer.decay == "linear"
    assert experiment.training.seed == 7 + repeat


def test_what_was_chosen_is_over_the_shared_and_under_an_arms_own(tmp_path):
  file = _read(tmp_path, FILE)
  assert file.arms[0].experiments[0].optimizer.decay == "cosine"
  chosen = {"optimizer.learning_rate": 0.2, "optimizer.decay": "linear"}
  single, own = file.tuned(chosen).arms
  assert single.experiments[0].optimizer.learning_rate == 0.2
  assert own.experiments[0].optimizer.learning_rate == 0.9
  for arm in (single, own):
    assert arm.experiments[1].optimizer.decay == "linear"


@pytest.mark.parametrize(
  ("old", "new", "said"),
  [
    ("holdout = 0.25", "holdout = 1", r"holdout should be in \(0, 1\), is 1"),
    ("repeats = 3", "repeats = 0", "search.repeats should be >= 1, is 0"),
    ("repeats = 3", 'order = "x"', "search.order should be one of .*, is 'x'"),
    ("repeats = 3", "seed = 3", "search has no key 'seed'; it has arm, hold"),
    ('arm = "single"', 'arm = "x"', "search.arm should be an arm .*, is 'x'"),
    (
      'arm = "single"',
      'arm = "own"',
      "'own' should leave optimizer.lear",
    ),
    ("[0.1, 0.2]", "3", "optimizer.learning_rate should be a list, is 3"),
    ("[0.1, 0.2]", "[]", "optimizer.learning_rate should have values"),
    ("[0.1, 0.2]", "[0.1, 0.1]", r"each value once, is \[0.1, 0.1\]"),
    (
      '"optimizer.learning_rate" =',
      "optimizer =",
      "optimizer should be a field",
    ),
    (
      '"optimizer.decay" = ["constant", "linear"]',
      '"optimizer.warmup_steps" = [0, 9]\n'
      '"regularization.weight_decay" = [0, 1e-4]',
      "arm 'own': regularization.weight_decay should be 0 with optimizer.name",
    ),
    ("[0.1, 0.2]", "[0.1, -2]", "learning_rate should be above 0, is -2"),
    ('optimizer.decay"', 'optimizer.dcay"', "optimizer has no field 'dcay'"),
  ],
)
def test_a_mistake_is_told_before_anything_is_trained(tmp_path, old, new, said):
  with pytest.raises(InputError, match=said):
    _read(tmp_path, FILE.replace(old, new, 1))
