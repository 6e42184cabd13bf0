"""The job that makes a prepared directory of raw logs: count, then encode.

Rows split by time, because a click model is always asked about later rows than
it was trained on; vocabularies and statistics see the training rows only.
"""

import dataclasses
import logging
import os
import pathlib
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from ctr_codistill import places
from ctr_codistill.criteo import prepared
from ctr_codistill.criteo.preparing.engine import Engine
from ctr_codistill.criteo.preparing.engine import Local
from ctr_codistill.criteo.preparing.job import Job
from ctr_codistill.criteo.preparing.job import Options
from ctr_codistill.criteo.preparing.job import Progress
from ctr_codistill.criteo.preparing.ledger import Ledger
from ctr_codistill.criteo.raw import apart
from ctr_codistill.criteo.raw import layouts
from ctr_codistill.criteo.raw import lines
from ctr_codistill.criteo.raw.layouts import Layout
from ctr_codistill.errors import InputError

_LOG = logging.getLogger(__name__)
# May differ when a job goes on: they change no byte of what is written.
_FREE = ("threads", "max_bad_fraction", "count_bytes", "overwrite")


def prepare(
  inputs: str | Sequence[str],
  output: str | os.PathLike,
  options: Options,
  *,
  clock: Callable[[], float],
  progress: Progress = lambda name, rows: lambda done: None,
  layout: Layout = layouts.CRITEO,
  scratch: str | os.PathLike | None = None,
  engine: Engine | None = None,
) -> dict[str, Any]:
  """Makes the prepared directory `output` and returns what `prepare.json` says.

  Args:
    inputs: patterns of Criteo's raw files, with labels.
    output: is made; may exist if empty, or left by the same job when it did not
      end: that one goes on. May be in an object store.
    options: how.
    clock: seconds, for the summary.
    progress: is told of each pass and of rows done.
    layout: of the logs.
    scratch: local directory for what is not done yet, if `output` is remote;
      deleted at the end. The job goes on if it finds it again.
    engine: that runs the passes; `None` is this process.

  Raises:
    InputError: inputs missing, empty, broken, without labels, or where the
      output will be; too many bad
      lines; no row left for training or validation; an output in use, complete
      or of another job; a disk that is full, a store that is out of reach.
  """
  remote = _remote(output, scratch)
  paths = lines.find(inputs)
  for folder in filter(None, (output, scratch)):
    apart.check(
      [inputs] if isinstance(inputs, str) else inputs,
      files=prepared.files(folder),
      folders=prepared.folders(folder),
    )
  layout = layouts.detect(paths, layout)
  if not layout.has_label:
    raise InputError(
      f"{paths[0]}:1 has {layout.columns} columns, hence no label; "
      "there is nothing to learn from"
    )
  engine = engine or Local()
  if remote and engine.name != Local.name:
    raise InputError(
      f"output should be a directory that all workers of {engine.name} see, is "
      f"{output}"
    )
  work = pathlib.Path(scratch or output)
  job = Job(paths, layout, work, options, rows=0, remote=remote)
  told = _told(job) | {"engine": engine.name}
  with prepared.claim(
    remote or work, told, overwrite=options.overwrite, scratch=scratch
  ) as summary:
    try:
      return summary or _run(job, Ledger(work, clock), progress, engine)
    except OSError as error:
      raise InputError(
        f"{places.said(error, work)}; mend it and start again: the job goes on "
        "where it was"
      ) from None


def described(summary: Mapping[str, Any], output: str | os.PathLike) -> str:
  """Returns a line for people about what `prepare` made."""
  rate = summary["rows_in"] / max(summary["seconds"], 1e-9)
  return (
    f"{output}: {summary['rows_in']} rows in, {summary['rows_train']} to train "
    f"on, {summary['rows_validation']} to validate, "
    f"{summary['rows_quarantined']} in quarantine; "
    f"{summary['seconds']:.1f} s, {rate:.0f} rows/s"
  )


def _remote(
  output: str | os.PathLike, scratch: str | os.PathLike | None
) -> str:
  """Returns the address of a remote output, "" of a local one."""
  if not places.is_remote(output):
    if scratch is not None:
      raise InputError(f"scratch is for remote outputs, output is {output}")
    return ""
  if not places.is_writable(output):
    raise InputError(
      f"output should be a directory, here or in an object store, is {output}"
    )
  if scratch is None or places.is_remote(scratch):
    raise InputError(
      f"scratch should be a local directory for {output}, is {scratch}"
    )
  _LOG.info("%s is made in %s", output, scratch)
  return os.fspath(output).rstrip("/")


def _told(job: Job) -> dict[str, Any]:
  """Returns what says whether a job is the same one."""
  options = dataclasses.asdict(job.options)
  for name in _FREE:
    del options[name]
  return {
    "input": {path: _version(path) for path in job.paths},
    "inputs": list(job.paths),
    "options": options,
    "layout": repr(job.layout),
    **({"output": job.remote} if job.remote else {}),
  }


def _version(path: str) -> str:
  """Returns what changes with a file's content; remote stores do not say."""
  if places.is_remote(path):
    return "remote"
  stat = os.stat(path)
  return f"{stat.st_size} bytes of {stat.st_mtime_ns} ns"


def _run(
  job: Job, ledger: Ledger, progress: Progress, engine: Engine
) -> dict[str, Any]:
  """Does what the ledger says is not done; returns the summary."""
  if ledger.state.rows is None:
    ledger.note(rows=engine.lines(job, progress))
  job = dataclasses.replace(job, rows=ledger.state.rows)
  schema = engine.count(job, ledger, progress)
  written = engine.encode(job, ledger, schema, progress)
  ledger.note()
  state = ledger.state
  summary = {
    **written,
    "seconds": state.seconds_count + state.seconds_encode,
    "seconds_count": state.seconds_count,
    "seconds_encode": state.seconds_encode,
    "peak_rss_bytes": state.peak_rss_bytes,
    "inputs": job.paths,
    "options": dataclasses.asdict(job.options),
    "schema": schema.fingerprint,
    "spilled_runs": state.counted.runs,
    "spilled_bytes": state.counted.spilled_bytes,
    "vocabularies": state.vocabularies,
  }
  prepared.finish(job.remote or job.output, job.output, schema, summary)
  return summary
