import copy
import json

import pytest

from ctr_codistill.course import Course
from ctr_codistill.errors import InputError


def _along(text, places, steps=1000):
  return [Course(text).at(place, steps=steps) for place in places]


def test_a_number_is_a_course_that_never_changes():
  for value in (2, 2.0, "2", "2.0", " 2 "):
    assert Course(value) == "2"
    assert _along(value, (0, 999)) == [2.0, 2.0]


def test_a_jump_is_at_its_step():
  assert _along("0, 200:1", (0, 199, 200, 999)) == [0, 0, 1, 1]


def test_a_share_is_of_all_steps():
  text = "1e-4, 33%:1e-5, 67%:0"
  # Of 10 steps 3.3 and 6.7: from 4 and from 7 on.
  found = _along(text, (0, 3, 4, 6, 7, 9), steps=10)
  assert found == [1e-4, 1e-4, 1e-5, 1e-5, 0, 0]
  assert _along("0, 7%:1", (6, 7), steps=100) == [0, 1]


def test_a_line_goes_from_the_value_before_it():
  found = _along("0, 200-400:1", (199, 200, 250, 399, 400, 999))
  assert found == [0, 0, 0.25, 0.995, 1, 1]
  assert _along("0.2, 0%-100%:0", (0, 250, 1000)) == [
    0.2,
    pytest.approx(0.15),
    0,
  ]


def test_lines_and_jumps_follow_one_another():
  found = _along("0, 10-20:1, 30:5, 50%-60%:0", (15, 25, 30, 550, 600))
  assert found == [0.5, 1, 5, 2.5, 0]


def test_one_form_is_kept_whatever_was_written():
  assert Course("0,200:1.0,  3e2-400:2".replace("3e2", "300")) == (
    "0, 200:1, 300-400:2"
  )
  assert Course(1e-17) == "1e-17"
  assert Course(Course("0, 5:1")) == Course("0,5:1")


def test_json_and_copies_are_equal():
  course = Course("0, 5:1")
  assert copy.deepcopy(course) == course
  assert Course(json.loads(json.dumps(course))) == course


def test_zero_is_zero_from_first_to_last():
  assert Course(0).is_zero and Course("0, 5:0").is_zero
  assert not Course("0, 5:1").is_zero
  assert Course("0, 5:1, 6-7:0.5").values == (0, 1, 0.5)


@pytest.mark.parametrize(
  ("text", "said"),
  [
    ("", "'' should be a finite number"),
    ("nan", "'nan' should be a finite number"),
    ("1_0", "'1_0' should be a finite number"),
    ("1, 5:1e999", "'1e999' should be a finite number"),
    ("1, 5:inf", "'inf' should be a finite number"),
    ("1, 5", "'5' should be PLACE:VALUE"),
    ("1, -5:2", "'-5:2' should be PLACE:VALUE"),
    ("1, 5-:2", "'5-:2' should be PLACE:VALUE"),
    ("1, 5:2, 4:3", "places should rise"),
    ("1, 9-5:2", "places should rise"),
    ("1, 50%:2, 9.5%:3", "places should rise"),
    ("0, 50%-150%:1", "a share should be at most 100%"),
  ],
)
def test_what_is_no_course_is_refused(text, said):
  with pytest.raises(InputError, match=f"is {text!r}: {said}"):
    Course(text)
