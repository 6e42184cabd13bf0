"""In which order labels stand in a column, so that no lines to them cross.

Lines go from points to labels on their right. Begun in the points' order from
above, labels whose lines cross are exchanged until none do: each exchange makes
the lines shorter together, so it comes to an end. (Labels of several lines also
move those between them, so the exchanges are bounded.)
"""

import itertools
from collections.abc import Sequence

import numpy as np

_TOUCHING = 1e-9  # of the column's height


def order(
  points: np.ndarray, heights: Sequence[float], *, right: float
) -> list[tuple[int, float]]:
  """Returns (point, place of its label's top) from the highest downwards.

  Args:
    points: `[points, 2]`, x and y of each as shares of the picture, [0, 1].
    heights: of the points' labels, in any one unit; together they fill the
      column, whose top is at 1 and bottom at 0.
    right: x of the labels, right of all points.
  """
  sizes = np.asarray(heights, float) / np.sum(heights)
  found = sorted(range(len(points)), key=lambda i: (-points[i][1], i))
  for _ in range(len(points) ** 2):
    crossing = _crossing(points[found], _tops(sizes[found]), right)
    if not crossing:
      break
    i, j = crossing
    found[i], found[j] = found[j], found[i]
  return list(zip(found, _tops(sizes[found]).tolist()))


def _tops(sizes: np.ndarray) -> np.ndarray:
  return 1 - np.cumsum(sizes) + sizes


def _crossing(
  points: np.ndarray, tops: np.ndarray, right: float
) -> tuple[int, int] | None:
  """Returns the first two lines that cross, from above; None if none do."""
  for i, j in itertools.combinations(range(len(points)), 2):
    # Both end at `right`, i above j: they cross or touch if i is not above j
    # at the nearer of both points.
    x = max(points[i][0], points[j][0])
    one, other = (_height(points[k], tops[k], right, x) for k in (i, j))
    if one < other + _TOUCHING and any(points[i] != points[j]):
      return i, j
  return None


def _height(point: np.ndarray, top: float, right: float, x: float) -> float:
  """Returns how high the line from a point to its label is at `x`."""
  share = (x - point[0]) / (right - point[0])
  return point[1] + share * (top - point[1])
