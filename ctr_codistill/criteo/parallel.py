"""Work shared among threads, with results in the order of the items.

The work here is pyarrow's and numpy's, which let other threads run meanwhile.
"""

import collections
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from concurrent import futures
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
  function: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Iterator[Result]:
  """Yields `function(item)` for each item, in the items' order.

  No more than `threads` + 2 items are in memory at once. What an item or the
  function raises is raised here, at its place.
  """
  pending: collections.deque[futures.Future] = collections.deque()
  with futures.ThreadPoolExecutor(threads) as pool:
    try:
      for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) > threads + 1:
          yield pending.popleft().result()
      while pending:
        yield pending.popleft().result()
    finally:
      for future in pending:
        future.cancel()
