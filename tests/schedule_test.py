from ctr_codistill import config
from ctr_codistill.codistill import schedule

CODISTILL = config.Codistill(weight=0.7, burn_in_steps=3)


def test_the_teacher_counts_from_the_end_of_the_burn_in():
  weights = [schedule.weight(CODISTILL, step=s, peers=1) for s in range(6)]
  assert weights == [0.0, 0.0, 0.0, 0.7, 0.7, 0.7]


def test_without_a_burn_in_it_counts_from_the_first_step():
  codistill = config.Codistill(weight=2.0, burn_in_steps=0)
  assert schedule.weight(codistill, step=0, peers=1) == 2.0


def test_it_does_not_count_while_no_peer_has_published():
  assert schedule.weight(CODISTILL, step=100, peers=0) == 0.0


def test_its_weight_does_not_grow_with_the_peers():
  assert schedule.weight(CODISTILL, step=3, peers=5) == 0.7
