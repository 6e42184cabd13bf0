"""In which order labels stand in a column, so that no line to them crosses.

Lines go from points to labels on their right. From the highest label's place
the line goes to the point that it meets first when it turns down from upright:
all other points are then below that line, as all other labels are, so that no
line between these can cross it. The same holds for the next label (Bekos et
al., Boundary Labeling, 2007).
"""

from collections.abc import Sequence

import numpy as np


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
  top, left, found = 1.0, list(range(len(points))), []
  unit = 1 / sum(heights) if heights else 0.0
  while left:
    slopes = [(points[i][1] - top) / (right - points[i][0]) for i in left]
    # Of those on one line the nearest: the line then ends before the others.
    first = max(zip(slopes, (points[i][0] for i in left), left))[2]
    found.append((first, top))
    left.remove(first)
    top -= heights[first] * unit
  return found
