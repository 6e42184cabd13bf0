"""Who learns beside whom: each group's peers."""

from ctr_codistill.errors import InputError


def all_to_all(groups: int) -> tuple[tuple[int, ...], ...]:
  """Returns for each group the peers it learns from: all the others.

  Raises:
    InputError: `groups` is below 1.
  """
  if groups < 1:
    raise InputError(f"groups should be at least 1, is {groups}")
  return tuple(
    tuple(peer for peer in range(groups) if peer != group)
    for group in range(groups)
  )
