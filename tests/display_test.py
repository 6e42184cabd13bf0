import io

import pytest

from ctr_codistill import config
from pipelines import progress
from pipelines import taught
from pipelines.display import Display

DONE = {"state": "done", "step": 80, "steps": 80, "trained_steps": 80}


class _Terminal(io.StringIO):
  def isatty(self):
    return True


def test_a_terminal_shows_lines_in_place():
  stream = _Terminal()
  display = Display(stream)
  display.show(["one", "two"])
  display.show(["three"])
  display.show(["four"])
  # Two lines up and clear from there, then one.
  assert stream.getvalue() == (
    "one\ntwo\n\x1b[2A\x1b[Jthree\n\x1b[1A\x1b[Jfour\n"
  )


def test_a_line_is_cut_where_a_terminal_would_wrap_it(monkeypatch):
  monkeypatch.setenv("COLUMNS", "10")
  stream = _Terminal()
  Display(stream).show(["0123456789abc", "short"])
  assert stream.getvalue() == "012345678\nshort\n"


def test_what_is_left_on_a_terminal_stays():
  stream = _Terminal()
  display = Display(stream)
  display.show(["live"])
  display.leave(["done"])
  display.show(["next"])
  assert stream.getvalue() == "live\n\x1b[1A\x1b[Jdone\nnext\n"


def test_a_log_gets_lines_every_ten_seconds():
  stream = io.StringIO()
  now = [0.0]
  display = Display(stream, lambda: now[0])
  for second in (0, 1, 9.9, 10, 19, 25):
    now[0] = second
    display.show([f"at {second}"])
  assert stream.getvalue() == "at 0\nat 10\nat 25\n"


def test_a_log_gets_what_is_left_at_once_and_no_control_characters():
  stream = io.StringIO()
  display = Display(stream, lambda: 5.0)
  display.show(["live"])
  display.leave(["done", "well"])
  assert stream.getvalue() == "live\ndone\nwell\n"


def test_an_empty_display_does_not_hold_the_next_lines_back():
  stream = io.StringIO()
  display = Display(stream, lambda: 5.0)
  display.show([])
  display.show(["first"])
  assert stream.getvalue() == "first\n"


def test_a_teacher_that_is_ahead_is_said_to_be():
  now = {"state": "training", "step": 20, "steps": 80, "staleness_steps": -60.0}
  found = progress.line(now, learns=True)
  assert found == "training, step 20/80, teacher 60 steps ahead"


@pytest.mark.parametrize(
  "fields, now, said",
  [
    ({}, 0, "its burn-in is 200 steps of 80; make it shorter (--codistill.bu"),
    ({"codistill": {"burn_in_share": 0.1}}, 0, "no peer had left anything"),
    ({"codistill": {"burn_in_share": 0.1}}, 1, ""),
    ({"codistill": {"weight": 0}}, 0, ""),
    ({"groups": 1}, 0, ""),
  ],
)
def test_a_group_that_was_never_taught_is_warned_of(fields, now, said):
  experiment = config.from_dict(fields)
  found = taught.warning(experiment, 0, {**DONE, "taught_steps": now})
  assert (said in found) if said else not found
