"""Exports a snapshot as a numbered version that TF Serving loads.

A server that polls OUTPUT finds the version complete or not at all, and takes
the highest number. Beside the model lie warm-up requests, a model card and
`export.json`. What each is, and how a server is set up: docs/serving.md.

  python -m pipelines.export --snapshot=RUN/exchange/group-0/STEP \\
    --output=clicks

With --promote it takes the place of the version before only if it is not worse
on the rows of --on, and within the limits of --gate: else the status is 2.

  python -m pipelines.export --snapshot=RUN/exchange/group-0/STEP \\
    --output=clicks --promote --on=DATA/validation --gate=limits.toml --keep=3
  python -m pipelines.export --output=clicks --back

The second goes one version back, by publishing the older one anew.
"""

import dataclasses
import os
import pathlib
import tempfile
from typing import Any

from absl import flags

from ctr_codistill.criteo.raw import layout_files
from ctr_codistill.criteo.raw.layouts import Layout
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import snapshot_runs
from ctr_codistill.exporting import exports
from ctr_codistill.exporting import judging
from ctr_codistill.exporting import narrow
from ctr_codistill.exporting import raw_rows
from ctr_codistill.exporting import versions
from ctr_codistill.exporting import warmup
from ctr_codistill.exporting.exports import About
from ctr_codistill.exporting.judging import Judgement
from pipelines import cache
from pipelines import command
from pipelines import demanded
from pipelines import narrow_cost
from pipelines import provenance
from pipelines import server_flags

REFUSED = 2
"""The exit status where a model may not take the place of the one before."""

_SNAPSHOT = flags.DEFINE_string("snapshot", None, "directory of a snapshot")
_OUTPUT = flags.DEFINE_string(
  "output", None, "directory of the served model; its versions lie in it"
)
_VERSION = flags.DEFINE_integer(
  "version",
  None,
  "number of the version; default: one above the highest",
  lower_bound=1,
)
_WEIGHTS = flags.DEFINE_enum(
  "weights",
  "float32",
  ["float32", "bfloat16"],
  "how weights are kept; bfloat16 is half the size, and its cost is told",
)
_ON = flags.DEFINE_string(
  "on",
  None,
  "rows with labels, raw files or a prepared directory such as DATA/validation:"
  " the model is judged on them, and the cost of bfloat16 measured",
)
_WARMUP = flags.DEFINE_string(
  "warmup",
  None,
  "raw files or a prepared directory whose first rows become warm-up requests; "
  "default: rows of --on, else made from the vocabularies",
)
_LAYOUT = flags.DEFINE_string(
  "layout",
  None,
  "columns of raw files of --on and --warmup, as --layout of pipelines.prepare;"
  " Criteo's form with the model's features if not given",
)
_CHURN = flags.DEFINE_string(
  "churn", None, "churn.json of pipelines.churn, for the model card"
)
_QUALITY = flags.DEFINE_string(
  "quality",
  None,
  "predictions with labels (pipelines.predict), for the model card",
)
_PROMOTE = flags.DEFINE_boolean(
  "promote",
  False,
  "only if it is not worse than the version in place; drops old versions",
)
_GATE = flags.DEFINE_string(
  "gate", None, "TOML file of limits (docs/churn.md) for --promote"
)
_MOST_WORSE = flags.DEFINE_float(
  "most_worse", 0.0, "nats by which --promote allows a higher log loss"
)
_KEEP = flags.DEFINE_integer(
  "keep", 3, "versions that --promote keeps", lower_bound=1
)
_BACK = flags.DEFINE_boolean(
  "back", False, "goes one version back, and does nothing else"
)
_NEED = {
  **dict.fromkeys(("gate", "most_worse", "keep"), ("promote",)),
  "layout": ("on", "warmup"),
  **dict.fromkeys(server_flags.SETTINGS, ("server_config",)),
}
"""Flags that have an effect only beside one of others."""
_WITH_BACK = ("output", "back", "key_file")
flags.adopt_module_key_flags(cache)
flags.adopt_module_key_flags(demanded)
flags.adopt_module_key_flags(server_flags)
command.require("output")
command.local("snapshot", "output")


def main() -> int:
  """Writes the version, or refuses to, and prints where it is and why."""
  _check_flags()
  exports.check(_OUTPUT.value)
  if _BACK.value:
    print(exports.back(_OUTPUT.value, demands=demanded.demands()))
    return 0
  if not _SNAPSHOT.value:
    raise InputError("--snapshot should name a snapshot, is not given")
  server = server_flags.files(
    _OUTPUT.value, _will_be(), _KEEP.value if _PROMOTE.value else None
  )
  layout = layout_files.read(_LAYOUT.value) if _LAYOUT.value else None
  old = versions.in_place(_OUTPUT.value) if _PROMOTE.value else None
  with tempfile.TemporaryDirectory() as folder:
    snapshot = _candidate(folder)
    judged = _judged(old, snapshot, folder, layout) if _PROMOTE.value else None
    if judged:
      print("\n".join(verdict.line for verdict in judged.verdicts))
      if not judged.holds:
        print(f"refused: {old} stays in place")
        return REFUSED
    version = exports.export(
      snapshot,
      _OUTPUT.value,
      version=_VERSION.value,
      above=int(old.name if old else 0) if _PROMOTE.value else None,
      about=_about(old, snapshot, folder, judged, layout),
      demands=demanded.demands(),
    )
  print(version)
  if _PROMOTE.value:
    versions.keep(_OUTPUT.value, _KEEP.value)
  server_flags.write(server)
  return 0


def _check_flags() -> None:
  """Refuses flags that would have no effect, and be missed in silence."""
  own = flags.FLAGS.find_module_defining_flag("back")
  found = flags.FLAGS.get_key_flags_for_module(own)
  given = {flag.name for flag in found if flag.present}
  if _BACK.value:
    for name in sorted(given - set(_WITH_BACK)):
      raise InputError(f"--{name} has no effect beside --back: leave it out")
  for name, needed in _NEED.items():
    if name in given and not any(flags.FLAGS[one].value for one in needed):
      wanted = " or ".join(f"--{one}" for one in needed)
      raise InputError(f"--{name} has no effect without {wanted}: leave it out")


def _candidate(folder: str) -> str:
  if _WEIGHTS.value == "float32":
    return _SNAPSHOT.value
  return str(
    narrow.write(
      _SNAPSHOT.value,
      os.path.join(folder, "bfloat16"),
      key=demanded.demands().key,
    )
  )


def _judged(
  old: pathlib.Path | None, snapshot: str, folder: str, layout: Layout | None
) -> Judgement | None:
  """Returns how the candidate stands to what is in place, if anything is."""
  limits = judging.read_limits(_GATE.value) if _GATE.value else None
  if old is None:
    return None
  if not _ON.value:
    raise InputError(f"--promote should have rows --on which {old} is compared")
  found = judging.compare(
    old,
    snapshot,
    _here(_ON.value),
    folder,
    layout=layout,
    demands=demanded.demands(),
  )
  return judging.judge(found, limits, most_worse=_MOST_WORSE.value)


def _about(
  old: pathlib.Path | None,
  snapshot: str,
  folder: str,
  judged: Judgement | None,
  layout: Layout | None,
) -> About:
  narrowed = snapshot != _SNAPSHOT.value and _ON.value
  found = About(
    source=_SNAPSHOT.value,
    churn=provenance.churn(_CHURN.value),
    experiment=provenance.experiment(_SNAPSHOT.value),
    judged=provenance.judged(judged, _ON.value, old),
    quality=_quality(snapshot, folder, judged, layout),
  )
  if narrowed:
    rows = _here(_ON.value)
    cost = narrow_cost.cost(
      _SNAPSHOT.value,
      snapshot,
      rows,
      folder,
      layout=layout,
      demands=demanded.demands(),
    )
    found = dataclasses.replace(found, cost=cost)
  source = _WARMUP.value or _ON.value
  if not source:
    return found
  rows = raw_rows.read(_here(source), snapshot, warmup.ROWS, layout)
  return dataclasses.replace(found, rows=rows, rows_of=f"of {source}")


def _here(rows: str) -> str:
  """Returns rows, or their copy on this machine, see `pipelines.cache`."""
  command.reach(rows)
  return cache.shards(rows)


def _quality(
  snapshot: str, folder: str, judged: Judgement | None, layout: Layout | None
) -> dict[str, Any] | None:
  if _QUALITY.value:
    return provenance.quality(_QUALITY.value)
  if judged:
    last = judged.found.comparison.qualities[-1]
    return {"of": _ON.value, **last.to_dict()}
  if not _ON.value:
    return None
  (path,) = snapshot_runs.predicted(
    [snapshot],
    _here(_ON.value),
    folder,
    layout=layout,
    labelled=True,
    demands=demanded.demands(),
  )
  return provenance.quality(path, of=_ON.value)


def _will_be() -> list[int]:
  """Returns the versions that will lie there at the end."""
  found = versions.numbers(_OUTPUT.value)
  found.append(versions.new_number(_OUTPUT.value, _VERSION.value))
  return found[-_KEEP.value :] if _PROMOTE.value else found


if __name__ == "__main__":
  command.run(main)
