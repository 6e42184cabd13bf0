import pytest
import tensorflow as tf

from ctr_codistill.training.departure import Departure
from ctr_codistill.training.departure import Leaving
from ctr_codistill.training.strategy import Agreement


@pytest.mark.parametrize("asked", [False, True])
def test_a_lone_worker_leaves_at_the_step_at_which_it_is_asked(asked):
  agreement = Agreement(tf.distribute.get_strategy())
  departure = Departure(agreement, lambda: asked)
  assert [departure(step) for step in (1, 2, 10)] == [asked] * 3


def test_a_wait_ends_when_a_worker_is_asked_to_leave():
  agreement = Agreement(tf.distribute.get_strategy())
  Departure(agreement, lambda: False).check()
  with pytest.raises(Leaving):
    Departure(agreement, lambda: True).check()
