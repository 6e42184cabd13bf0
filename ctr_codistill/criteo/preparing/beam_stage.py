"""One Beam pipeline: work on each item, then on what of it belongs together.

Apache Beam is imported only when something runs: it is an optional requirement,
and this and `evaluation.beam_model` are the only files that do. What a pipeline
says is one JSON file. A mistake of the user, such as a damaged file, is said
too: raised, it would be tried again, and come back in the words of
the runner.
"""

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from ctr_codistill import stamped
from ctr_codistill.criteo.preparing.counting_pieces import Made
from ctr_codistill.errors import InputError

Said = list[dict[str, Any]]
_OUT, _SAID = "out", "said"
_WORK = "work"
_WRITE = "write"
_ERROR = "error"


@dataclasses.dataclass(frozen=True)
class Stage:
  """A pipeline; its functions are those of a module, which workers import.

  Attributes:
    name: of it, for the runner and for its file.
    items: returns those that it begins with.
    work: is done to each.
    write: is done to each key with the values under it that the others made;
      `None` if there are none.
    merge: makes one value of some with the same key; `None` leaves `write` all.
    between: makes the transform that keys and values pass before; `None` is
      none.
  """

  name: str
  items: Callable[[], Sequence[Any]]
  work: Callable[[Any], Made]
  write: Callable[[Any], Made] | None = None
  merge: Callable[[Iterable[Any]], Any] | None = None
  between: Callable[[], Any] | None = None


def check() -> None:
  """Raises InputError if Beam is not installed."""
  try:
    import apache_beam  # noqa: F401
  except ImportError as error:
    raise InputError(
      f"--runner needs Apache Beam ({error}); "
      "pip install -r requirements-beam.txt"
    ) from None


def run(stage: Stage, flags: Sequence[str], folder: pathlib.Path) -> Said:
  """Returns what `stage` says, in any order; it runs unless it did before.

  Args:
    stage: what to do.
    flags: Beam's.
    folder: which all workers see under this path.

  Raises:
    InputError: what went wrong in the first step where anything did, or
      `folder` is not theirs.
    Exception: the runner's, such as RuntimeError.
  """
  path = folder / f"{stage.name}.json"
  if not path.exists():
    folder.mkdir(exist_ok=True)
    aside = folder / f"{stamped.ASIDE}{path.name}"
    aside.unlink(missing_ok=True)
    _run(stage, flags, aside)
    _check(stage, aside)
    os.replace(aside, path)
  return _read(path)


def _run(stage: Stage, flags: Sequence[str], path: pathlib.Path) -> None:
  import apache_beam as beam
  from apache_beam.options.pipeline_options import PipelineOptions

  def step(name: str, work: Callable[[Any], Made]) -> beam.PTransform:
    tagged = beam.FlatMap(functools.partial(_tagged, work, path.parent, name))
    tagged.label = name
    return tagged.with_outputs(_OUT, _SAID)

  try:
    begun = beam.Pipeline(options=PipelineOptions(list(flags)))
  except ValueError as error:
    raise InputError(f"Beam cannot run with {list(flags)}: {error}") from None
  with begun as pipeline:
    items = pipeline | beam.Create(stage.items()) | beam.Reshuffle()
    made = items | step(_WORK, stage.work)
    said = [made[_SAID]]
    if stage.write:
      join = (
        beam.CombinePerKey(stage.merge) if stage.merge else beam.GroupByKey()
      )
      out = made[_OUT]
      if stage.between:
        out = out | stage.between()
      written = out | join | step(_WRITE, stage.write)
      said.append(written[_SAID])
    whole = said | beam.Flatten() | beam.combiners.ToList()
    whole | "say" >> beam.Map(functools.partial(_say, path))


def _tagged(
  work: Callable[[Any], Made], folder: pathlib.Path, step: str, item: Any
) -> Iterator[Any]:
  """Yields what `work` makes of an item, for Beam; runs in a worker."""
  from apache_beam import pvalue

  try:
    for made in work(item):
      tag = _SAID if isinstance(made, dict) else _OUT
      yield pvalue.TaggedOutput(tag, made)
  except InputError as error:
    yield pvalue.TaggedOutput(_SAID, {_ERROR: [step, str(error)]})
  except OSError as error:
    said = f"{error.filename or folder}: {error.strerror or error}"
    said += "; mend it and start again"
    yield pvalue.TaggedOutput(_SAID, {_ERROR: [step, said]})


def _say(path: pathlib.Path, said: Said) -> None:
  stamped.write_text(path, json.dumps(said) + "\n")


def _check(stage: Stage, path: pathlib.Path) -> None:
  if not path.exists():
    raise InputError(
      f"Beam's workers left no {path}; {path.parent} should be a directory "
      "that all of them see under this path"
    )
  errors = [item[_ERROR] for item in _read(path) if _ERROR in item]
  if errors:
    # Those of the first step before the ones that these lead to.
    raise InputError(min(errors, key=lambda e: (e[0] != _WORK, e[1]))[1])


def _read(path: pathlib.Path) -> Said:
  return json.loads(path.read_text(encoding="utf-8"))
