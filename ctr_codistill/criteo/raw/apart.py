"""Outputs apart from inputs: no job writes over what it reads.

Nor where a pattern of its input would find it, for then the next job on the
same pattern reads what this one wrote.
"""

import fnmatch
import glob
import os
from collections.abc import Iterable
from collections.abc import Sequence

from ctr_codistill import globs
from ctr_codistill import places
from ctr_codistill.criteo.raw import lines
from ctr_codistill.errors import InputError


def check(
  patterns: Iterable[str],
  files: Sequence[str | os.PathLike],
  folders: Sequence[str | os.PathLike] = (),
) -> None:
  """Raises InputError if a job would write what it reads.

  Args:
    patterns: of the input, as `lines.find` takes them.
    files: that the job writes, links resolved or not.
    folders: that are its own, so that it may delete what is in them.
  """
  files, folders = [*map(os.fspath, files)], [*map(os.fspath, folders)]
  for pattern in patterns:
    found = [pattern]
    if not places.is_remote(pattern):
      found = globs.find(pattern)
    read = set(map(_real, found))
    holding = {os.path.dirname(path) for path in read}
    for path in files:
      if _real(path) in read:
        raise InputError(f"{path} should not be written: it is of the input")
      if _matches(path, pattern):
        raise InputError(
          f"{path} should lie elsewhere: the input {pattern!r} would match it"
        )
    for folder in folders:
      if _real(folder) in holding:
        raise InputError(
          f"{folder} should lie elsewhere: it holds files of the input "
          f"{pattern!r}"
        )


def _matches(path: str, pattern: str) -> bool:
  """Tells whether `lines.find` would take `path`, if it were there."""
  if not globs.is_pattern(pattern) or lines.is_marked(path, pattern):
    return False
  if places.is_remote(pattern):
    folder, _, name = pattern.rpartition("/")
    own, _, last = path.rpartition("/")
    return own == folder and fnmatch.fnmatchcase(last, name)
  parts = pattern.split(os.sep)
  plain = next(i for i, part in enumerate(parts) if glob.has_magic(part))
  top = os.sep if os.path.isabs(pattern) else os.curdir
  root = os.path.abspath(os.sep.join(parts[:plain]) or top)
  parts = [part for part in parts[plain:] if part]
  # By its name, and by the one that no link has a part in.
  real = os.path.join(_real(os.path.dirname(path)), os.path.basename(path))
  return any(
    _fits(os.path.relpath(own, base).split(os.sep), parts)
    for own, base in (
      (os.path.abspath(path), root),
      (real, os.path.realpath(root)),
    )
  )


def _fits(names: Sequence[str], parts: Sequence[str]) -> bool:
  return len(names) == len(parts) and all(
    fnmatch.fnmatchcase(name, part) and (name[0] != "." or part[0] == ".")
    for name, part in zip(names, parts)
  )


def _real(path: str) -> str:
  """Returns what is the same for all names of a place."""
  return path.rstrip("/") if places.is_remote(path) else os.path.realpath(path)
