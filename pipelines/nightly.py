"""A night of a served model: score, compare with yesterday's, gate, promote.

A day of labelled clicks is scored by tonight's candidate and by the version
that is served, in one pass; if the limits of --gate hold, the candidate becomes
the next version of --serving. What each step leaves, and how limits are
written: docs/batch.md.

  python -m pipelines.nightly --candidate=RUN/exchange/group-0/STEP \\
    --serving=clicks --input='/logs/day_8/*' --gate=limits.toml \\
    --output=nights/8

The status is 0 if it was promoted, 2 if it was refused, and 1 if that could not
be told. A night that was killed goes on when it is started again; one that came
to its end says how it ended.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

from absl import flags

from ctr_codistill.evaluation.churn import gate
from pipelines import command
from pipelines import demanded
from pipelines import night
from pipelines import scoring_flags

REFUSED = 2
"""The exit status where a limit is broken."""

_CANDIDATE = flags.DEFINE_string(
  "candidate", None, "directory of the snapshot that may be served tomorrow"
)
_SERVING = flags.DEFINE_string(
  "serving",
  None,
  "directory of the served model, as --output of pipelines.export; of its "
  "versions the highest is yesterday's; none: the candidate is the first",
)
_GATE = flags.DEFINE_string(
  "gate", None, "TOML file of limits, as --gate of pipelines.churn"
)
_OUTPUT = flags.DEFINE_string(
  "output", None, "directory of this night's files; each night has its own"
)
_KEEP = flags.DEFINE_integer(
  "keep", 3, "versions that a promotion leaves in --serving", lower_bound=1
)
_WEIGHTS = flags.DEFINE_enum(
  "weights",
  None,
  ["float32", "bfloat16"],
  "how the candidate's weights are kept, and scored; default: as those of the "
  "version that is served",
)
flags.adopt_module_key_flags(scoring_flags)


def main() -> int:
  """Runs the night and prints how it ended."""
  limits = gate.read(_GATE.value)
  output = pathlib.Path(_OUTPUT.value)
  before = night.ended(output, _CANDIDATE.value, scoring_flags.source())
  return _told(before or _tonight(output, limits), output)


def _tonight(output: pathlib.Path, limits: gate.Limits) -> Mapping[str, Any]:
  snapshots = night.begun(
    output,
    _SERVING.value,
    _CANDIDATE.value,
    weights=_WEIGHTS.value,
    key=demanded.demands().key,
  )
  tonight = night.Night(
    scoring_flags.task(snapshots),
    limits,
    _SERVING.value,
    output,
    _KEEP.value,
    scoring_flags.slices(),
    _CANDIDATE.value,
  )
  return night.run(
    tonight, threads=scoring_flags.threads(), score=scoring_flags.scored
  )


def _told(ended: Mapping[str, Any], output: pathlib.Path) -> int:
  print("\n".join(ended["verdicts"] or ["nothing was served before"]))
  print(f"promoted: {ended['promoted'] or 'no'}; {output / night.NOTE}")
  return 0 if ended["promoted"] else REFUSED


if __name__ == "__main__":
  command.require("candidate", "serving", "input", "gate", "output")
  command.local("candidate", "serving", "output")
  command.run(main)
