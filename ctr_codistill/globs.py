"""Patterns of paths: what they find, here and in stores."""

import fnmatch
import glob
import os

from ctr_codistill import places
from ctr_codistill import remote


def find(pattern: str) -> list[str]:
  """Returns the paths that match, sorted; `*`, `?`, `[]` in the last part.

  A local pattern may have them in any part. A path without them is returned
  whether or not it is there, unless it is local. Folders match as files do.

  Raises:
    OSError: the place does not answer or cannot list.
  """
  if not is_pattern(pattern):
    there = places.is_remote(pattern) or os.path.lexists(pattern)
    return [pattern] if there else []
  if not places.is_remote(pattern):
    return sorted(glob.glob(pattern))
  directory, _, last = pattern.rpartition("/")
  try:
    found = places.names(directory)
  except FileNotFoundError:
    return []
  return [f"{directory}/{name}" for name in fnmatch.filter(found, last)]


def is_pattern(path: str) -> bool:
  """Tells whether `find` takes a path for a pattern.

  A local file whose own name has such letters is none.
  """
  if not places.is_remote(path):
    return glob.has_magic(path) and not os.path.lexists(path)
  # A question mark is part of an http address.
  is_http = remote.scheme(path) in remote.WITHOUT_LISTING
  return bool(set("*[" if is_http else "*?[") & set(path.rpartition("/")[2]))


def escaped(path: str) -> str:
  """Returns what `find` takes for `path` itself, whatever letters it has.

  Those of a remote folder are none of a pattern, hence left.
  """
  return path if places.is_remote(path) else glob.escape(path)
