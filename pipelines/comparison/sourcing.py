"""Sources of churn measured: train what is missing, check, score, report."""

import dataclasses
import os
import pathlib
import time
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ctr_codistill import config
from ctr_codistill.criteo import prepared
from ctr_codistill.criteo import records
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo import view
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import comparison
from ctr_codistill.evaluation import page
from ctr_codistill.evaluation import sources as measures
from ctr_codistill.evaluation import sources_page
from ctr_codistill.evaluation.page import Section
from ctr_codistill.training import verifying
from pipelines.comparison import running
from pipelines.comparison import sources
from pipelines.comparison.comparing import Outcome
from pipelines.comparison.running import Folder
from pipelines.comparison.sources import Setting
from pipelines.comparison.sources import Source
from pipelines.processes import Plan

_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
_LEAD = (
  "What makes two trainings of one model predict otherwise, one source at a"
  " time. Trained on {train:,} rows of click logs, measured on the"
  " {validation:,} rows that came after them. All trainings repeat to"
  " the bit: what a row changes is all that differs between its two trainings."
)


@dataclasses.dataclass(frozen=True)
class Study:
  """What is asked for.

  Attributes:
    experiment: the base of all trainings; `sources.VARIED` of it are not read.
    repeats: of each source, with seeds of their own; at least 2.
    refresh: share of the last training rows that a refresh adds, in (0, 1).
    sources: what is varied.
  """

  experiment: config.Experiment
  repeats: int
  refresh: float
  sources: tuple[Source, ...] = sources.SOURCES

  def setting(self, source: Source | None, of: str, repeat: int) -> Setting:
    """Returns that of a source's training, or of the base with None."""
    found = sources.base(self.experiment, of, repeat)
    return source.change(found) if source else found


def run(
  study: Study, *, data: pathlib.Path, output: pathlib.Path, limit: int
) -> Outcome:
  """Trains and scores what is missing, and writes the report.

  Trainings that should be equal come first: were they not, the others would be
  in vain.

  Args:
    study: what to measure.
    data: directory that prepare wrote.
    output: directory for everything that is made.
    limit: worker processes at once; 0 means as many as cores.

  Raises:
    InputError: two trainings that should be equal are not; the experiment or
      what lies in `output` does not fit; no source came to its end.
  """
  start, folder = time.monotonic(), Folder(output)
  short = view.write(
    data,
    output / "views" / f"without-{study.refresh:g}",
    without=study.refresh,
    holdout=False,
  )
  failed: dict[str, str] = {}
  for plans in _stages(study, folder, data, short):
    failed |= running.run(
      plans, folder, data / prepared.VALIDATION, limit=limit or os.cpu_count()
    )
    _check_equal(study, folder, failed)
  entries = _entries(study, folder, failed)
  if not entries:
    why = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
    raise InputError(f"no source came to its end: {why}")
  facts = {
    "refresh": study.refresh,
    "experiment": dataclasses.asdict(study.experiment),
    "failed": failed,
    "seconds": round(time.monotonic() - start, 1),
  }
  path = sources_page.write(
    entries, output, text=_lead(data), facts=facts, sections=_failures(failed)
  )
  return Outcome(
    f"{page.text_table(measures.table(entries))}\n\n{path}", failed
  )


def _stages(
  study: Study, folder: Folder, data: pathlib.Path, short: pathlib.Path
) -> tuple[list[Plan], list[Plan]]:
  """Returns what should repeat to the bit, then everything else."""

  def plan(name: str, setting: Setting) -> Plan:
    place = short if setting.is_shortened else data
    environment = ((_ONEDNN, str(int(setting.onednn))),)
    return Plan(name, setting.experiment, place, folder.run(name), environment)

  first, rest = [], []
  for repeat in range(study.repeats):
    for of in dict.fromkeys(source.of for source in study.sources):
      setting = study.setting(None, of, repeat)
      first.append(plan(sources.base_name(of, repeat), setting))
    for source in study.sources:
      setting = study.setting(source, source.of, repeat)
      stage = first if source.name == sources.NOTHING else rest
      stage.append(plan(source.run_name(repeat), setting))
  # Side by side go those that take as many processes.
  return tuple(
    sorted(plans, key=lambda plan: plan.processes) for plans in (first, rest)
  )


def _check_equal(
  study: Study, folder: Folder, failed: Mapping[str, str]
) -> None:
  """Raises InputError unless all that should repeat to the bit did."""
  for source in study.sources:
    for repeat in range(study.repeats):
      names = _names(source, repeat)
      if source.name != sources.NOTHING or set(names) & set(failed):
        continue
      found = verifying.verify(*map(folder.run, names))
      if (
        found.status == verifying.EQUAL and _values(folder, names)["equal"] < 1
      ):
        found = verifying.Verdict(
          verifying.DIFFERENT, ("equal in all variables, not in predictions",)
        )
      if found.status != verifying.EQUAL:
        raise InputError(
          f"{folder.run(names[0])} and {names[1]} should be equal to the bit, "
          f"since nothing was varied: {'; '.join(found.lines)}"
        )


def _entries(
  study: Study, folder: Folder, failed: Mapping[str, str]
) -> list[dict[str, Any]]:
  """Returns the entries of the sources whose repeats are all finished."""
  found = {}
  for source in study.sources:
    pairs = [_names(source, repeat) for repeat in range(study.repeats)]
    if not any(set(names) & set(failed) for names in pairs):
      found[source] = [_values(folder, names) for names in pairs]
  wholes = {s.of: rows for s, rows in found.items() if s.name == sources.ALL}
  return [
    measures.entry(
      source.name,
      rows,
      of=source.of,
      varied=source.varied.format(refresh=study.refresh),
      whole=wholes.get(source.of),
    )
    for source, rows in found.items()
  ]


def _names(source: Source, repeat: int) -> tuple[str, str]:
  return sources.base_name(source.of, repeat), source.run_name(repeat)


def _values(folder: Folder, names: Sequence[str]) -> dict[str, float]:
  paths = [folder.predictions(name) for name in names]
  found = comparison.compare(paths)
  if found.qualities is None:
    raise InputError(f"{paths[0]} should have labels, has none")
  return measures.values(found)


def _lead(data: pathlib.Path) -> str:
  schema = schemas.read(data)
  train, validation = (
    records.open_shards(data / split, schema).rows
    for split in (prepared.TRAIN, prepared.VALIDATION)
  )
  return _LEAD.format(train=train, validation=validation)


def _failures(failed: Mapping[str, str]) -> list[Section]:
  rows = {"training": list(failed), "why it failed": list(failed.values())}
  return [Section("Failed", table=pd.DataFrame(rows), prose=True)] * bool(
    failed
  )
