import pytest

from ctr_codistill.evaluation import curves

FALLING = ([100, 200, 300], [0.6, 0.5, 0.46])


@pytest.mark.parametrize(
  ("target", "steps"),
  [
    (0.5, 200),
    (0.48, 250),  # half of the way from 0.5 to 0.46
    (0.7, 100),  # below from the first validation on
    (0.45, None),
  ],
)
def test_steps_to_a_loss_are_linear_between_validations(target, steps):
  assert curves.steps_to(FALLING, target) == pytest.approx(steps)


def test_a_loss_is_reached_the_first_time():
  assert curves.steps_to(([1, 2, 3, 4], [9, 5, 9, 1]), 5) == 2


def test_no_line_reaches_nothing():
  assert curves.steps_to(([], []), 0.5) is None


def test_the_mean_of_lines_is_at_the_steps_that_all_have():
  lines = [([1, 2, 4], [1.0, 2.0, 4.0]), ([2, 4, 5], [4.0, 6.0, 9.0])]
  assert curves.mean(lines) == ([2, 4], [3.0, 5.0])
  assert curves.mean([]) == ([], [])


def test_a_folder_that_is_not_there_has_empty_lines(tmp_path):
  found = curves.read_all(tmp_path / "none", ["a", "b"])
  assert found == {"a": ([], []), "b": ([], [])}
