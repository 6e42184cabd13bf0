import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from ctr_codistill.criteo.ranks import Ranks

ODD = st.one_of(
  st.binary(max_size=10),
  st.lists(st.sampled_from([b"\0", b"a", b"\xff"]), max_size=10).map(b"".join),
)


@settings(deadline=None, max_examples=200)
@given(
  vocabulary=st.lists(ODD, unique=True, max_size=30),
  others=st.lists(ODD, max_size=30),
  start=st.integers(0, 5),
)
def test_ranks_are_those_of_a_dictionary(vocabulary, others, start):
  places = {value: place for place, value in enumerate(vocabulary)}
  asked = vocabulary + others
  ranks = Ranks(pa.array(vocabulary, pa.binary()))
  found = ranks(pa.array(asked, pa.binary())[start:])
  assert found.tolist() == [places.get(value, -1) for value in asked[start:]]


def test_many_values_are_found():
  values = pa.array([b"%08x" % (i * 2654435761 % 2**32) for i in range(50000)])
  order = np.random.default_rng(0).permutation(50000)
  known = Ranks(values.slice(0, 30000))
  found = known(values.take(pa.array(order)))
  np.testing.assert_array_equal(found, np.where(order < 30000, order, -1))
