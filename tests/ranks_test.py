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


FEATURE = st.tuples(
  st.lists(ODD, unique=True, max_size=30), st.lists(ODD, max_size=30)
)


@settings(deadline=None, max_examples=200)
@given(features=st.lists(FEATURE, min_size=1, max_size=4))
def test_ranks_are_those_of_a_dictionary(features):
  known = [pa.array(values, pa.binary()) for values, _ in features]
  ranks = Ranks(known, [len(values) for values in known])
  asked = [values + others for values, others in features]
  every = [value for values in asked for value in values]
  joined = pa.array([b"before", *every], pa.binary())[1:]
  places = [{v: i for i, v in enumerate(values)} for values, _ in features]
  assert ranks(joined, [len(values) for values in asked]).tolist() == [
    place.get(v, -1) for place, values in zip(places, asked) for v in values
  ]


def test_many_values_are_found():
  values = pa.array([b"%08x" % (i * 2654435761 % 2**32) for i in range(50000)])
  order = np.random.default_rng(0).permutation(50000)
  known = Ranks([values.slice(0, 30000), values.slice(0, 9)], [30000, 9])
  asked = values.take(pa.array(order))
  found = known(pa.concat_arrays([asked, asked]), [50000, 50000])
  expected = [np.where(order < size, order, -1) for size in (30000, 9)]
  np.testing.assert_array_equal(found, np.concatenate(expected))
