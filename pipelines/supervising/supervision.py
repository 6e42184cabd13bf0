"""How long a group's faults are borne: the flags `--supervise.NAME`.

They decide no result, so they are no part of an experiment: the same run may go
on with others.
"""

import dataclasses

from ctr_codistill import fields
from ctr_codistill.fields import Checked
from pipelines import config_flags

_PREFIX = "supervise."
_LONGEST = 60.0  # seconds


@dataclasses.dataclass(frozen=True)
class Supervise(Checked):
  """When a group is started again, and when no more."""

  restarts: int = fields.number(
    10,
    "times that a group is started again without a new checkpoint in between;"
    " one more failure ends the run",
    low=0,
  )
  backoff: float = fields.number(
    1.0,
    "seconds to wait when a group failed twice without a new checkpoint; twice"
    f" as many at each failure after it, up to {_LONGEST:g}",
    low=0,
  )
  heartbeat_timeout: float = fields.positive(
    120.0,
    "seconds without a step, or another sign of life, until a worker counts as"
    " frozen",
  )
  grace: float = fields.number(
    30.0,
    "seconds that workers have to write a checkpoint and leave when they are"
    " told to",
    low=0,
  )

  def pause(self, failures: int) -> float:
    """Returns the seconds to wait after so many failures, from 1."""
    if failures < 2:
      return 0.0
    return min(self.backoff * 2.0 ** min(failures - 2, 30), _LONGEST)


def define() -> None:
  """Defines a flag for each field."""
  config_flags.define_section(Supervise, _PREFIX)


def from_flags() -> Supervise:
  """Returns what the flags say.

  Raises:
    InputError: a value that breaks its field's rule.
  """
  values = config_flags.section(Supervise, _PREFIX)
  return fields.from_dict(Supervise, values)
