"""How much the teacher counts at a step.

    w(t) = course(t)  x  [t >= burn-in]  x  growth^(epochs done)  x  mean_s f_s
    f_s  = 2^(-staleness_s / half-life)

with t the steps done. Anil et al. 2018, Algorithm 1: a constant after the
burn-in. Sodhani et al. 2021: a coefficient alpha_k that may change with step k;
here it grows from epoch to epoch. The fall with staleness is ours: each peer
counts as much as it is fresh.
"""

import dataclasses

from ctr_codistill import config


@dataclasses.dataclass(frozen=True)
class Span:
  """How long a training is: all its steps, and those of an epoch, above 0."""

  steps: int
  epoch_steps: float


def weight(codistill: config.Codistill, *, step: int, span: Span) -> float:
  """Returns the weight of the teacher term at `step`, counted from 0.

  That of fresh peers: without f.
  """
  if step < burn_in(codistill, span):
    return 0.0
  course = codistill.weight.at(step, steps=span.steps)
  return course * codistill.growth ** (step // span.epoch_steps)


def burn_in(codistill: config.Codistill, span: Span) -> float:
  """Returns the steps before the teacher counts."""
  if codistill.burn_in_share:
    return codistill.burn_in_share * span.steps
  return codistill.burn_in_steps


def freshness(staleness: float, *, half_life: float) -> float:
  """Returns f, in (0, 1]; 1 if the half-life is 0 or the peer is ahead."""
  return 0.5 ** (max(staleness, 0.0) / half_life) if half_life else 1.0
