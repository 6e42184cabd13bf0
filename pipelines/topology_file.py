"""Who learns from whom, in a TOML file: put into the experiment as a text.

    [learns_from]
    0 = [1, 2]
    1 = [2]

So that `experiment.json` says all there is, and the file may go.
"""

import pathlib
import tomllib
from collections.abc import Mapping
from typing import Any

from ctr_codistill import topology
from ctr_codistill.errors import InputError

_TABLE = "learns_from"


def inlined(
  tree: Mapping[str, Any], folder: pathlib.Path = pathlib.Path()
) -> Mapping[str, Any]:
  """Returns an experiment's tables with the text of the file that they name.

  A path is one from `folder`.

  Raises:
    InputError: as `text`.
  """
  exchange = tree.get("exchange")
  if not isinstance(exchange, Mapping):
    return tree
  value = exchange.get("topology")
  if not isinstance(value, str):
    return tree
  own = {**exchange, "topology": text(value, folder)}
  return {**tree, "exchange": own}


def text(value: str, folder: pathlib.Path = pathlib.Path()) -> str:
  """Returns the topology of the file that `value` names, or else `value`.

  Raises:
    InputError: no such file, no TOML, or not groups and lists of their peers.
  """
  if not value.endswith(".toml"):
    return value
  try:
    found = tomllib.loads((folder / value).read_text(encoding="utf-8"))
  except OSError as error:
    raise InputError(f"exchange.topology {value}: {error.strerror}") from None
  except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
    raise InputError(
      f"exchange.topology {value} should be TOML: {error}"
    ) from None
  table = found.pop(_TABLE, None)
  if found or not isinstance(table, dict):
    raise InputError(
      f"exchange.topology {value} should have a table [{_TABLE}] and no more"
    )
  for group, peers in table.items():
    _check(value, group, peers)
  return topology.text_of({int(group): table[group] for group in table})


def _check(path: str, group: str, peers: object) -> None:
  """Raises InputError unless it says: a group = a list of groups."""
  are_groups = isinstance(peers, list) and all(
    type(peer) is int and peer >= 0 for peer in peers
  )
  if not group.isdecimal() or not are_groups:
    raise InputError(
      f"exchange.topology {path} should say GROUP = [PEER, ...], says "
      f"{group} = {peers!r}"
    )
