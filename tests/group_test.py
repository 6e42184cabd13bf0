import pytest

from ctr_codistill.codistill import group
from ctr_codistill.errors import InputError


def test_everyone_learns_from_all_others():
  assert group.all_to_all(3) == ((1, 2), (0, 2), (0, 1))


def test_a_pair_learns_from_each_other():
  assert group.all_to_all(2) == ((1,), (0,))


def test_a_lone_group_has_no_peer():
  assert group.all_to_all(1) == ((),)


def test_no_group_is_refused():
  with pytest.raises(InputError, match="groups should be at least 1, is 0"):
    group.all_to_all(0)
