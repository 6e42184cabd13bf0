"""How much the teacher counts at a step."""

from ctr_codistill import config


def weight(codistill: config.Codistill, *, step: int, peers: int) -> float:
  """Returns the weight of the teacher term at `step`, counted from 0.

  0 during the burn-in and while no peer has published, then constant, without a
  ramp (Anil et al. 2018, Algorithm 1).

  Args:
    codistill: weight and burn-in.
    step: the student's step.
    peers: how many peers the teacher speaks for now.
  """
  counts = peers > 0 and step >= codistill.burn_in_steps
  return codistill.weight if counts else 0.0
