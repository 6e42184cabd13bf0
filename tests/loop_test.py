import numpy as np

from ctr_codistill.training import loop
from ctr_codistill.training.loop import Action


def _run(start, stop, *due):
  """Returns what happened; `due` are (name, every, at_end)."""
  happened = []
  actions = [
    Action(lambda step, name=name: happened.append((name, step)), every, at_end)
    for name, every, at_end in due
  ]
  batches = iter(np.arange(100))
  loop.run(
    lambda step, rows: happened.append((step, int(rows))),
    batches,
    actions,
    start=start,
    stop=stop,
  )
  return happened


def test_actions_come_after_their_steps_in_their_order():
  # Steps count from 0 and take a batch each; actions hear of steps done.
  assert _run(0, 4, ("b", 2, True), ("a", 1, True)) == [
    *[(0, 0), ("a", 1)],
    *[(1, 1), ("b", 2), ("a", 2)],
    *[(2, 2), ("a", 3)],
    *[(3, 3), ("b", 4), ("a", 4)],
  ]


def test_at_the_end_all_are_due_but_those_that_do_not_want_to_be():
  happened = _run(0, 5, ("end", 0, True), ("not", 5, False), ("both", 3, True))
  assert [item for item in happened if isinstance(item[0], str)] == [
    ("both", 3),
    ("end", 5),
    ("both", 5),
  ]


def test_going_on_from_a_step_is_the_rest_of_the_whole():
  whole = [step for step, _ in _run(0, 6, ("a", 2, True))]
  rest = [step for step, _ in _run(2, 6, ("a", 2, True))]
  assert rest == whole[3:] == [2, 3, "a", 4, 5, "a"]


def test_nothing_is_left_to_do_at_the_end():
  assert _run(5, 5, ("a", 1, True)) == []


def test_it_leaves_after_the_actions_of_a_step():
  done = []
  end = loop.run(
    lambda step, rows: done.append(step),
    iter(np.arange(9)),
    [Action(lambda step: done.append("a"), 1)],
    start=0,
    stop=6,
    leaves=lambda step: step == 2,
  )
  assert (end, done) == (2, [0, "a", 1, "a"])


def test_at_the_last_step_nobody_is_asked_whether_to_leave():
  asked = []
  end = loop.run(
    lambda step, rows: None,
    iter(np.arange(9)),
    [],
    start=0,
    stop=3,
    leaves=asked.append,
  )
  assert (end, asked) == (3, [1, 2])
