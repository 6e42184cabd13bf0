import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from ctr_codistill.criteo import share as shares
from ctr_codistill.criteo.share import Share
from ctr_codistill.errors import InputError


def _blocks(count, *, groups, overlap):
  return [
    shares.blocks(Share(group=group, groups=groups, overlap=overlap), count)
    for group in range(groups)
  ]


def test_common_blocks_are_evenly_spread_and_the_others_dealt_around():
  # 0.4 b + 0.5 passes a whole number in blocks 1, 3, 6 and 8; the others,
  # 0 2 4 5 7 9, go to the groups in turn.
  one, other = _blocks(10, groups=2, overlap=0.4)
  assert one.tolist() == [0, 1, 3, 4, 6, 7, 8]
  assert other.tolist() == [1, 2, 3, 5, 6, 8, 9]


def test_no_overlap_is_disjoint_and_a_whole_one_is_the_same():
  disjoint = _blocks(7, groups=3, overlap=0.0)
  assert [part.tolist() for part in disjoint] == [[0, 3, 6], [1, 4], [2, 5]]
  for part in _blocks(7, groups=3, overlap=1.0):
    assert part.tolist() == list(range(7))


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
  count=st.integers(0, 300),
  groups=st.integers(1, 5),
  percent=st.integers(0, 100),
)
def test_a_block_belongs_to_one_group_or_to_all(count, groups, percent):
  parts = _blocks(count, groups=groups, overlap=percent / 100)
  owners = np.bincount(np.concatenate(parts), minlength=count)
  assert set(owners.tolist()) <= {1, groups}
  sizes = [len(part) for part in parts]
  assert max(sizes) - min(sizes) <= 1
  if groups > 1:
    common = int((owners == groups).sum())
    # Half a block or less from the exact share.
    assert abs(100 * common - percent * count) <= 50


@pytest.mark.parametrize(
  ("values", "said"),
  [
    ({"group": 2, "groups": 2}, r"group should be in \[0, 2\), is 2"),
    ({"worker": -1}, r"worker should be in \[0, 1\), is -1"),
    ({"overlap": 1.5}, r"overlap should be in \[0, 1\], is 1.5"),
    ({"overlap": float("nan")}, r"overlap should be in \[0, 1\], is nan"),
    ({"overlap": 0.5, "coordinated": True}, "should be 1, is 0.5"),
    ({"window_rows": 0}, "window_rows should be at least 1, is 0"),
  ],
)
def test_a_wrong_share_is_refused_with_its_value(values, said):
  with pytest.raises(InputError, match=said):
    Share(**values)
