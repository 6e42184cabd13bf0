import pytest

from ctr_codistill import config
from ctr_codistill.codistill import schedule
from ctr_codistill.codistill.listening import Listening
from ctr_codistill.codistill.schedule import Span

SPAN = Span(steps=10, epoch_steps=4.0)


def _weights(steps=range(10), **fields):
  codistill = config.Codistill(**fields)
  return [schedule.weight(codistill, step=s, span=SPAN) for s in steps]


def test_the_teacher_counts_from_the_end_of_the_burn_in():
  assert _weights(range(6), weight=0.7, burn_in_steps=3) == [0] * 3 + [0.7] * 3
  assert _weights([0], weight=2.0, burn_in_steps=0) == [2.0]


def test_a_share_of_the_steps_replaces_those_of_the_burn_in():
  found = _weights(weight=1, burn_in_share=0.25)
  assert found == [0] * 3 + [1] * 7  # from step 2.5 on


def test_the_weight_follows_its_course():
  found = _weights(weight="0, 2-4:1, 80%:0", burn_in_steps=0)
  assert found == [0, 0, 0, 0.5, 1, 1, 1, 1, 0, 0]


def test_the_weight_grows_from_epoch_to_epoch():
  found = _weights(weight=2, burn_in_steps=1, growth=1.5)
  assert found == [0, 2, 2, 2, 3, 3, 3, 3, 4.5, 4.5]


def test_a_peer_counts_half_at_the_half_life():
  found = [schedule.freshness(s, half_life=4) for s in (-9, 0, 2, 4, 12)]
  assert found == [1, 1, pytest.approx(0.5**0.5), 0.5, 0.125]
  assert schedule.freshness(1e9, half_life=0) == 1


def _listening(bound=0, **fields):
  codistill = config.Codistill(burn_in_steps=0, **fields)
  return Listening(codistill, SPAN, bound=bound)


def test_nobody_to_hear_is_no_weight():
  assert _listening()(5, {}).weight == 0
  assert _listening()(5, {}, fixed=1).weight == 1


def test_the_weight_does_not_grow_with_the_peers():
  assert _listening(weight=0.7)(5, {1: 3, 2: 4, 3: 5}, fixed=2).weight == 0.7


def test_each_peer_falls_by_its_own_staleness_and_fixed_ones_do_not():
  heard = _listening(weight=2, staleness_half_life=4)(5, {1: 0, 2: 4}, fixed=1)
  assert heard.shares == {1: 1.0, 2: 0.5}
  assert heard.weight == pytest.approx(2 * (1 + 0.5 + 1) / 3)


def test_who_is_too_stale_is_left_out_and_comes_back_said_once(caplog):
  caplog.set_level("INFO")
  listening = _listening(bound=5)
  assert listening(1, {1: 5, 2: 2}).shares == {1: 1, 2: 1}
  assert caplog.text == ""
  for step in (2, 3):
    assert listening(step, {1: 6, 2: 2}).shares == {2: 1}
  assert caplog.text.count("group 1 is left out: it is 6 steps stale") == 1
  heard = listening(4, {1: 7, 2: 8})
  assert (heard.weight, heard.shares) == (0, {})
  listening(5, {1: 1, 2: 9})
  listening(6, {1: 2, 2: 9})
  assert caplog.text.count("group 1 is heard again, 1 steps stale") == 1
  assert caplog.text.count("group 2") == 1
