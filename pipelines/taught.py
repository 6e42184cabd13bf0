"""Whether a group was taught at all, and what to do where it was not.

A peer that comes too late, or a burn-in as long as the training, leaves a model
that was trained alone, and nothing of it shows in the snapshot.
"""

from collections.abc import Mapping
from typing import Any

from ctr_codistill import config
from ctr_codistill import topology


def learns(experiment: config.Experiment, group: int) -> bool:
  """Tells whether `group` of `experiment` has somebody to learn from."""
  own = config.for_group(experiment, group)
  peers = topology.peers(own.exchange.topology, experiment.groups)[group]
  codistill = own.codistill
  return not codistill.weight.is_zero and bool(peers or codistill.teachers)


def said(now: Mapping[str, Any]) -> str:
  """Returns in how many steps a group was taught since its last start."""
  return f"taught in {now['taught_steps']} of {now['trained_steps']} steps"


def warning(
  experiment: config.Experiment, group: int, now: Mapping[str, Any]
) -> str:
  """Returns what to say of a group that no step was taught, "" else.

  Args:
    experiment: the run.
    group: of it.
    now: what its progress file says.
  """
  if not now.get("trained_steps") or now["taught_steps"]:
    return ""
  if now["state"] != "done" or not learns(experiment, group):
    return ""
  codistill, steps = config.for_group(experiment, group).codistill, now["steps"]
  burn_in = codistill.burn_in_share * steps or codistill.burn_in_steps
  if burn_in >= steps:
    why = (
      f"its burn-in is {burn_in:g} steps of {steps}; make it shorter "
      "(--codistill.burn_in_share=0.1) or train more steps"
    )
  else:
    why = (
      "no peer had left anything in time that it could use; groups wait for "
      "one another with --reproducible, else train more steps or exchange more "
      "often (--exchange.every_steps)"
    )
  return (
    f"WARNING: group {group} was never taught in its last "
    f"{now['trained_steps']} steps: {why}"
  )
